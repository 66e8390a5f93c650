"""The units of a layer that overlap the boxes of a finding most, and the images that each of them responds to most.

Both are found in one stream over the feature maps: overlap sums by class and unit, and for every unit the few images with its
highest values, one per patient, with their maps. Which units are shown is a printed rule (`shown_units.RULE`).

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numba
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
        if not self._started:
            self._begin(len(view.classes), maps)
        first = len(self._images)
        self._images += [_Image(sample.id, sample.patient, tuple(sample.labels)) for sample in view.samples]
        owners = [self._patients.setdefault(sample.patient, len(self._patients)) for sample in view.samples]
        self._owners += owners
        limits = np.broadcast_to(limits, maps.shape[:2])
        flat, floor = maps.reshape(*maps.shape[:2], -1), _rounded_down(limits)
        peak, area = np.empty(flat.shape[:2], np.float32), np.empty(flat.shape[:2], np.int64)
        _read(flat, floor, peak, area)
        self._overlap(view, flat, floor, area, first)
        _enter(flat, peak, floor, limits, np.array(owners), first, self._top, self._whose, self._which, self._limit, self._maps)
        self._values += list(np.where(peak > floor, peak, -np.inf).astype(np.float32))

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
        self._maps = np.zeros((channels, SHOWN_IMAGES, height * width), np.float32)
        self._grid = (height, width)
        self._boxes: dict[tuple[int, int], Sequence[Box]] = {}

    def _overlap(self, view: View, flat: Floats, floor: Floats, area: npt.NDArray[np.int64], first: int) -> None:
        """Add active areas, boxes and their intersections, in nodes, class by class."""
        for image, target, boxes in zip(view.cases.image.tolist(), view.cases.target.tolist(), view.boxes, strict=True):
            if target < 0:
                continue
            covered = coverage(boxes, *self._grid)
            nodes = np.flatnonzero(covered)
            _add_active(flat[image], floor[image], area[image], nodes, covered[nodes], self._both[target])
            self._area[target] += area[image]
            self._covered[target] += covered.sum()
            self._boxed.setdefault(target, []).append(first + image)
            self._boxes[first + image, target] = boxes

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
        number, map_ = int(self._which[unit, place]), self._maps[unit, place].reshape(self._grid)
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


def _rounded_down(limits: npt.NDArray[np.float64]) -> Floats:
    """The largest float32 not above each limit: a float32 exceeds the one exactly when it exceeds the other."""
    near = limits.astype(np.float32)
    return np.where(near > limits, np.nextafter(near, np.float32(-np.inf)), near)


@numba.njit(cache=True, parallel=True)
def _read(flat, floor, peak, area):  # type: ignore[no-untyped-def]
    """The highest value of every map [n, C, nodes] and how many of its nodes are above its floor, both [n, C]."""
    for c in numba.prange(flat.shape[1]):
        for n in range(flat.shape[0]):
            plane, least = flat[n, c], floor[n, c]
            highest, above = plane[0], 0
            for i in range(len(plane)):
                highest = max(highest, plane[i])
                above += plane[i] > least
            peak[n, c], area[n, c] = highest, above


@numba.njit(cache=True)
def _add_active(maps, floor, area, nodes, covered, both):  # type: ignore[no-untyped-def]
    """Add to `both` [C] what is `covered` of those of these nodes that are active in each map [C, all nodes]."""
    for c in range(len(maps)):
        if area[c]:
            for i in range(len(nodes)):
                both[c] += covered[i] if maps[c, nodes[i]] > floor[c] else np.float32(0)


@numba.njit(cache=True, parallel=True)
def _enter(flat, peak, floor, limits, owners, first, top, whose, which, limit, maps):  # type: ignore[no-untyped-def]
    """Let images into the top [C, places] of every unit; of a patient the higher value stays, of equals the first."""
    for c in numba.prange(flat.shape[1]):
        for n in range(flat.shape[0]):
            if not peak[n, c] > floor[n, c]:
                continue
            place = 0
            for other in range(top.shape[1]):
                if whose[c, other] == owners[n]:
                    place = other
                    break
                lower = top[c, other] < top[c, place]
                if lower or (top[c, other] == top[c, place] and which[c, other] > which[c, place]):
                    place = other
            if peak[n, c] > top[c, place]:
                top[c, place], limit[c, place] = peak[n, c], limits[n, c]
                whose[c, place], which[c, place] = owners[n], first + n
                maps[c, place] = flat[n, c]
