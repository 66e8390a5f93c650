"""The units of a layer that overlap the boxes of a finding most, and the images that each of them responds to most.

Both are found in one stream over the feature maps: overlap sums by class and unit, and for every unit the few images with its
highest values, one per patient, with their maps. Which units are shown is a printed rule (`shown_units.RULE`).

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from .conclusion import Fires, TopImage, TopUnit
from .detecting import coverage
from .shown_units import COUNTED, FEWEST, SHOWN_IMAGES, SHOWN_UNITS
from .thresholds import planes

if TYPE_CHECKING:
    from .batch import View
    from .dataset import Box

Floats = npt.NDArray[np.float32]


class _Image(NamedTuple):
    sample: str
    patient: str
    labels: tuple[int | None, ...]


class UnitTops:
    """What must be kept of a stream of views to name the units and their images; images come in the order of the data set."""

    def __init__(self) -> None:
        self._images: list[_Image] = []
        self._patients: dict[str, int] = {}
        self._values: list[Floats] = []
        self._owners: list[int] = []
        self._boxed: dict[int, list[int]] = {}
        self._started = False

    def add(self, view: View, limits: npt.NDArray[np.float64]) -> None:
        """Take in the images of a view; `limits` [C], or [n, C] where they differ by image, are what an active value exceeds."""
        maps = planes(view.features)
        limits = np.broadcast_to(limits, maps.shape[:2])
        if not self._started:
            self._begin(len(view.classes), maps)
        first = len(self._images)
        active = maps > limits[:, :, None, None]
        self._overlap(view, active, first)
        for number, (sample, map_, limit) in enumerate(zip(view.samples, maps, limits, strict=True), first):
            self._images.append(_Image(sample.id, sample.patient, tuple(sample.labels)))
            self._take(number, map_, limit, self._patients.setdefault(sample.patient, len(self._patients)))

    def chosen(self, usable: npt.NDArray[np.bool_]) -> tuple[TopUnit, ...]:
        """The units to show, of those that are `usable` [C]: the largest overlaps, every class and every unit once."""
        found: list[TopUnit] = []
        if not self._started:
            return ()
        union = self._area + self._covered[:, None] - self._both
        iou = np.divide(self._both, union, out=np.zeros_like(union), where=union > 0)
        ranked = [target for target in self._boxed if self._patients_of(target) >= FEWEST]
        order = sorted(
            (-iou[target, unit], target, unit) for target in ranked for unit in np.flatnonzero(usable & (iou[target] > 0))
        )
        for minus, target, unit in order:
            if len(found) < SHOWN_UNITS and all(target != one.target and unit != one.unit for one in found):
                found.append(self._unit(int(unit), target, float(-minus)))
        return tuple(found)

    def _begin(self, classes: int, maps: Floats) -> None:
        channels, height, width = maps.shape[1:]
        self._started = True
        self._both, self._area = np.zeros((classes, channels)), np.zeros((classes, channels))
        self._covered = np.zeros(classes)
        self._top = np.full((channels, SHOWN_IMAGES), -np.inf, np.float32)
        self._whose = np.full((channels, SHOWN_IMAGES), -1, np.int64)
        self._which = np.full((channels, SHOWN_IMAGES), -1, np.int64)
        self._limit = np.zeros((channels, SHOWN_IMAGES))
        self._maps = np.zeros((channels, SHOWN_IMAGES, height, width), np.float32)
        self._boxes: dict[tuple[int, int], Sequence[Box]] = {}

    def _overlap(self, view: View, active: npt.NDArray[np.bool_], first: int) -> None:
        """Add active areas, boxes and their intersections, in nodes, class by class."""
        import torch

        height, width = active.shape[2:]
        flat = torch.from_numpy(active.reshape(*active.shape[:2], -1).astype(np.float32))
        area = flat.sum(2).numpy()
        for image, target, boxes in zip(view.cases.image.tolist(), view.cases.target.tolist(), view.boxes, strict=True):
            if target < 0:
                continue
            covered = coverage(boxes, height, width)
            self._both[target] += (flat[image] @ torch.from_numpy(covered)).numpy()
            self._area[target] += area[image]
            self._covered[target] += covered.sum()
            self._boxed.setdefault(target, []).append(first + image)
            self._boxes[first + image, target] = boxes

    def _take(self, number: int, map_: Floats, limit: npt.NDArray[np.float64], patient: int) -> None:
        """Let an image into the top of every unit that it belongs to; of a patient the higher value stays, of equals the first."""
        value = map_.max((1, 2))
        self._values.append(np.where(value > limit, value, -np.inf).astype(np.float32))
        self._owners.append(patient)
        every = np.arange(len(value))
        same = self._whose == patient
        lowest = np.where(self._top == self._top.min(1, keepdims=True), self._which, -2).argmax(1)
        place = np.where(same.any(1), same.argmax(1), lowest)
        enters = np.flatnonzero((value > limit) & (value > self._top[every, place]))
        into = place[enters]
        self._top[enters, into], self._whose[enters, into] = value[enters], patient
        self._which[enters, into], self._limit[enters, into] = number, limit[enters]
        self._maps[enters, into] = map_[enters]

    def _patients_of(self, target: int) -> int:
        return len({self._images[number].patient for number in self._boxed[target]})

    def _unit(self, unit: int, target: int, iou: float) -> TopUnit:
        order = np.lexsort((self._which[unit], -self._top[unit]))
        images = tuple(self._image(unit, target, place) for place in order.tolist() if self._which[unit, place] >= 0)
        tops = self._counted(unit)
        classes = range(len(self._covered))
        fires = tuple(
            Fires(number, *self._shows(number, tops), *self._shows(number, range(len(self._images)))) for number in classes
        )
        cases = self._boxed[target]
        return TopUnit(unit, target, iou, len(cases), self._patients_of(target), len(tops), images, fires)

    def _counted(self, unit: int) -> list[int]:
        """The images with the highest values of a unit, one per patient, as far as it is active on them."""
        values = np.array([of_image[unit] for of_image in self._values])
        best: dict[int, int] = {}
        for number in np.argsort(-values, kind="stable").tolist():
            if np.isfinite(values[number]) and len(best) < COUNTED:
                best.setdefault(self._owners[number], number)
        return list(best.values())

    def _shows(self, target: int, numbers: Sequence[int]) -> tuple[int, int]:
        labels = [label for number in numbers if (label := self._images[number].labels[target]) is not None]
        return sum(labels), len(labels)

    def _image(self, unit: int, target: int, place: int) -> TopImage:
        number, map_ = int(self._which[unit, place]), self._maps[unit, place]
        boxes = self._boxes.get((number, target))
        return TopImage(
            self._images[number].sample, float(self._top[unit, place]), float(self._limit[unit, place]),
            None if boxes is None else _peak_in(map_, boxes), tuple(tuple(row) for row in map_.astype(float).tolist()),
        )  # fmt: skip


def _peak_in(map_: Floats, boxes: Sequence[Box]) -> bool:
    """Whether the centre of the node with the highest value lies in one of the boxes."""
    row, column = np.unravel_index(int(map_.argmax()), map_.shape)
    down, across = (row + 0.5) / map_.shape[0], (column + 0.5) / map_.shape[1]
    return any(box.left <= across <= box.right and box.top <= down <= box.bottom for box in boxes)
