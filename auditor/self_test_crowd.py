"""A planted crowd for what six images are too few for: single channels, groups of patients, and networks that outline.

The self-test loads this file as it loads any plugin that an audit lists. Nothing here is drawn at random. Every second image shows
a square of 4 x 4 pixels in one of four places; channel 0 of the pixels is the square, channel 1 a decoy that lies where boxes often
do and knows nothing of them, channel 2 is bright on images without the finding in the group `misled`. Another film of one patient is the brightest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditor import Box, Dataset, Layers, ModelLoader, Preprocessing, Sample, hookimpl

SIDE, SQUARE = 16, 4
PLACES = ((2, 2), (2, 10), (10, 2), (10, 10))
"""Row and column where a square begins."""
PATIENTS, LEARNT = 48, 16
"""Patients of one image each, and images to train on; audited patient 46 has image 48 too."""
GROUPS = {"plain": 20, "misled": 40, "few": PATIENTS}
"""Groups of patients, each up to the number of its last."""
DECOY, MISLEADING = 200 / 255, 200 / 255
LEARNT_BRIGHTNESS = 250 / 255
LIFT = 1 / 4
"""What the network adds to all its features, so that their thresholds are above 0."""
Split = Literal["test", "train"]


def shows(number: int) -> bool:
    """Whether an image shows the finding."""
    return number % 2 == 0


def brightness(number: int, split: Split = "test") -> float:
    """Of its square: rising from image to image in whole 255ths, so that nothing is rounded; the same on all training images."""
    return (150 + number) / 255 if split == "test" else LEARNT_BRIGHTNESS


def place(number: int) -> tuple[int, int]:
    """Where an image's square begins."""
    return PLACES[number // 2 % len(PLACES)]


def group(number: int) -> str:
    """The group of a patient; image 48 is of patient 46."""
    return next(name for name, end in GROUPS.items() if min(number, PATIENTS - 1) < end)


def square(at: tuple[int, int]) -> Any:
    """bool [16, 16]: true in the square that begins there."""
    inside = np.zeros((SIDE, SIDE), bool)
    inside[at[0] : at[0] + SQUARE, at[1] : at[1] + SQUARE] = True
    return inside


@dataclass(frozen=True)
class Crowd(Dataset):
    """49 images of 48 patients in three groups; 16 of others to train on."""

    name = "self_test_crowd"
    split: Split = "test"

    def classes(self) -> tuple[str, ...]:
        """One finding."""
        return ("square",)

    def index(self) -> list[Sample]:
        """The images in order."""
        if self.split == "train":
            return [Sample(f"learnt-{n}", f"teacher-{n}", (int(shows(n)),)) for n in range(LEARNT)]
        return [
            Sample(
                f"image-{n}",
                f"patient-{46 if n == PATIENTS else n}",
                (int(shows(n)),),
                self._boxes(n),
                metadata={"group": group(n)},
            )
            for n in range(PATIENTS + 1)
        ]

    def read(self, sample: Sample) -> Any:
        """Pixels [3, 16, 16]."""
        number, pixels = int(sample.id.partition("-")[2]), np.zeros((3, SIDE, SIDE), np.float32)
        if shows(number):
            pixels[0, square(place(number))] = brightness(number, self.split)
        elif group(number) == "misled":
            pixels[2, square(PLACES[0])] = MISLEADING
        pixels[1, square(PLACES[number // 8 % 2])] = DECOY
        return pixels

    def mask(self, sample: Sample) -> Any:
        """The square."""
        number = int(sample.id.partition("-")[2])
        return (square(place(number)) & shows(number))[None].astype(np.uint8)

    def _boxes(self, number: int) -> tuple[Box, ...]:
        top, left = place(number)
        edges = (left / SIDE, top / SIDE, (left + SQUARE) / SIDE, (top + SQUARE) / SIDE)
        return (Box("square", *edges),) if shows(number) else ()


@dataclass(frozen=True, kw_only=True)
class CrowdNetwork(ModelLoader):
    """For whole images, log-odds -1 + 40 a square's brightness / 16 + twice as much for what misleads; for pixels, -2 + 8 the brightness one and two columns to the left."""

    name = "self_test_crowd"
    classes: tuple[str, ...] = ("square",)
    output: Literal["image", "pixels"] = "image"
    preprocessing: Preprocessing = Preprocessing(size=SIDE, fit="crop", resize=SIDE, mean=(0.0,), std=(1.0,))

    def default_layers(self) -> Layers:
        """The only layer there is."""
        return Layers("features", "features")

    def digest(self) -> str:
        """What it answers for decides everything."""
        return f"self-test-crowd-{self.output}"

    def load(self) -> Any:
        """The channels of the pixels, lifted, their mean, one linear layer; or one convolution."""
        import torch
        from torch import nn

        with torch.no_grad():
            if self.output == "pixels":
                outlines = nn.Conv2d(3, 1, (1, 5), padding=(0, 2))
                outlines.weight.zero_()
                outlines.weight[0, 0, 0, :2] = 8.0
                outlines.bias.fill_(-2.0)  # type: ignore[union-attr]
                return outlines.eval()
            features, head = nn.Conv2d(3, 3, 1), nn.Linear(3, 1)
            features.weight.copy_(torch.eye(3)[..., None, None])
            features.bias.fill_(LIFT)  # type: ignore[union-attr]
            head.weight.copy_(torch.tensor([[40.0, 0.0, 80.0]]))
            head.bias.fill_(-1.0 - (40.0 + 80.0) * LIFT)
        network = nn.Sequential()
        parts = {
            "features": nn.Sequential(features, nn.ReLU()),
            "pool": nn.AdaptiveAvgPool2d(1),
            "flat": nn.Flatten(),
            "head": head,
        }
        for part, module in parts.items():
            network.add_module(part, module)
        return network.eval()


@hookimpl
def register_datasets() -> list[type]:
    """The images."""
    return [Crowd]


@hookimpl
def register_models() -> list[type]:
    """The networks."""
    return [CrowdNetwork]
