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
"""How bright a finding is, how bright `first` in image 1 and everything in training images, and the hottest places: whole 255ths, so that
nothing is rounded."""

LIFT, ALWAYS = 1 / 64, {"first": 2.0, "second": 1.0, "third": 2.0}
"""What the network that takes one finding for the next adds to all its features, and the evidence for each class that its fourth gives."""

Split = Literal["test", "train"]
Eyes = Literal["own", "beside", "blind", "averse", "next"]
GAIN: dict[Eyes, float] = {"own": 2.0, "beside": 2.0, "blind": 0.0, "averse": -2.0, "next": 3.0}
"""What a finding at PLATEAU adds to the logit of the network that looks at it."""


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
"""What each image shows. A seventh image cannot be read."""
OWNERS = (0, 0, 1, 2, 2, 3, 3)
"""The patients of the images."""
ASTRAY = 6
"""How many columns further right `second` lies in image 3: there its box does not hold the ring of the others, theirs hold its own's edge."""


def plateau(name: str, number: int, split: Split = "test") -> float:
    """How bright a finding is in an image."""
    return RAISED if split == "train" or (name, number) == ("first", 1) else PLATEAU


def place(name: str, number: int) -> Finding:
    """Where a finding lies in an image."""
    rows, (left, right), hot = FINDINGS[name]
    by = ASTRAY if (name, number) == ("second", 3) else 0
    return Finding(rows, (left + by, right + by), tuple((row, column + by) for row, column in hot))


def drawn(name: str, number: int, split: Split = "test") -> tuple[Any, Any]:
    """(pixels [32, 48] of a finding alone, its box [32, 48]) as it lies in an image."""
    finding, box = place(name, number), np.zeros((HEIGHT, WIDTH), bool)
    box[slice(*finding.rows), slice(*finding.columns)] = True
    pixels = np.where(box, np.float64(plateau(name, number, split)), 0.0)
    for row, column in finding.hot:
        pixels[row, column] = HOT
    return pixels, box


def picture(number: int, split: Split = "test") -> Any:
    """Image [3, 32, 48]: channel k shows class k."""
    shown = SHOWS[number]
    pixels = [drawn(name, number, split)[0] if name in shown else np.zeros((HEIGHT, WIDTH)) for name in CLASSES]
    return np.stack(pixels).astype(np.float32)


@dataclass(frozen=True)
class Truth(Dataset):
    """Six images of three patients with three findings, and one image that cannot be read.

    The training images are six like them of other patients, with every finding raised.
    """

    name = "self_test"
    split: Split = "test"

    def classes(self) -> tuple[str, ...]:
        """first, second, third."""
        return CLASSES

    def index(self) -> list[Sample]:
        """Seven samples; six to train on."""
        samples = []
        image, patient = ("image", "patient") if self.split == "test" else ("learnt", "teacher")
        for number, shown in enumerate((*SHOWS, ()) if self.split == "test" else SHOWS):
            boxes = [self._box(name, number) for name in shown]
            labels = tuple(int(name in shown) for name in CLASSES)
            samples.append(Sample(f"{image}-{number}", f"{patient}-{OWNERS[number]}", labels, tuple(boxes)))
        return samples

    def read(self, sample: Sample) -> Any:
        """The image of a sample."""
        number = int(sample.id[-1])
        if number == len(SHOWS):
            raise Unreadable("decode:truncated", "planted: this image cannot be read")
        return picture(number, self.split)

    def _box(self, name: str, number: int) -> Box:
        (top, bottom), (left, right), _ = place(name, number)
        return Box(name, left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT)


@dataclass(frozen=True, kw_only=True)
class TruthNetwork(ModelLoader):
    """A network that looks where `eyes` says: at its finding, four columns beside it, at nothing, away from it, or at the next finding.

    The logit of a class is -2, and 2 more (`own`, `beside`), 2 less (`averse`) or 3 more (`next`) where what it looks at shows at PLATEAU.
    """

    name = "self_test"
    eyes: Eyes = "own"
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

        lift = LIFT if self.eyes == "next" else 0.0
        features, head = nn.Conv2d(3, 4, (1, 9), padding=(0, 4)), nn.Linear(4, 3)
        with torch.no_grad():
            features.weight.zero_()
            features.bias.fill_(lift)  # type: ignore[union-attr]
            head.weight.zero_()
            for channel in range(3):
                features.weight[channel, channel, 0, 0 if self.eyes == "beside" else 4] = 1.0
            for output, name in enumerate(self.classes):
                looked_at = after(name) if self.eyes == "next" else name
                weight = GAIN[self.eyes] * SIDE * SIDE / brightness(looked_at)
                head.weight[output, CLASSES.index(looked_at)] = weight
                head.weight[output, 3] = ALWAYS[name] / lift if lift else 0.0
                head.bias[output] = -2.0 - (ALWAYS[name] + weight * lift if lift else 0.0)
        parts = {"features": nn.Sequential(features, nn.ReLU()), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()}
        network = nn.Sequential()
        for part, module in {**parts, "head": head}.items():
            network.add_module(part, module)
        return network.eval()


def after(name: str) -> str:
    """The class that comes next; the first after the last."""
    return CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)]


def brightness(name: str, number: int = 0, split: Split = "test") -> float:
    """The sum of a finding's pixels as the networks see it, at PLATEAU unless another image is asked for."""
    return float(seen(name, number, split)[0].sum())


def seen(name: str, number: int, split: Split = "test") -> tuple[Any, Any]:
    """What `drawn` gives, [32, 32] each, within the part of the image that the networks see."""
    cut = slice((WIDTH - SIDE) // 2, (WIDTH + SIDE) // 2)
    pixels, box = drawn(name, number, split)
    return pixels[:, cut], box[:, cut]


@hookimpl
def register_datasets() -> list[type]:
    """The images."""
    return [Truth]


@hookimpl
def register_models() -> list[type]:
    """The networks."""
    return [TruthNetwork]
