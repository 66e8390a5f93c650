"""No byte of a model file is run, and nothing that is not whole is loaded."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from auditor.checkpoint import file_digest, load_into, read_card, read_weights, save, weights_digest
from auditor.errors import ModelRefused, OutputError


def small() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def repack(source: Path, target: Path, change: Callable[[str, bytes], bytes] = lambda _, data: data, method: int = 0) -> Path:
    """The archive again with its members changed and right checksums."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


@pytest.fixture
def good(tmp_path: Path) -> Path:
    torch.save(small().state_dict(), tmp_path / "good.pt")
    return tmp_path / "good.pt"


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    save(tmp_path / "good.safetensors", small().state_dict(), {"classes": ["a", "b"], "seed": 3})
    return tmp_path / "good.safetensors"


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


# Hostile files.


def in_a_zip(path: Path, canary: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2), "x": Payload(canary)}, path)


def in_the_legacy_format(path: Path, canary: Path) -> None:
    torch.save({"x": Payload(canary)}, path, _use_new_zipfile_serialization=False)


def in_a_bare_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(canary)))


def in_a_bare_text_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(canary), protocol=0))


def in_a_module(path: Path, canary: Path) -> None:
    module = small()
    module.payload = Payload(canary)  # type: ignore[assignment]
    torch.save(module, path)


def beside_a_state_dict(path: Path, canary: Path) -> None:
    torch.save({"state_dict": small().state_dict(), "optimizer": Payload(canary)}, path)


@pytest.mark.parametrize(
    "write",
    [in_a_zip, in_the_legacy_format, in_a_bare_pickle, in_a_bare_text_pickle, in_a_module, beside_a_state_dict],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_payload_never_runs_and_the_refusal_names_file_and_remedy(
    tmp_path: Path, write: Callable[[Path, Path], None], suffix: str
) -> None:
    path, canary = tmp_path / f"model.{suffix}", tmp_path / "canary"
    write(path, canary)
    with contextlib.suppress(ModelRefused):
        assert read_card(path) == {}
    with pytest.raises(ModelRefused, match=rf"{re.escape(str(path))} .*; .*safetensors\.torch\.save_file"):
        read_weights(path)
    assert not canary.exists()


def test_the_payload_of_these_tests_is_live(tmp_path: Path) -> None:
    in_a_zip(tmp_path / "x.pt", tmp_path / "canary")
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert (tmp_path / "canary").exists()


def test_the_refusal_lists_what_stands_in_the_way(tmp_path: Path) -> None:
    in_a_zip(tmp_path / "x.pt", tmp_path / "canary")
    with pytest.raises(ModelRefused, match=r"posix\.system"):
        read_weights(tmp_path / "x.pt")
    torch.save(small(), tmp_path / "module.pt")
    with pytest.raises(ModelRefused, match=r"torch\.nn\.modules"):
        read_weights(tmp_path / "module.pt")


def test_torchscript_is_refused_as_a_program(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(ModelRefused, match="is TorchScript, a program"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.slow
def test_an_exported_program_is_refused(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), tmp_path / "x.pt2")
    with pytest.raises(ModelRefused, match=r"is a torch\.export program"):
        read_weights(tmp_path / "x.pt2")


def test_an_archive_that_calls_itself_an_exported_program_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
        archive.writestr("x/archive_format", "pt2")
    with pytest.raises(ModelRefused, match=r"is a torch\.export program"):
        read_weights(tmp_path / "x.pt2")


def test_a_compressed_member_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2_000_000)}, tmp_path / "plain.pt")
    bomb = repack(tmp_path / "plain.pt", tmp_path / "bomb.pt", method=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ModelRefused, match="has compressed members"):
        read_weights(bomb)


def test_a_repacked_archive_with_stored_members_is_read(good: Path, tmp_path: Path) -> None:
    """So that the refusals above are of the compression, not of the repacking."""
    assert same(read_weights(repack(good, tmp_path / "again.pt")), small().state_dict())


def test_an_archive_with_a_member_twice_is_refused(good: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(good, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("good/data/0", b"0" * 432)
    with pytest.raises(ModelRefused, match="holds good/data/0 twice"):
        read_weights(good)


def test_an_archive_that_claims_more_than_the_file_has_is_refused(good: Path) -> None:
    data = bytearray(good.read_bytes())
    entry = data.index(b"PK\x01\x02")  # the directory's first entry: packed and unpacked size at 20 and 24
    data[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    good.write_bytes(data)
    with pytest.raises(ModelRefused, match="more bytes than the file"):
        read_weights(good)


def test_a_tensor_that_claims_values_it_does_not_store_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**12)}, tmp_path / "x.pt")
    with pytest.raises(ModelRefused, match="w, which claims 1000000000000 values"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(2).to_sparse(), torch.zeros(2, device="meta")],
    ids=["sparse", "meta"],
)
def test_tensors_that_are_not_plain_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"w": tensor}, tmp_path / "x.pt")
    with pytest.raises(ModelRefused):
        read_weights(tmp_path / "x.pt")


def test_nothing_starts_while_torch_is_told_to_run_code(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ModelRefused, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set"):
        read_weights(good)


# Broken files.


@pytest.mark.parametrize("name", ["good.pt", "good.safetensors"])
def test_a_file_cut_short_anywhere_is_refused(good: Path, sealed: Path, tmp_path: Path, name: str) -> None:
    data = (tmp_path / name).read_bytes()
    cut = tmp_path / "cut"
    for length in sorted({0, 1, 7, 8, 9, 40, len(data) - 1, *range(50, len(data), 97)}):
        cut.write_bytes(data[:length])
        with pytest.raises(ModelRefused, match=r"cut (is|holds|has|cannot)"):
            read_weights(cut)


@pytest.mark.parametrize(("name", "bits"), [("good.safetensors", 1), ("good.pt", 1), ("good.pt", 2), ("good.pt", 5)])
def test_flipped_bits_give_the_same_weights_or_a_refusal(
    good: Path, sealed: Path, tmp_path: Path, name: str, bits: int
) -> None:
    """Several flips of a safetensors file can hit the seal itself and a weight; one cannot."""
    data, wanted, draw = (tmp_path / name).read_bytes(), small().state_dict(), random.Random(bits)
    broken, refused = tmp_path / "broken", 0
    for _ in range(120):
        changed = bytearray(data)
        for _ in range(bits):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        broken.write_bytes(changed)
        try:
            found = read_weights(broken)
        except ModelRefused:
            refused += 1
        else:
            assert same(found, wanted)
    assert refused > 40


def test_changed_pickles_under_right_checksums_give_tensors_or_a_refusal(good: Path, tmp_path: Path) -> None:
    """Bit flips, splices and cuts of the opcodes themselves, which the checksums would otherwise keep from the unpickler."""
    draw, outcomes = random.Random(0), set()

    def mutate(name: str, data: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return data
        start, length = draw.randrange(len(data)), draw.randrange(1, 12)
        kind = draw.randrange(4)
        if kind == 0:
            return data[:start] + bytes([data[start] ^ (1 << draw.randrange(8))]) + data[start + 1 :]
        if kind == 1:
            return data[:start] + data[start + length :]
        if kind == 2:
            return data[:start] + data[start : start + length] * 3 + data[start + length :]
        return data[:start] + draw.randbytes(length) + data[start + length :]

    for _ in range(250):
        broken = repack(good, tmp_path / "broken.pt", mutate)
        try:
            found = read_weights(broken)
        except ModelRefused:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert all(isinstance(tensor, torch.Tensor) and torch.isfinite(tensor).all() for tensor in found.values())
    assert outcomes == {"refused", "read"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89HDF\r\n\x1a\n0000", "HDF5"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"hello, this is no model at all", "neither safetensors nor"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    for read in (read_weights, read_card):
        with pytest.raises(ModelRefused, match=found):
            read(tmp_path / "x.pt")


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ModelRefused, match=r"something else \(notes\.txt\)"):
        read_weights(tmp_path / "x.pt")


def test_a_missing_file_is_refused_with_the_nearest_name(good: Path, tmp_path: Path) -> None:
    for read in (read_weights, read_card, file_digest):
        with pytest.raises(ModelRefused, match=r"did you mean good\.pt\?"):
            read(tmp_path / "god.pt")
        with pytest.raises(ModelRefused, match="nor its folder"):
            read(tmp_path / "no" / "good.pt")
        with pytest.raises(ModelRefused, match="is a folder"):
            read(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_weight_that_is_no_number_is_refused_by_name_and_count(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    weights = {"a.weight": torch.zeros(5, dtype=dtype), "b.weight": torch.zeros(7, dtype=dtype)}
    weights["b.weight"][2:4] = value
    torch.save(weights, tmp_path / "x.pt")
    save_file(weights, tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        with pytest.raises(ModelRefused, match=r"b\.weight with 2 of 7 values NaN or infinite"):
            read_weights(tmp_path / name)


# What is read.


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path, key: str) -> None:
    torch.save({key: small().state_dict(), "epoch": 3, "loss": 0.5}, tmp_path / "x.pt")
    assert same(read_weights(tmp_path / "x.pt"), small().state_dict())


def test_two_sets_of_weights_in_one_file_are_not_chosen_between(tmp_path: Path) -> None:
    torch.save({"state_dict": small().state_dict(), "model": small().state_dict()}, tmp_path / "x.pt")
    with pytest.raises(ModelRefused, match="holds several sets"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"w": torch.zeros(2), "epoch": 3}, {}, {3: torch.zeros(2)}, 7])
def test_what_is_not_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ModelRefused):
        read_weights(tmp_path / "x.pt")


def test_the_prefix_of_data_parallel_is_taken_off_when_every_name_has_it(tmp_path: Path) -> None:
    torch.save({f"module.{name}": tensor for name, tensor in small().state_dict().items()}, tmp_path / "x.pt")
    assert same(read_weights(tmp_path / "x.pt"), small().state_dict())


def test_the_prefix_stays_when_some_names_lack_it(tmp_path: Path) -> None:
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "x.pt")
    assert set(read_weights(tmp_path / "x.pt")) == {"module.a", "b"}


# Filling a network.


def test_weights_fill_the_network_they_came_from(good: Path) -> None:
    other = small()
    nn.init.zeros_(other[0].weight)  # type: ignore[arg-type]
    load_into(other, read_weights(good), good)
    assert same(other.state_dict(), small().state_dict())


def test_the_network_keeps_its_weights_when_the_file_goes(good: Path) -> None:
    module = small()
    load_into(module, read_weights(good), good)
    good.write_bytes(b"")
    assert same(module.state_dict(), small().state_dict())


def test_another_architecture_is_refused_with_counts_and_the_nearest_name(good: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)

    with pytest.raises(
        ModelRefused, match=r"good\.pt does not fit Named: 2 of 2 weights are missing \(stem\.weight, stem\.bias\)"
    ):
        load_into(Named(), read_weights(good), good)
    weights = {"stem.weigth": torch.zeros(4, 3, 3, 3), "stem.bias": torch.zeros(4)}
    with pytest.raises(ModelRefused, match=r"stem\.weigth; did you mean stem\.weight\?"):
        load_into(Named(), weights, good)


def test_another_number_of_classes_is_refused_with_both_shapes(good: Path) -> None:
    module = small()
    module[3] = nn.Linear(4, 5)
    with pytest.raises(ModelRefused, match=r"3\.weight is \[2, 4\] in the file and \[5, 4\] here.*number of classes"):
        load_into(module, read_weights(good), good)


def test_a_refused_file_leaves_the_network_as_it_was(good: Path) -> None:
    module = small()
    module[3] = nn.Linear(4, 5)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ModelRefused):
        load_into(module, {name: tensor + 1 for name, tensor in read_weights(good).items()}, good)
    assert same(module.state_dict(), before)


def test_only_the_batch_counter_may_be_missing(good: Path) -> None:
    weights = read_weights(good)
    del weights["1.num_batches_tracked"]
    load_into(small(), weights, good)
    del weights["1.running_mean"]
    with pytest.raises(ModelRefused, match=r"1\.running_mean"):
        load_into(small(), weights, good)


def test_integers_do_not_pass_for_floats_and_floats_must_fit(good: Path) -> None:
    weights = read_weights(good)
    with pytest.raises(ModelRefused, match=r"torch\.int64 in the file"):
        load_into(small(), {**weights, "0.bias": torch.zeros(4, dtype=torch.int64)}, good)
    with pytest.raises(ModelRefused, match="too large"):
        load_into(small(), {**weights, "0.bias": torch.full((4,), 1e300, dtype=torch.float64)}, good)
    load_into(small(), {**weights, "0.bias": torch.zeros(4, dtype=torch.float16)}, good)


# Writing.

CARD = {"classes": ["Mass", "Nodule"], "architecture": "resnet18", "strategy": "wbce", "seed": 3, "preprocessing": {"size": 64}}


@settings(max_examples=25, deadline=None)
@given(
    weights=st.dictionaries(
        st.text("abc.é0", min_size=1, max_size=8),
        st.tuples(
            st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        min_size=1,
        max_size=5,
    ),
    card=st.dictionaries(st.text(max_size=5).map("note-{}".format), st.one_of(st.integers(), st.text(), st.booleans())),
)
def test_what_is_saved_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, weights: dict[str, tuple[torch.dtype, list[int]]], card: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("saved") / "x.safetensors"
    tensors = {name: torch.randint(0, 2, shape).to(dtype) for name, (dtype, shape) in weights.items()}
    save(path, tensors, card)
    found = read_weights(path)
    assert same(found, tensors)
    assert {name: tensor.dtype for name, tensor in found.items()} == {name: tensor.dtype for name, tensor in tensors.items()}
    assert read_card(path) == card


def test_the_same_weights_and_card_give_the_same_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", small().state_dict(), CARD)
    save(tmp_path / "b.safetensors", dict(reversed(small().state_dict().items())), dict(reversed(CARD.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_shared_and_transposed_tensors_are_saved_by_value(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save(tmp_path / "x.safetensors", {"a": base, "b": base, "c": base.T, "d": base[0]}, {})
    assert same(read_weights(tmp_path / "x.safetensors"), {"a": base, "b": base, "c": base.T, "d": base[0]})


def test_a_failed_save_leaves_the_old_file_and_no_draft(sealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sealed.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save(sealed, {"w": torch.zeros(3)}, {})
    assert sealed.read_bytes() == before
    assert list(sealed.parent.glob(".*")) == []


def test_the_card_is_what_was_saved_and_empty_for_other_files(tmp_path: Path, good: Path) -> None:
    save(tmp_path / "x.safetensors", {"w": torch.zeros(1)}, CARD)
    assert read_card(tmp_path / "x.safetensors") == CARD
    save_file({"w": torch.zeros(1)}, tmp_path / "bare.safetensors")
    assert read_card(tmp_path / "bare.safetensors") == {}
    assert read_card(good) == {}


@pytest.mark.parametrize(
    "card",
    ["{", "[]", '"x"', '{"classes": "a"}', '{"classes": ["a", "a"]}', '{"classes": [1]}', '{"seed": true}', '{"seed": "0"}',
     '{"preprocessing": []}', '{"architecture": 3}', "[" * 100_000],
)  # fmt: skip
def test_a_malformed_card_is_refused(tmp_path: Path, card: str) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "x.safetensors", {"auditor": card})
    with pytest.raises(ModelRefused, match=r"x\.safetensors has a card"):
        read_card(tmp_path / "x.safetensors")


def test_a_card_edited_after_training_is_refused_with_its_weights(sealed: Path) -> None:
    sealed.write_bytes(sealed.read_bytes().replace(b'\\"seed\\": 3', b'\\"seed\\": 4'))
    assert read_card(sealed)["seed"] == 4
    with pytest.raises(ModelRefused, match="not as it was written"):
        read_weights(sealed)


# Digests.


def test_the_digest_is_sha256_of_the_bytes_and_follows_a_change(good: Path) -> None:
    import hashlib

    first = file_digest(good)
    assert first == hashlib.sha256(good.read_bytes()).hexdigest()
    good.write_bytes(good.read_bytes() + b" ")
    assert file_digest(good) == hashlib.sha256(good.read_bytes()).hexdigest() != first


def test_a_file_is_digested_once(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = file_digest(good)
    monkeypatch.setattr("hashlib.file_digest", lambda *_: pytest.fail("digested again"))
    assert file_digest(good) == first


def test_the_digest_of_weights_depends_on_names_types_shapes_and_values_and_not_on_order() -> None:
    base = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    others = [
        {"a": torch.tensor([1.0, 2.0]), "c": torch.tensor([3.0])},
        {"a": torch.tensor([1.0, 2.0]).double(), "b": torch.tensor([3.0])},
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([3.0])},
        {"a": torch.tensor([1.0, 2.5]), "b": torch.tensor([3.0])},
        {"a": torch.tensor([1.0]), "b": torch.tensor([2.0, 3.0])},
    ]
    assert weights_digest(base) == weights_digest(dict(reversed(base.items())))
    assert len({weights_digest(weights) for weights in [base, *others]}) == 6


@pytest.mark.slow
def test_ten_thousand_random_changes_give_the_same_weights_or_a_refusal(tmp_path: Path) -> None:
    memory, wanted, draw = io.BytesIO(), {"w": torch.arange(8.0)}, random.Random(9)
    torch.save(wanted, memory)
    data, broken = memory.getvalue(), tmp_path / "broken"
    for _ in range(10_000):
        changed = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        broken.write_bytes(changed[: draw.choice([len(changed), draw.randrange(len(changed))])])
        with contextlib.suppress(ModelRefused):
            assert same(read_weights(broken), wanted)


def test_weights_of_a_larger_module_are_answered_with_the_part_to_save(tmp_path: Path) -> None:
    part = small()
    torch.save({f"net.{name}": tensor for name, tensor in part.state_dict().items()}, tmp_path / "whole.pt")
    with pytest.raises(ModelRefused, match=r"every name in it begins with 'net\.': .* model\.net\.state_dict\(\)$"):
        load_into(part, read_weights(tmp_path / "whole.pt"), tmp_path / "whole.pt")
    torch.save({f"net.x{name}": tensor for name, tensor in part.state_dict().items()}, tmp_path / "other.pt")
    with pytest.raises(ModelRefused, match=r"is it another architecture\?$"):
        load_into(part, read_weights(tmp_path / "other.pt"), tmp_path / "other.pt")
