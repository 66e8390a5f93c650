"""What an analysis says when it has seen all its cases together: numbers with intervals, and units that it names."""

from __future__ import annotations

from typing import NamedTuple


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


class Conclusion(NamedTuple):
    """All that an analysis concludes of one network."""

    numbers: tuple[Number, ...] = ()
    detectors: tuple[Detector, ...] = ()
