"""Grad-CAM: the features weighted by how much their mean moves the class's logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditor import Attribution, hookimpl

from .cam import weighted_maps

if TYPE_CHECKING:
    from torch import Tensor

    from auditor import Cases, Network


@dataclass(frozen=True)
class GradCam(Attribution):
    """Grad-CAM at the attribution layer, for any head.

    Grad-CAM_k = ReLU(sum over channels c of mean(dz_k / dA_c) * A_c), [P, h, w] at the layer's resolution, z the logit.

    For a pooled linear head this is ReLU(CAM) / (h * w). Selvaraju et al., Grad-CAM, ICCV 2017, equations 1 and 2.
    """

    name = "gradcam"

    def explain(self, network: Network, images: Tensor, cases: Cases) -> Tensor:
        weights = network.channel_weights(images, cases)
        return weighted_maps(network.features(images), weights, cases).relu()


@hookimpl
def register_attributions() -> list[type]:
    return [GradCam]
