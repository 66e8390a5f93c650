"""Where the boxes of a class lie on the other images: what a map must beat to know more than where the class usually sits."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from .analysis import OVERALL
from .boxes import Edges, Frame, Rounding, pixel_edges, resized, within
from .dataset import Box, Sample
from .errors import PluginError
from .placement import Regions, regions

LIMIT = 500
"""Boxed cases of a class that maps are held against; where a class has more, those with the lowest hash of their id."""
KEPT, EDGES_KEPT = 64, 20_000


class Others(NamedTuple):
    """A few of the J boxed cases of a class: their places among them, and the boxes of each on the grid of an image."""

    places: list[int]
    edges: list[list[Edges]]
    of: int


class Elsewhere:
    """The boxed cases of every class: `cases[k]` are the numbers of their samples, in order.

    They are known before an image is read, so one look at a map scores it against all of them.
    """

    def __init__(self, samples: Sequence[Sample], classes: Sequence[str], limit: int = LIMIT) -> None:
        self.cases = tuple(_chosen(samples, name, limit) for name in classes)
        self._boxes = [
            [_of_class(samples[number], name) for number in of] for name, of in zip(classes, self.cases, strict=True)
        ]
        self._kept: dict[tuple[int, Frame, tuple[int, int], float], Regions] = {}
        self._edges: dict[tuple[int, int, Frame, tuple[int, int], Rounding], list[Edges]] = {}
        self._circle = [sorted((_place(samples[number]), place) for place, number in enumerate(of)) for of in self.cases]
        self._patients = [[samples[number].patient for number in of] for of in self.cases]

    def few(self, sample: Sample, target: int, count: int) -> list[int]:
        """At most `count` of the boxed cases of this class, none of this patient, as places in `cases[target]`.

        The cases stand in a circle, patient by patient in the order of a hash; from its own place a sample meets those at
        count + 1 equal steps around it, so that every case meets, and is met by, equally many.
        """
        circle = self._circle[target]
        start, size = bisect_left(circle, (_place(sample), -1)), len(circle)
        steps = [size * step // (count + 1) for step in range(1, count + 1)] if size > count else range(1, size)
        met = [circle[(start + step) % size][1] for step in steps]
        return [place for place in met if self._patients[target][place] != sample.patient]

    def edges(self, target: int, place: int, frame: Frame, size: tuple[int, int], rounding: Rounding) -> list[Edges]:
        """The boxes of one case of this class as they would lie on an image seen in this frame; none if they fall outside."""
        key = (target, place, frame, size, rounding)
        if key not in self._edges:
            if len(self._edges) >= EDGES_KEPT:
                self._edges.clear()
            seen = (within(box, frame) for box in self._boxes[target][place])
            self._edges[key] = [pixel_edges(box, *size, rounding) for box in seen if box]
        return list(self._edges[key])

    def regions(self, target: int, frame: Frame, size: tuple[int, int], scale: float = 1.0) -> Regions:
        """The boxes of every case of this class as they would lie on an image seen in this frame, on a grid of this size.

        Their sides are `scale` times as long. A box that falls outside the frame has no pixels.
        """
        if target == OVERALL:
            raise PluginError("an image as a whole has no class whose boxes elsewhere it could be held against")
        key = (target, frame, size, scale)
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            seen = [[moved for box in boxes if (moved := within(resized(box, scale), frame))] for boxes in self._boxes[target]]
            self._kept[key] = regions([[pixel_edges(box, *size) for box in boxes] for boxes in seen])
        return self._kept[key]


def _chosen(samples: Sequence[Sample], name: str, limit: int) -> tuple[int, ...]:
    boxed = [number for number, sample in enumerate(samples) if any(box.label == name for box in sample.boxes)]
    if len(boxed) > limit:
        boxed = sorted(boxed, key=lambda number: hashlib.sha256(samples[number].id.encode()).digest())[:limit]
    return tuple(sorted(boxed))


def _place(sample: Sample) -> tuple[bytes, bytes]:
    """Where a sample stands in a circle of patients."""
    return hashlib.sha256(str(sample.patient).encode()).digest(), hashlib.sha256(sample.id.encode()).digest()


def _of_class(sample: Sample, name: str) -> tuple[Box, ...]:
    return tuple(box for box in sample.boxes if box.label == name)
