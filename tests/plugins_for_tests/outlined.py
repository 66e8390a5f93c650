"""Images whose pixels spell the answers of a network, inside and outside a square, so that every margin is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditor import Analysis, Dataset, Metric, ModelLoader, Preprocessing, Sample, Unreadable, hookimpl

SIDE = 16
INSIDE = {"train": (3, 2.5, 4, 3.5, 2), "test": (1, -0.5, 2, 0.2, -1.2)}
OUTSIDE = {"train": (-4, -3, -3.5, -5, None), "test": (-3.8, -3.2, -3.4, -4.6, None)}
"""Log-odds of the pixels of each image (T-C6 of docs/methods.md); None: it is not known what lies outside the square."""
SCALE, SHIFT = 20.0, -10.0


@dataclass(frozen=True)
class Outlined(Dataset):
    """Five images of five patients with a square finding; `lacking` have no mask, `broken` ones cannot be read."""

    name = "outlined"
    split: Literal["train", "test"] = "test"
    lacking: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    values: int = 1
    side: int = SIDE

    def classes(self) -> tuple[str, ...]:
        return ("Square",)

    def index(self) -> list[Sample]:
        return [
            Sample(f"{self.split}-{n}", f"{self.split}-p{n}", (int(n not in self.without),))
            for n in range(len(INSIDE[self.split]))
        ]

    def read(self, sample: Sample) -> Any:
        number = int(sample.id[-1])
        outside = OUTSIDE[self.split][number]
        pixels = np.full((1, SIDE, SIDE), -3.0 if outside is None else outside, np.float32)
        if number not in self.without:
            pixels[0, 4:8, 8:12] = INSIDE[self.split][number]
        return (pixels - SHIFT) / SCALE

    def mask(self, sample: Sample) -> Any:
        number = int(sample.id[-1])
        if number in self.lacking:
            return None
        if number in self.broken:
            raise Unreadable("missing", "no such file")
        mask = np.full((1, self.side, SIDE), 255 if OUTSIDE[self.split][number] is None else 0, np.uint8)
        if number not in self.without:
            mask[0, 4:8, 8:12] = self.values
        return mask


@dataclass(frozen=True, kw_only=True)
class Stencil(ModelLoader):
    """Reads the answers off the pixels, of every `step`-th one; `wrong` gives something else than logits per pixel."""

    name = "stencil"
    classes: tuple[str, ...] = ("Square",)
    output: Literal["image", "pixels"] = "pixels"
    preprocessing: Preprocessing = Preprocessing(size=SIDE, channels=1, mean=(0.0,), std=(1.0,))
    step: int = 1
    more: float = 0.0
    wrong: Literal["", "whole", "uneven", "nan"] = ""

    def digest(self) -> str:
        return f"stencil-{self.step}-{self.more}-{self.wrong}"

    def load(self) -> Any:
        from torch import nn

        step, more, wrong, count = self.step, self.more, self.wrong, len(self.classes)

        class Reads(nn.Module):
            def forward(self, images: Any) -> Any:
                answers = (images[:, :, step // 2 :: step, step // 2 :: step] * SCALE + SHIFT + more).expand(-1, count, -1, -1)
                if wrong == "whole":
                    return answers.mean((2, 3))
                if wrong == "uneven":
                    return answers[:, :, :, ::2]
                return answers / 0.0 if wrong == "nan" else answers

        return Reads()


@dataclass(frozen=True)
class Covered(Analysis):
    """The share of each case's image that its mask covers."""

    name = "covered"
    needs = frozenset({"mask"})
    metrics = (Metric("covered", "The share of the image that is inside.", low=0, high=1),)

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"covered": (batch.pixel_truth == 1).mean((1, 2))}


@hookimpl
def register_datasets() -> list[type]:
    return [Outlined]


@hookimpl
def register_models() -> list[type]:
    return [Stencil]


@hookimpl
def register_analyses() -> list[type]:
    return [Covered]
