"""Planted truth that every audit is tried on first: images and networks whose every number is known beforehand.

The self-test loads this file as it loads any plugin that an audit lists. Nothing here is drawn at random. The images are not
square, one side is cropped away, a box is cut by the crop, the networks name their outputs in another order than the data
set, a region touches itself only at a corner, one has a hole, one crosses the edge of its box, and a channel is dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from auditor import Box, Dataset, Layers, ModelLoader, Preprocessing, Sample, Unreadable, hookimpl

HEIGHT, WIDTH, SIDE = 32, 48, 32
"""The images; the networks see columns 8 to 39 of them."""

PLATEAU, RAISED, HOT = 0.4, 0.8, 1.0
"""How bright a finding is, how bright the one of image 1, and its hottest places: whole 255ths, so that nothing is rounded."""


class Finding(NamedTuple):
    """A finding: its box (rows, columns), and its hottest places (row, column)."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    hot: tuple[tuple[int, int], ...]


FINDINGS = {
    # a block of four, and two pixels that touch at a corner: two regions
    "first": Finding((4, 12), (12, 20), ((5, 13), (5, 14), (6, 13), (6, 14), (9, 17), (10, 18))),
    # a ring: one region, whatever its hole
    "second": Finding((18, 26), (24, 34), tuple((20 + r, 27 + c) for r in range(3) for c in range(3) if (r, c) != (1, 1))),
    # a bar that begins in the box and ends outside: one region; the crop leaves columns 8 to 13 of the box
    "third": Finding((20, 30), (2, 14), tuple((25, column) for column in range(11, 17))),
}
CLASSES = tuple(FINDINGS)
SHOWS = (("first",), ("first", "second"), ("first", "second", "third"), ("second", "third"), ("third",), ())
"""What each image shows; images 0 and 1 are of one patient, 2 and 3, 4 and 5 likewise. A seventh image cannot be read."""


def picture(number: int) -> Any:
    """Image [3, 32, 48]: channel k shows class k."""
    pixels = np.zeros((3, HEIGHT, WIDTH), np.float32)
    for name in SHOWS[number]:
        finding, channel = FINDINGS[name], CLASSES.index(name)
        pixels[channel, slice(*finding.rows), slice(*finding.columns)] = RAISED if (name, number) == ("first", 1) else PLATEAU
        for row, column in finding.hot:
            pixels[channel, row, column] = HOT
    return pixels


@dataclass(frozen=True)
class Truth(Dataset):
    """Six images of three patients with three findings, and one image that cannot be read."""

    name = "self_test"

    def classes(self) -> tuple[str, ...]:
        """first, second, third."""
        return CLASSES

    def index(self) -> list[Sample]:
        """Seven samples."""
        samples = []
        for number, shown in enumerate((*SHOWS, ())):
            boxes = [self._box(name) for name in shown]
            labels = tuple(int(name in shown) for name in CLASSES)
            samples.append(Sample(f"image-{number}", f"patient-{number // 2}", labels, tuple(boxes)))
        return samples

    def read(self, sample: Sample) -> Any:
        """The image of a sample."""
        number = int(sample.id[-1])
        if number == len(SHOWS):
            raise Unreadable("decode:truncated", "planted: this image cannot be read")
        return picture(number)

    def _box(self, name: str) -> Box:
        (top, bottom), (left, right) = FINDINGS[name].rows, FINDINGS[name].columns
        return Box(name, left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT)


@dataclass(frozen=True, kw_only=True)
class TruthNetwork(ModelLoader):
    """A network that looks where `eyes` says: at its finding, four columns beside it, at nothing, or away from it.

    The logit of a class is -2, and 2 more (`own`, `beside`) or 2 less (`averse`) where its finding shows at PLATEAU.
    """

    name = "self_test"
    eyes: Literal["own", "beside", "blind", "averse"] = "own"
    classes: tuple[str, ...] = ("third", "first", "second")
    preprocessing: Preprocessing = Preprocessing(size=SIDE, fit="crop", resize=SIDE, mean=(0.0,), std=(1.0,))

    def default_layers(self) -> Layers:
        """The only layer there is."""
        return Layers("features", "features")

    def digest(self) -> str:
        """The eyes decide everything."""
        return f"self-test-{self.eyes}"

    def load(self) -> Any:
        """Three channels that show the findings and a dead one, their mean, one linear layer."""
        import torch
        from torch import nn

        features = nn.Conv2d(3, 4, (1, 9), padding=(0, 4), bias=False)
        head = nn.Linear(4, 3)
        sign = {"own": 2.0, "beside": 2.0, "blind": 0.0, "averse": -2.0}[self.eyes]
        with torch.no_grad():
            features.weight.zero_()
            head.weight.zero_()
            head.bias.fill_(-2.0)
            for output, name in enumerate(self.classes):
                channel = CLASSES.index(name)
                features.weight[channel, channel, 0, 0 if self.eyes == "beside" else 4] = 1.0
                head.weight[output, channel] = sign * SIDE * SIDE / brightness(name)
        parts = {"features": nn.Sequential(features, nn.ReLU()), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
        network = nn.Sequential()
        for part, module in {**parts, "head": head}.items():
            network.add_module(part, module)
        return network.eval()


def brightness(name: str, plateau: float = PLATEAU) -> float:
    """The sum of a finding's pixels as the networks see it."""
    pixels, _ = seen(name, plateau)
    return float(pixels.sum())


def seen(name: str, plateau: float = PLATEAU) -> tuple[Any, Any]:
    """(pixels [32, 32] of a finding alone, its box [32, 32]) within the part of the image that the networks see."""
    finding, box = FINDINGS[name], np.zeros((HEIGHT, WIDTH), bool)
    box[slice(*finding.rows), slice(*finding.columns)] = True
    pixels = np.where(box, np.float64(plateau), 0.0)
    for row, column in finding.hot:
        pixels[row, column] = HOT
    cut = slice((WIDTH - SIDE) // 2, (WIDTH + SIDE) // 2)
    return pixels[:, cut], box[:, cut]


@hookimpl
def register_datasets() -> list[type]:
    """The images."""
    return [Truth]


@hookimpl
def register_models() -> list[type]:
    """The networks."""
    return [TruthNetwork]
