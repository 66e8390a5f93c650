"""Reads and writes weights without running a byte of the file.

Two forms are read: safetensors, and a state dict that torch.save has written as a zip archive. Everything else is code or
may hide code (TorchScript, .pt2, pickled modules, the pickle of torch before 1.6) and is refused with the way out. Before a
zip archive is unpickled (with weights_only) its directory is read: every member stored uncompressed, none encrypted or
twice, together no larger than the file, and each with the checksum it was written with, so that a flipped bit is refused
and not audited. Files written by `save` carry a digest of weights and card for the same reason; other safetensors files
have no checksum to hold them to.

Source: PyTorch's security policy; CVE-2025-32434 and CVE-2026-24747 for why weights_only is not the only gate.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import ZIP_STORED, ZipFile

from .errors import ModelRefused, OutputError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

CARD = "auditor"
REMEDY = "save the weights as a state dict: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
DIVERGED = "training diverged: audit an earlier checkpoint"
WRAPPERS = ("state_dict", "model_state_dict", "model")
UNSAFE_SWITCH = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"

_BEGINNINGS = (
    (b"PK\x03\x04", "zip"),
    (b"\x80", "a bare pickle (pickle.dump, or torch.save before torch 1.6), which may run code when opened"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"<", "a web page, not a checkpoint: the download went wrong"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
)
_CARD_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "classes": list,
    "architecture": str,
    "strategy": str,
    "seed": int,
    "head": str,
    "preprocessing": dict,
}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, every float finite.

    A state dict inside `{"state_dict": ...}`, `{"model_state_dict": ...}` or `{"model": ...}` is unwrapped. The prefix
    `module.` that DataParallel adds is taken off when every name has it, and only then. Tensors may be views of the mapped
    file: copy them (as `load_into` does) before the file changes. Raises ModelRefused.
    """
    if os.environ.get(UNSAFE_SWITCH):
        raise ModelRefused(f"{UNSAFE_SWITCH} is set: torch would run code from model files; unset it and start again")
    kind = _kind(path)
    try:
        weights = _read_safetensors(path) if kind == "safetensors" else _read_zip(path)
        _check(weights, path)
    except ModelRefused:
        raise
    except Exception as error:  # a damaged file can make any layer of the readers fail in any way
        raise _refused(path, f"cannot be read as weights ({_brief(error)})", f"the file is damaged; or {REMEDY}") from error
    return _bare(weights)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors that `read_weights` would give, of which no value is read; raises ModelRefused."""
    try:
        if _kind(path) == "safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="np") as file:
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        else:
            shapes = {name: tuple(tensor.shape) for name, tensor in _read_zip(path, checksums=False).items()}
    except ModelRefused:
        raise
    except Exception as error:  # a damaged file can make any layer of the readers fail in any way
        raise _refused(path, f"cannot be read as weights ({_brief(error)})", f"the file is damaged; or {REMEDY}") from error
    if not shapes:
        raise _refused(path, "holds no weights", REMEDY)
    return _bare(shapes)


def _bare(named: dict[str, T]) -> dict[str, T]:
    """Without the prefix that DataParallel adds to every name."""
    if named and all(name.startswith("module.") for name in named):
        return {name.removeprefix("module."): value for name, value in named.items()}
    return named


def load_into(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights into the module; every name and shape must fit, or ModelRefused says which do not.

    Only BatchNorm's `num_batches_tracked`, which inference never reads, may be missing.
    """
    import torch

    fit(module, {name: tuple(tensor.shape) for name, tensor in weights.items()}, path)
    own = module.state_dict()
    for name, tensor in weights.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise ModelRefused(f"{path}: {name} is {tensor.dtype} in the file and {own[name].dtype} in the network")
        if tensor.dtype != own[name].dtype and not bool(torch.isfinite(tensor.to(own[name].dtype)).all()):
            raise ModelRefused(f"{path}: {name} holds values too large for {own[name].dtype}")
    own.update(weights)  # into the network's own: it carries versions that safetensors cannot and that MNASNet insists on
    try:
        module.load_state_dict(own, strict=True)
    except Exception as error:  # a network may load its weights in its own way
        raise ModelRefused(f"{path} does not fit {type(module).__name__}: {_brief(error)}") from error


def fit(module: nn.Module, weights: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Whether weights of these names and shapes fit the module; ModelRefused says which do not."""
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    missing = [name for name in needed if name not in weights]
    unexpected = [name for name in weights if name not in own]
    shapes = [name for name in own if name in weights and own[name] != weights[name]]
    found = []
    if missing:
        found.append(f"{len(missing)} of {len(needed)} weights are missing ({_few(missing)})")
    if unexpected:
        found.append(f"{len(unexpected)} are not in the network ({_few(unexpected)}{nearest(unexpected[0], own)})")
    if shapes:
        sizes = [f"{name} is {list(weights[name])} in the file and {list(own[name])} here" for name in shapes]
        found.append(f"{len(shapes)} have another shape ({_few(sizes)})")
    if found:
        remedy = "is the number of classes right?" if shapes and not missing else "is it another architecture?"
        if prefix := _shared_prefix(weights, own):
            remedy = f"every name in it begins with {prefix!r}: save the weights of that part alone, model.{prefix[:-1]}.state_dict()"
        raise ModelRefused(f"{path} does not fit {type(module).__name__}: {'; '.join(found)}; {remedy}")


def _shared_prefix(weights: Iterable[str], own: Iterable[str]) -> str:
    """What every name has in front of a name of the network's own, as where the network is a part of a larger module; "" if nothing."""
    names, known = list(weights), set(own)
    found = {name.partition(".")[0] + "." for name in names}
    prefix = found.pop() if len(found) == 1 else ""
    return prefix if prefix and all(name.removeprefix(prefix) in known for name in names) else ""


def read_card(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself: classes, architecture, strategy, seed, head, preprocessing, whatever it has.

    This is the JSON object under the key `auditor` of a safetensors file's metadata; {} if there is none, and for other
    files. Raises ModelRefused if it is malformed.
    """
    if _kind(path) != "safetensors":
        return {}
    return {key: value for key, value in _sealed_card(path).items() if key != "sha256"}


def save(path: Path, state_dict: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write weights and card as safetensors, whole or not at all; the same weights and card give the same bytes.

    `card` holds what JSON can hold. Raises OutputError if the file cannot be written.
    """
    import torch
    from safetensors.torch import save as to_bytes

    # copies: safetensors refuses tensors that share memory or are views
    weights = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state_dict.items()}
    plain = json.loads(_text({key: value for key, value in card.items() if key != "sha256"}))
    sealed = _text({**plain, "sha256": _seal(weights, plain)})
    with torch.no_grad():
        blob = to_bytes(weights, metadata={CARD: sealed})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(handle, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(
            f"{path}: the checkpoint cannot be written ({error.strerror}); free some space, or choose another folder"
        ) from error


def file_digest(path: Path) -> str:
    """sha256 of the file's bytes in hex; computed once per path, size and time of change."""
    _must_exist(path)
    state = path.stat()
    return _digest_of(path, state.st_size, state.st_mtime_ns)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """sha256 in hex of names, types, shapes and values, whatever file they came from and in whatever order."""
    import torch

    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        values: Any = tensor.reshape(-1).view(torch.uint8).numpy()
        total.update(values)
    return total.hexdigest()


def _kind(path: Path) -> str:
    """ "zip" or "safetensors" by the file's first bytes; anything else is refused by what it is."""
    _must_exist(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors"
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            if kind == "zip":
                return kind
            raise _refused(path, f"is {kind}", REMEDY)
    found = "is empty" if not head else "is neither safetensors nor a state dict saved by torch.save, or it is cut short"
    raise _refused(path, found, REMEDY)


def _must_exist(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise _refused(path, "is a folder", "name the checkpoint file in it")
    if not path.parent.is_dir():
        raise ModelRefused(f"{path}: there is no such file, nor its folder")
    raise ModelRefused(f"{path}: there is no such file{nearest(path.name, os.listdir(path.parent))}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    card = _sealed_card(path)
    seal = card.pop("sha256", None)
    if seal is not None and seal != _seal(weights, card):
        raise _refused(path, "is not as it was written: its digest differs", "copy it again from where it was trained")
    return weights


def _sealed_card(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(CARD, "{}")
        card = json.loads(text)
    except (SafetensorError, OSError) as error:
        raise _refused(path, f"is not whole safetensors ({_brief(error)})", "copy it again") from error
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"has a card that is not JSON ({_brief(error)})", f"write its metadata {CARD!r} again") from error
    if not isinstance(card, dict):
        raise _refused(path, f"has a card that is {type(card).__name__}, not an object", f"write its metadata {CARD!r} again")
    for key, kind in _CARD_TYPES.items():
        if key in card and (not isinstance(card[key], kind) or isinstance(card[key], bool)):
            raise _refused(path, f"has a card whose {key} is {card[key]!r}", f"write its metadata {CARD!r} again")
    classes = card.get("classes", [])
    if not all(isinstance(name, str) and name for name in classes) or len(set(classes)) != len(classes):
        raise _refused(path, f"has a card whose classes are not distinct names: {classes!r}", "write the card again")
    return card


def _read_zip(path: Path, checksums: bool = True) -> dict[str, Tensor]:
    import torch

    _inspect_archive(path, checksums)
    try:
        found = torch.load(os.fspath(path), weights_only=True, map_location="cpu", mmap=True)
    except Exception as error:
        if unsafe := _unsafe_globals(path):
            raise _refused(path, f"holds Python objects, not only weights: {_few(unsafe)}", REMEDY) from error
        raise
    return _unwrapped(found, path)


def _inspect_archive(path: Path, checksums: bool) -> None:
    """Refuse an archive by its directory and, if asked, its checksums; nothing in it is interpreted."""
    with ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if any(name.endswith("/archive_format") for name in names):
            raise _refused(path, "is a torch.export program (.pt2), which may run code when opened", REMEDY)
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise _refused(path, "is TorchScript, a program that can read and write files", REMEDY)
        if sum(name.endswith("/data.pkl") for name in names) != 1:
            raise _refused(path, f"is a zip archive of something else ({_few(names)})", REMEDY)
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise _refused(path, f"holds {_few(twice)} twice", "torch.save writes nothing twice: save it again")
        packed = [member.filename for member in members if member.compress_type != ZIP_STORED or member.flag_bits & 1]
        if packed:
            raise _refused(path, f"has compressed members ({_few(packed)})", "torch.save compresses nothing: save it again")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise _refused(path, "claims to hold more bytes than the file has", "save it again")
        if checksums and (damaged := archive.testzip()):
            raise _refused(path, f"is damaged: {damaged} does not have its checksum", "copy it again")


def _unsafe_globals(path: Path) -> list[str]:
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # only a better message is lost: the file is refused either way
        return []


def _unwrapped(found: object, path: Path) -> dict[str, Tensor]:
    from torch import Tensor

    wrapped = [key for key in WRAPPERS if isinstance(found, dict) and isinstance(found.get(key), dict)]
    if len(wrapped) > 1:
        raise _refused(path, f"holds several sets of weights ({_few(wrapped)})", REMEDY)
    weights = found[wrapped[0]] if wrapped and isinstance(found, dict) else found
    if not isinstance(weights, dict):
        raise _refused(path, f"holds {type(weights).__name__}, not a state dict", REMEDY)
    others = [f"{name} ({type(value).__name__})" for name, value in weights.items() if not isinstance(value, Tensor)]
    if others or not all(isinstance(name, str) for name in weights):
        raise _refused(path, f"holds more than named tensors: {_few(others) or 'names that are not text'}", REMEDY)
    return dict(weights)


def _check(weights: Mapping[str, Tensor], path: Path) -> None:
    import torch

    if not weights:
        raise _refused(path, "holds no weights", REMEDY)
    for name, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise _refused(path, f"holds {name}, which is not a plain tensor", "save it dense and unquantised")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            claim = f"holds {name}, which claims {tensor.numel()} values and stores fewer"
            raise _refused(path, claim, "call contiguous() before saving")
        if tensor.is_floating_point() or tensor.is_complex():
            values = tensor.float() if tensor.element_size() == 1 else tensor
            bad = tensor.numel() - int(torch.isfinite(values).sum())
            if bad:
                raise _refused(path, f"holds {name} with {bad} of {tensor.numel()} values NaN or infinite", DIVERGED)


def _seal(weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    return hashlib.sha256(f"{weights_digest(weights)}|{_text(card)}".encode()).hexdigest()


def _text(card: Mapping[str, Any]) -> str:
    return json.dumps(card, sort_keys=True, ensure_ascii=False, allow_nan=False)


@lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed: int) -> str:
    del size, changed  # they are the key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(path: Path, found: str, remedy: str) -> ModelRefused:
    return ModelRefused(f"{path} {found}; {remedy}")


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
