"""T-DenseNet: the first half of DenseNet-121, whose maps stay large enough to localise with."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import Layers, ModelRefused, hookimpl

from ._from_checkpoint import CheckpointLoader

if TYPE_CHECKING:
    from torch import nn

KEPT = ("conv0", "norm0", "relu0", "pool0", "denseblock1", "transition1", "denseblock2")


def TDenseNet(outputs: int) -> nn.Sequential:
    """DenseNet-121 up to its second dense block, batch norm, ReLU, mean over positions, one linear layer.

    Images [N, 3, H, W] -> logits [N, outputs]; the maps after `features.relu5` are [N, 512, H/8, W/8]: 28 x 28 for 224.
    Source: imba-explain, classifiers/truncated_densenet.py (timm's norms there contain the two ReLUs written out here).
    """
    from torch import nn
    from torchvision.models import densenet121

    whole = densenet121(weights=None).features
    features = OrderedDict((name, getattr(whole, name)) for name in KEPT)
    features["norm5"] = nn.BatchNorm2d(512)
    features["relu5"] = nn.ReLU()
    parts = OrderedDict(
        features=nn.Sequential(features),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(512, outputs),
    )
    return nn.Sequential(parts)


@dataclass(frozen=True, kw_only=True)
class TruncatedDenseNet(CheckpointLoader):
    """T-DenseNet with the weights of a file; looked at after its last ReLU, for attribution and dissection alike."""

    name: ClassVar[str] = "t_densenet"

    def build(self, outputs: int) -> nn.Module:
        """T-DenseNet before training."""
        if self.preprocessing.channels != 3:
            raise ModelRefused(f"preprocessing.channels: found {self.preprocessing.channels}; t_densenet takes 3")
        return TDenseNet(outputs)

    def default_layers(self) -> Layers:
        """The maps after the last ReLU, as in the paper."""
        return Layers(attribution="features.relu5", dissection="features.relu5")


@hookimpl
def register_models() -> list[type]:
    """The loader of this file."""
    return [TruncatedDenseNet]
