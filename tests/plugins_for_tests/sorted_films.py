"""Films whose score, map and box are written into their pixels, so that every outcome can be counted by hand.

Film j of 100 positives scores 0.2 + 0.6 j/100, film j of 100 negatives 0.6 j/100. A film whose j ends in 3 has a dead map, every
second positive from 90 on a map beside its box; the others have a map on their box, or where a box would be.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auditor import Attribution, Box, Cases, Dataset, Layers, ModelLoader, Network, Sample, hookimpl

COUNTS: Counter[str] = sys.__dict__.setdefault("_tiny_counts", Counter())
SIDE = 16
ON_BOX, BESIDE, DEAD, BROKEN, RAISES = range(5)


@dataclass(frozen=True)
class SortedFilms(Dataset):
    """100 positives with a box at the left or right, and 100 negatives, two films of each patient; one class.

    `broken`: dead maps hold a NaN instead of nothing. `raises`: explaining a negative fails.
    """

    name = "sorted_films"
    broken: bool = False
    raises: bool = False

    def classes(self) -> tuple[str, ...]:
        return ("Mass",)

    def index(self) -> list[Sample]:
        return [self._sample(label, j) for label in (0, 1) for j in range(100)]

    def _sample(self, label: int, j: int) -> Sample:
        left = 0.125 if j % 4 < 2 else 0.625
        boxes = (Box("Mass", left, 0.25, left + 0.25, 0.5),) if label else ()
        return Sample(f"{label}-{j:02d}", f"patient-{label}-{j // 2}", (label,), boxes)

    def read(self, sample: Sample) -> Any:
        COUNTS["reads"] += 1
        label, j = int(sample.id[0]), int(sample.id[2:])
        pixels = np.zeros((3, SIDE, SIDE), np.float32)
        pixels[0], pixels[1], pixels[2] = 0.2 * label + 0.006 * j, self._map(label, j) / 8, float(j % 4 < 2)
        return pixels

    def _map(self, label: int, j: int) -> int:
        if self.raises and not label:
            return RAISES
        if j % 10 == 3:
            return BROKEN if self.broken else DEAD
        return BESIDE if label and j >= 90 and j % 2 == 0 else ON_BOX


@dataclass(frozen=True, kw_only=True)
class ReadsTheScore(ModelLoader):
    """The logit is the mean of the first channel times `slope`."""

    name = "reads_the_score"
    classes: tuple[str, ...] = ("Mass",)
    slope: float = 4.0

    def default_layers(self) -> Layers:
        return Layers("features", "features")

    def digest(self) -> str:
        return f"reads-{self.slope}"

    def load(self) -> Any:
        network = torch.nn.Sequential()
        network.add_module("features", torch.nn.Conv2d(3, 3, 1, bias=False))
        network.add_module("pool", torch.nn.AdaptiveAvgPool2d(1))
        network.add_module("flat", torch.nn.Flatten())
        network.add_module("head", torch.nn.Linear(3, 1, bias=False))
        with torch.no_grad():
            network.features.weight.copy_(torch.eye(3)[:, :, None, None])
            network.head.weight.copy_(torch.tensor([[self.slope, 0.0, 0.0]]))
        network.register_forward_hook(lambda *_: COUNTS.update(["forwards"]))
        return network


@dataclass(frozen=True)
class WrittenMaps(Attribution):
    """Reads off the film which map it is to have."""

    name = "written"

    def explain(self, network: Network, images: torch.Tensor, cases: Cases) -> torch.Tensor:
        network.features(images)
        kinds = (images[cases.image, 1, 0, 0] * 8).round().int().tolist()
        sides = images[cases.image, 2, 0, 0].tolist()
        if RAISES in kinds:
            raise RuntimeError("this film cannot be explained")
        maps = torch.zeros(len(kinds), SIDE, SIDE)
        for place, (kind, left) in enumerate(zip(kinds, sides, strict=True)):
            column = 2 if bool(left > 0.5) != (kind == BESIDE) else 10
            if kind in (ON_BOX, BESIDE):
                maps[place, 4:8, column : column + 4] = 1
            if kind == BROKEN:
                maps[place, 0, 0] = torch.nan
        return maps


@hookimpl
def register_datasets() -> list[type]:
    return [SortedFilms]


@hookimpl
def register_models() -> list[type]:
    return [ReadsTheScore]


@hookimpl
def register_attributions() -> list[type]:
    return [WrittenMaps]
