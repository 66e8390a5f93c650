"""Any classifier of MONAI by its class name, from a checkpoint file or from a bundle."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from zipfile import BadZipFile, ZipFile, is_zipfile

from auditor import ModelRefused, hookimpl, nearest
from auditor.checkpoint import file_digest, load_into, read_card, read_shapes, read_weights

from ._from_checkpoint import CheckpointLoader

if TYPE_CHECKING:
    from torch import nn

Scalar = bool | int | float | str | None
IN_BUNDLE = "models/model.pt"
FROM_OUTSIDE = ("pretrained", "weights", "progress", "path_or_repo_id", "filename")
OUTPUTS = ("num_classes", "out_channels")


@dataclass(frozen=True, kw_only=True)
class Monai(CheckpointLoader):
    """Any classifier of monai.networks.nets by name; bundles give their weights only.

    `network` is a class of monai.networks.nets, such as DenseNet121, and `options` its arguments in plain values.

    What `options` leaves out is filled in where the class asks for it: spatial_dims 2, in_channels as the preprocessing,
    num_classes or out_channels as there are classes. `checkpoint` may be a bundle, a folder or a .zip: only its
    models/model.pt is read, as weights; its configs, which can run code, are never opened.
    """

    name: ClassVar[str] = "monai"

    network: str
    options: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)

    def family(self) -> str:
        """The class name."""
        return self.network

    def build(self, outputs: int) -> nn.Module:
        """The network before training; ModelRefused if MONAI has no such class or the class no such option."""
        maker = self._maker()
        arguments = self._arguments(maker, outputs)
        try:
            network: nn.Module = maker(**arguments)
        except Exception as error:  # MONAI checks its arguments in many ways
            why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise ModelRefused(f"options: {self.network} cannot be built with {arguments} ({why})") from error
        return network

    def card(self) -> dict[str, Any]:
        """What the checkpoint says of itself; a bundle says nothing that is read."""
        bundle = self.checkpoint is not None and _is_bundle(self.checkpoint)
        return {} if self.checkpoint is None or bundle else read_card(self.checkpoint)

    def fill(self, module: nn.Module, checkpoint: Path) -> None:
        """Copy the weights of the file, or of the bundle's models/model.pt, into the network."""
        if not _is_bundle(checkpoint):
            return super().fill(module, checkpoint)
        with bundled_weights(checkpoint) as file:
            try:
                return load_into(module, read_weights(file), file)
            except ModelRefused as error:
                raise ModelRefused(str(error).replace(str(file), f"{checkpoint}: {IN_BUNDLE}")) from error

    def shapes(self, checkpoint: Path) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the weights of the file, or of the bundle's models/model.pt."""
        if not _is_bundle(checkpoint):
            return super().shapes(checkpoint)
        with bundled_weights(checkpoint) as file:
            return read_shapes(file)

    def checkpoint_digest(self, checkpoint: Path) -> str:
        """sha256 of the file, of a bundle's models/model.pt, or of the whole .zip."""
        return file_digest(checkpoint / IN_BUNDLE if checkpoint.is_dir() else checkpoint)

    def _maker(self) -> Any:
        from monai.networks import nets
        from torch import nn

        known = {name: maker for name, maker in vars(nets).items() if inspect.isclass(maker) and issubclass(maker, nn.Module)}
        if self.network not in known:
            raise ModelRefused(f"network: MONAI has no network {self.network!r}{nearest(self.network, known)}")
        return known[self.network]

    def _arguments(self, maker: Any, outputs: int) -> dict[str, Any]:
        known = _arguments_of(maker)
        if "path_or_repo_id" in known:
            raise ModelRefused(f"network: {self.network} fetches weights from a network when it is built; it cannot be audited")
        for name in self.options:
            if name in FROM_OUTSIDE:
                raise ModelRefused(f"options.{name}: weights come from `checkpoint` alone; remove it")
            if name not in known:
                raise ModelRefused(f"options.{name}: {self.network} has no such argument{nearest(name, known)}")
        channels = self.preprocessing.channels
        expected = {"spatial_dims": 2, "in_channels": channels, "n_input_channels": channels}
        expected[next((name for name in OUTPUTS if name in known), OUTPUTS[0])] = outputs
        # where the default is None the argument means something else: in_channels of TorchVisionFCModel is a width
        expected = {name: value for name, value in expected.items() if name in known and known[name] is not None}
        for name, value in expected.items():
            if name in self.options and self.options[name] != value:
                found = f"options.{name}: found {self.options[name]}"
                raise ModelRefused(f"{found}; 2-D images and the classes of this audit need {value}")
        arguments = expected | self.options
        # several of MONAI's classes fetch ImageNet weights unless told not to
        return arguments | ({"pretrained": False} if "pretrained" in known else {})


@contextmanager
def bundled_weights(bundle: Path) -> Iterator[Path]:
    """The models/model.pt of a bundle folder or .zip as a file, for as long as the block lasts."""
    if bundle.is_dir():
        if not (bundle / IN_BUNDLE).is_file():
            raise ModelRefused(f"{bundle} is a folder without {IN_BUNDLE}; name a checkpoint file or a MONAI bundle")
        yield bundle / IN_BUNDLE
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt"
        try:
            with ZipFile(bundle) as archive:
                (member,) = (name for name in archive.namelist() if _is_weights(name))
                size = archive.getinfo(member).file_size
                if size > 20 * bundle.stat().st_size:  # weights hardly compress
                    raise ModelRefused(f"{bundle}: {member} claims {size} bytes, far more than the file can hold")
                with archive.open(member) as packed, file.open("wb") as target:
                    shutil.copyfileobj(packed, target, 1 << 20)
        except ModelRefused:
            raise
        except Exception as error:  # a damaged archive can make the unpacking fail in any way
            raise ModelRefused(f"{bundle} is a damaged bundle ({type(error).__name__}: {error}); fetch it again") from error
        yield file


def _is_bundle(path: Path) -> bool:
    if path.is_dir():
        return True
    if not path.is_file() or not is_zipfile(path):
        return False
    try:
        with ZipFile(path) as archive:
            return any(_is_weights(name) for name in archive.namelist())
    except (BadZipFile, OSError, ValueError):
        return False  # whatever it is, read_weights refuses it by name


def _is_weights(member: str) -> bool:
    return member == IN_BUNDLE or (member.endswith("/" + IN_BUNDLE) and member.count("/") == 2)


def _arguments_of(maker: Any) -> dict[str, Any]:
    """Names and defaults of what the class takes, with those that its **kwargs hand on to its bases."""
    found: dict[str, Any] = {}
    for cls in maker.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        found = {each.name: each.default for each in parameters if each.kind in named} | found
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
            break
    return found


@hookimpl
def register_models() -> list[type]:
    """The loader of this file."""
    return [Monai]
