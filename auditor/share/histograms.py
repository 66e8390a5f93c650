"""Histograms in bins wide enough for every one to hold nobody or enough patients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import cases
from ..evidence import Evidence
from ..profiles import Histogram
from .cells import Cells, few
from .record import Record

FEWEST_BINS = 4
SPLITS = ("audited", "training")
Spread = dict[tuple[str, str, str, str, str], tuple[list[float], list[str]]]
"""(values, patients) by model, analysis, metric, class, split."""


def shared(run: Path, record: Record, evidence: Evidence, cells: Cells) -> tuple[Histogram, ...]:
    """The histograms, each in as many bins as can be; those that would have fewer than 4 are left out."""
    wanted = {(row.model, row.analysis, row.metric) for row in evidence.histograms}
    spread = _spread(run, {sample.id: sample.patient for sample in record.samples}, wanted) if wanted else {}
    found = (_wider(row, spread) for row in evidence.histograms if row.class_name not in cells.withheld)
    return tuple(row for row in found if row is not None)


def _spread(run: Path, patient_of: Mapping[str, str], wanted: set[tuple[str, str, str]]) -> Spread:
    found: Spread = defaultdict(lambda: ([], []))
    for column in cases.columns(run):
        about = (column.model, column.analysis, column.metric)
        if about in wanted:
            for sample, name, value in zip(column.samples, column.classes, column.values.tolist(), strict=True):
                if value == value:
                    values, patients = found[*about, name, column.split]
                    values.append(value)
                    patients.append(patient_of[sample])
    return found


def _wider(row: Histogram, spread: Spread) -> Histogram | None:
    sides = [spread[row.model, row.analysis, row.metric, row.class_name, split] for split in SPLITS]
    for bins in _divisors(len(row.audited)):
        counts, patients = zip(*(_counted(row, *side, bins) for side in sides), strict=True)
        if not any(few(n) for side in patients for n in side):
            return replace(row, audited=tuple(counts[0]), training=tuple(counts[1]))
    return None


def _divisors(bins: int) -> Iterator[int]:
    """Numbers of wider bins that the bins make, the most first."""
    yield from (number for number in range(bins, FEWEST_BINS - 1, -1) if bins % number == 0)


def _counted(row: Histogram, values: Sequence[float], patients: Sequence[str], bins: int) -> tuple[list[int], list[int]]:
    """(images, patients) in each bin; what lies beyond is in the outermost."""
    clipped = np.clip(np.array(values, np.float64), row.low, row.high)
    edges = np.linspace(row.low, row.high, bins + 1)
    place: npt.NDArray[np.int64] = np.clip(np.searchsorted(edges, clipped, "right") - 1, 0, bins - 1)
    inside: list[set[str]] = [set() for _ in range(bins)]
    for number, patient in zip(place.tolist(), patients, strict=True):
        inside[number].add(patient)
    return np.bincount(place, minlength=bins).tolist(), [len(who) for who in inside]
