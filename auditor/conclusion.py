"""What an analysis says when it has seen all its cases together: numbers with intervals, and units that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Number(NamedTuple):
    """A number of one class, or of the network as a whole where `target` is None; `value` is None exactly when `missing` says why.

    `low` and `high` are a 95 % interval over `n_patients` patients; `n` counts cases, `note` says what weakens the interval.
    """

    metric: str
    target: int | None
    value: float | None
    n: int
    n_patients: int
    low: float | None = None
    high: float | None = None
    missing: str | None = None
    note: str | None = None


class Detector(NamedTuple):
    """A unit (channel of the layer, from 0) that detects a class: its IoU with the class's boxes, and its adjusted p."""

    unit: int
    target: int
    iou: float
    p: float


class TopImage(NamedTuple):
    """An image that a unit responds to most: its id, the unit's highest `value`, what counts as active, and its map [h][w].

    `in_box` says whether the highest value lies in a box of the unit's class; None where the image has no such box.
    """

    sample: str
    value: float
    threshold: float
    in_box: bool | None
    map: tuple[tuple[float, ...], ...]


class Fires(NamedTuple):
    """How many of a unit's top images show a class, and how many of all annotated images do; images of unknown label left out."""

    target: int
    shown: int
    of_top: int
    shown_by_all: int
    of_all: int


class TopUnit(NamedTuple):
    """A unit for the report: the class whose boxes it overlaps most, its IoU with them, its top images, and what these show.

    `tops` are the patients whose images the unit is active on at all, as far as they are counted; `cases` and `patients` are
    those of the class with a box.
    """

    unit: int
    target: int
    iou: float
    cases: int
    patients: int
    tops: int
    images: tuple[TopImage, ...]
    fires: tuple[Fires, ...]


class Conclusion(NamedTuple):
    """All that an analysis concludes of one network."""

    numbers: tuple[Number, ...] = ()
    detectors: tuple[Detector, ...] = ()
    units: tuple[TopUnit, ...] = ()


def from_json(said: Sequence[Any]) -> Conclusion:
    """A conclusion as JSON gives it back: lists for tuples; one written before units were named has none."""
    numbers, detectors, *more = said
    units = [
        TopUnit._make([*unit[:-2], tuple(_image(*image) for image in unit[-2]), tuple(Fires(*row) for row in unit[-1])])
        for unit in (more[0] if more else ())
    ]
    return Conclusion(tuple(Number(*one) for one in numbers), tuple(Detector(*one) for one in detectors), tuple(units))


def _image(sample: str, value: float, threshold: float, in_box: bool | None, map_: Sequence[Sequence[float]]) -> TopImage:
    return TopImage(sample, value, threshold, in_box, tuple(tuple(row) for row in map_))
