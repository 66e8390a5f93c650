"""A data set, networks and strategies small enough to train in a second, and a way to die at a given moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditor import Dataset, Sample, Strategy, TrainingBatch, Unreadable, hookimpl

CLASSES = ("Nodule", "Effusion", "Mass")
PREVALENCE = (0.5, 0.35, 0.2)
CORNERS = ((2, 2), (2, 9), (9, 5))


@dataclass(frozen=True)
class Squares(Dataset):
    """Noise with a bright square per class at the place of the class; three images a patient.

    `unknown` classes have no label on every second image, `never` none at all; `absent` has no positive.
    """

    name = "squares"
    images: int = 24
    split: Literal["train", "val", "test"] = "train"
    broken: tuple[int, ...] = ()
    nan: tuple[int, ...] = ()
    unknown: str = ""
    never: str = ""
    absent: str = ""
    one_hospital: bool = False
    colour: bool = False

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def index(self) -> list[Sample]:
        owner = "patient" if self.one_hospital else self.split
        return [Sample(f"{self.split}-{n:03d}", f"{owner}-{n // 3}", self._labels(n)) for n in range(self.images)]

    def _lots(self, number: int) -> Any:
        return np.random.Generator(np.random.Philox(key=[len(self.split) + ord(self.split[0]), number]))

    def _there(self, number: int) -> list[bool]:
        lots = self._lots(number).random(3)
        return [bool(lots[k] < PREVALENCE[k]) and name != self.absent for k, name in enumerate(CLASSES)]

    def _labels(self, number: int) -> tuple[int | None, ...]:
        hidden = {self.never, self.unknown if number % 2 else ""}
        return tuple(None if name in hidden else int(there) for name, there in zip(CLASSES, self._there(number), strict=True))

    def read(self, sample: Sample) -> Any:
        number = int(sample.id[-3:])
        if number in self.broken:
            raise Unreadable("decode:truncated", "it ends early")
        draw = self._lots(number)
        draw.random(3)
        pixels = draw.uniform(0, 0.3, (3 if self.colour else 1, 16, 16)).astype(np.float32)
        for there, (down, across) in zip(self._there(number), CORNERS, strict=True):
            if there:
                pixels[:, down : down + 5, across : across + 5] += 0.6
        if number in self.nan:
            pixels[0, 0, 0] = np.nan
        return pixels


def plain(classes: int, channels: int = 1) -> Any:
    """Two convolutions without anything that looks at the batch as a whole."""
    from torch import nn

    maps = nn.Sequential(nn.Conv2d(channels, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes))


def normed(classes: int, channels: int = 1) -> Any:
    """The same with batch norm and dropout."""
    from torch import nn

    maps = nn.Sequential(nn.Conv2d(channels, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, classes))


def pair(classes: int) -> Any:
    """A network that gives two things."""
    from torch import nn

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = plain(classes)

        def forward(self, images: Any) -> Any:
            return self.inside(images), images

    return Pair()


@dataclass(frozen=True)
class Stumbles(Strategy):
    """Cross-entropy that raises after so many batches."""

    name = "stumbles"
    after: int = 0

    def loss(self, counts: Any) -> Any:
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

        calls = iter(range(self.after))

        def criterion(logits: Any, labels: Any) -> Any:
            if next(calls, None) is None:
                raise ZeroDivisionError("on purpose")
            return cross_entropy(logits, labels, reduction="none")

        return criterion


@dataclass(frozen=True)
class Uneven(Strategy):
    """Adds the batch again, in one process of several only."""

    name = "uneven"

    def loss(self, counts: Any) -> Any:
        from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

        return lambda logits, labels: cross_entropy(logits, labels, reduction="none")

    def extra(self, batch: TrainingBatch, network: Any, counts: Any, draw: Any) -> Any:
        return [batch] if os.environ.get("RANK", "0") == "0" else []


@hookimpl
def register_datasets() -> list[type]:
    return [Squares]


@hookimpl
def register_strategies() -> list[type]:
    return [Stumbles, Uneven]


def _deadly(call: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The same function, but the process is killed when it is called for the `at`-th time."""
    calls = iter(range(1, at))

    def counted(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)

    return counted


def _die() -> None:
    what, at = os.environ["AUDITOR_TEST_DIES_AT"].split()
    import torch

    owner: Any = {"backward": torch.Tensor, "fsync": os, "replace": os}[what]
    setattr(owner, what, _deadly(getattr(owner, what), int(at)))


if "AUDITOR_TEST_DIES_AT" in os.environ and not sys.__dict__.setdefault("_auditor_test_dies", False):
    sys.__dict__["_auditor_test_dies"] = True
    _die()
