"""Explanation methods that are broken on purpose, each in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from auditor_plugins.attributions.gradcam import GradCam

from auditor import Attribution, Cases, hookimpl


@dataclass(frozen=True)
class IgnoresNetwork(Attribution):
    """How bright the image is: right wherever findings are bright, whatever was learned."""

    name = "ignores_network"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        return images[cases.image].mean(1)


@dataclass(frozen=True)
class IgnoresClass(Attribution):
    """The evidence for any class at all."""

    name = "ignores_class"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        count = len(network.outputs)
        every = Cases(
            cases.image.repeat_interleave(count), torch.arange(count, device=cases.image.device).repeat(len(cases.image))
        )
        return GradCam().explain(network, images, every).unflatten(0, (-1, count)).amax(1)


@dataclass(frozen=True)
class CouplesBatch(Attribution):
    """A fifth of the mean over the batch in every map, as after a mean-reduced loss."""

    name = "couples_batch"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        maps = GradCam().explain(network, images, cases)
        return 0.8 * maps + 0.2 * maps.mean(0)


@dataclass(frozen=True)
class Noisy(Attribution):
    """Other noise in every call, from a source that no seed reaches."""

    name = "noisy"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        maps = GradCam().explain(network, images, cases)
        noise = torch.from_numpy(np.random.default_rng().uniform(0.5, 1.5, tuple(maps.shape))).to(maps)
        return maps * noise


@dataclass(frozen=True)
class IgnoresImage(Attribution):
    """A bump at a place that the class decides, as high as the network's logit: it asks the network and shows nothing of it."""

    name = "ignores_image"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        across = torch.linspace(-1, 1, 8, device=images.device)
        middle = (cases.target.to(images) / len(network.outputs) - 0.5)[:, None, None]
        bump = torch.exp(-4 * ((across[None, :, None] - middle) ** 2 + across[None, None, :] ** 2))
        return bump * network.logits(images)[cases.image, cases.target].abs()[:, None, None]


@dataclass(frozen=True)
class FallsOverGrey(Attribution):
    """Divides by how much there is to see."""

    name = "falls_over_grey"

    def explain(self, network: Any, images: Any, cases: Any) -> Any:
        if (images.flatten(1).std(1) == 0)[cases.image].any():
            raise ZeroDivisionError("an image without structure")
        return GradCam().explain(network, images, cases)


@hookimpl
def register_attributions() -> list[type]:
    return [IgnoresNetwork, IgnoresClass, CouplesBatch, Noisy, IgnoresImage, FallsOverGrey]
