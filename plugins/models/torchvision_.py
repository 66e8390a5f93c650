"""Any classifier of torchvision, by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from auditor import ModelRefused, among, hookimpl

from ._from_checkpoint import CheckpointLoader

if TYPE_CHECKING:
    from torch import nn

WITH_SIDE_HEADS = {"googlenet": "aux1.", "inception_v3": "AuxLogits."}


@dataclass(frozen=True, kw_only=True)
class Torchvision(CheckpointLoader):
    """Any classifier of torchvision by name.

    `architecture` is a name of torchvision.models, such as resnet50; its last layer gets one output per class.

    The training-only side heads of googlenet and inception_v3 are built if the checkpoint has them. Inputs have three
    channels.
    """

    name: ClassVar[str] = "torchvision"

    architecture: str

    def family(self) -> str:
        """The architecture."""
        return self.architecture

    def build(self, outputs: int) -> nn.Module:
        """The architecture before training; ModelRefused if torchvision has no such classifier."""
        from torchvision import models

        known = models.list_models(module=models)
        if self.architecture not in known:
            raise ModelRefused(
                f"architecture: torchvision has no classifier {self.architecture!r}; allowed: {among(self.architecture, known)}"
            )
        if self.preprocessing.channels != 3:
            raise ModelRefused(f"preprocessing.channels: found {self.preprocessing.channels}; {self.architecture} takes 3")
        options: dict[str, Any] = {}
        if self.architecture in WITH_SIDE_HEADS:
            options = {"init_weights": self.checkpoint is None, "aux_logits": self._has_side_heads()}
        network: nn.Module = models.get_model(self.architecture, weights=None, num_classes=outputs, **options)
        return network

    def _has_side_heads(self) -> bool:
        from auditor.checkpoint import read_shapes

        beginning = WITH_SIDE_HEADS[self.architecture]
        return self.checkpoint is not None and any(key.startswith(beginning) for key in read_shapes(self.checkpoint))


@hookimpl
def register_models() -> list[type]:
    """The loader of this file."""
    return [Torchvision]
