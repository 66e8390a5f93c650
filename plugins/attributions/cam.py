"""Class activation maps: the weights of a pooled linear head times the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor import Attribution, PluginError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from auditor import Cases, Network

SLOTS = 16
"""Classes per matrix product; always the same, because float32 products change in the last bit with their shape."""


@dataclass(frozen=True)
class Cam(Attribution):
    """Class activation maps, for networks that end in pooling and one linear layer.

    CAM_k = sum over channels c of w_kc * A_c, without bias or ReLU, [P, h, w] at the layer's resolution.

    Only for a network that ends in global average pooling and one linear layer right after the attribution layer.
    Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """

    name = "cam"

    def explain(self, network: Network, images: Tensor, cases: Cases) -> Tensor:
        if network.pooled_head is None:
            layer = network.layers.get("attribution", "")
            raise PluginError(
                f"cam: after layer {layer!r} comes more than average pooling and one linear layer; "
                "use attribution gradcam, or name the last convolutional layer as layers.attribution"
            )
        return weighted_maps(network.features(images), network.pooled_head[cases.target], cases)


def weighted_maps(features: Tensor, weights: Tensor, cases: Cases) -> Tensor:
    """For every case the sum over channels of its weights [P, C] times its image's features [N, C, h, w]: [P, h, w].

    One batched product per `SLOTS` different classes, so the features are never copied per case.
    """
    import torch

    count, channels, height, width = features.shape
    nodes = features.flatten(2)
    maps = features.new_empty((len(weights), height, width))
    targets, slot = torch.unique(cases.target, return_inverse=True)
    for first in range(0, len(targets), SLOTS):
        rows = ((slot >= first) & (slot < first + SLOTS)).nonzero()[:, 0]
        image, place = cases.image[rows], slot[rows] - first
        table = features.new_zeros((count, SLOTS, channels))
        table[image, place] = weights[rows].to(features.dtype)
        maps[rows] = (table @ nodes)[image, place].reshape(-1, height, width)
    return maps


@hookimpl
def register_attributions() -> list[type]:
    return [Cam]
