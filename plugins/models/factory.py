"""A network of your own: a function in a plugin file that audit.yaml lists."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from auditor import ModelRefused, hookimpl, nearest
from auditor.checkpoint import file_digest

from ._from_checkpoint import CheckpointLoader

if TYPE_CHECKING:
    from types import ModuleType

    from torch import nn

Scalar = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Factory(CheckpointLoader):
    """A network of your own, from a function in a plugin file.

    `function` of the plugin file `file` is called with `options` and returns the network.

    The file runs with your rights, so it must be among the `plugins:` of audit.yaml; naming it here alone runs nothing.
    Let the function build and `checkpoint` fill, so that the weights are checked and part of the digest.
    """

    name: ClassVar[str] = "factory"

    file: Path
    function: str = "build"
    options: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)

    def family(self) -> str:
        """The file, and the function unless it is called `build`."""
        return self.file.stem if self.function == "build" else f"{self.file.stem}.{self.function}"

    def build(self, outputs: int) -> nn.Module:
        """What the function returns; ModelRefused if it cannot be found, fails, or returns something else."""
        from torch import nn

        module = listed_plugin(self.file)
        function = getattr(module, self.function, None)
        if not callable(function):
            raise ModelRefused(f"function: {self.file} has no function {self.function!r}{nearest(self.function, vars(module))}")
        try:
            network: Any = function(**self.options)
        except Exception as error:  # it is the user's code
            where = f"{self.file}: {self.function}(**{self.options})"
            raise ModelRefused(f"{where} failed ({type(error).__name__}: {error})") from error
        if not isinstance(network, nn.Module):
            raise ModelRefused(f"{self.file}: {self.function}() gave {type(network).__name__}, not a torch.nn.Module")
        return network

    def recipe(self) -> dict[str, object]:
        """The options, with the file by its contents."""
        return super().recipe() | {"file": file_digest(self.file)}


def listed_plugin(file: Path) -> ModuleType:
    """The module that the registry made of this file; ModelRefused, with the line to add, if audit.yaml does not list it."""
    wanted = file.resolve()
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if getattr(module, "__auditor_plugin__", False) is True and source and Path(source).resolve() == wanted:
            return module
    if not wanted.is_file():
        raise ModelRefused(f"file: there is no {file}")
    raise ModelRefused(f"file: {file} is not a plugin of this audit; to let it run, add to audit.yaml `plugins: [{file.name}]`")


@hookimpl
def register_models() -> list[type]:
    """The loader of this file."""
    return [Factory]
