"""Numbers of a network's maps told apart by outcome: found, missed, false alarm, rightly left alone.

Which cases a network gets right differs from network to network, so these numbers describe a network and are never contrasted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metric import Metric
from .columns import Columns
from .estimates import FEW, of_cases
from .influence import TOO_FEW, Floats, Influence, Integers, averaged, interval, share
from .influence import mean as mean_over_patients
from .operating import Called
from .pairing import NO_CLASS
from .rows import MACRO, Cohort, Values
from .unmoved import NO_PATIENT_DIFFERS, with_ends

CONFIDENT = "confident TP"
OFF_TARGET, ABSTAINED, USUAL_PLACE = "off_target", "abstained", "usual_place"

Found = dict[int, Influence | str]


@dataclass(frozen=True)
class OutcomeRow:
    """One number of one network's maps over the cases of one outcome of a class; `value` is None exactly when `missing` says why.

    `outcome` is TP, FN, FP, TN or `confident TP`; `n` counts cases, in the row over the classes the classes that have a value.
    """

    metric: str
    attribution: str
    model: str
    strategy: str
    class_name: str
    outcome: str
    value: float | None
    missing: str | None
    n: int
    low: float | None = None
    high: float | None = None
    n_patients: int | None = None
    note: str | None = None


def rows(metric: str, found: Found, cohort: Cohort, low: float | None, high: float | None) -> list[dict[str, Any]]:
    """A row per class and one over the classes that have a number: the fields of an OutcomeRow that statistics knows."""
    used = [part for part in found.values() if isinstance(part, Influence)]
    reasons = {part for part in found.values() if isinstance(part, str)}
    over = averaged(used) if used else reasons.pop() if len(reasons) == 1 else NO_CLASS
    named = [(cohort.classes[number], part, None) for number, part in found.items()]
    return [
        {"metric": metric, "class_name": name, **_row(part, n, low, high)}
        for name, part, n in [*named, (MACRO, over, len(used))]
    ]


def _row(part: Influence | str, n: int | None, low: float | None, high: float | None) -> dict[str, Any]:
    if isinstance(part, str):
        return {"value": None, "missing": part, "n": 0}
    ends = interval(with_ends(part, low, high))
    few = f"fewer than {FEW} patients: interval not reliable" if len(part.patient) < FEW else None
    if not math.isfinite(ends[0]):
        return {
            "value": part.value, "missing": None, "n": part.cases if n is None else n, "n_patients": len(part.patient),
            "note": NO_PATIENT_DIFFERS,
        }  # fmt: skip
    return {
        "value": part.value, "missing": None, "n": part.cases if n is None else n,
        "low": ends[0] if low is None else max(ends[0], low), "high": ends[1] if high is None else min(ends[1], high),
        "n_patients": len(part.patient), "note": few,
    }  # fmt: skip


def of_metric(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """A metric over these cases of a class that have a value, whatever its statistic is."""
    column = network.values[metric.of or metric.name]
    if metric.of:
        known = known_of(column, number, samples)
        found = of_cases(metric, network, cohort, number, known) if len(known) else TOO_FEW
        return few(len(known)) if found == TOO_FEW else found
    return mean(column, cohort, number, samples)


def mean(column: Values, cohort: Cohort, number: int, samples: Integers, yes_or_no: bool = False) -> Influence | str:
    """The mean of a column over these cases of a class, those without a value left out; `yes_or_no` where it is 0 or 1."""
    known = known_of(column, number, samples)
    if not len(known):
        return few(0)
    make = share if yes_or_no else mean_over_patients
    found = make(_at(column, number, known), cohort.patients[known])
    return few(len(known)) if isinstance(found, str) else found


def few(n: int) -> str:
    """What stands in the place of a number that so few cases, or cases of one patient, cannot give."""
    return f"not estimable (n = {n})" if n == 0 else f"not estimable (n = {n}, of one patient)"


def known_of(column: Values, number: int, samples: Integers) -> Integers:
    """Those of the samples for which a column has a value for this class."""
    there = column.sample[(column.target == number) & ~np.isnan(column.value)]
    return np.intersect1d(samples, there)


def _at(column: Values, number: int, samples: Integers) -> Floats:
    mine = np.flatnonzero(column.target == number)
    mine = mine[np.argsort(column.sample[mine], kind="stable")]
    return column.value[mine[np.searchsorted(column.sample[mine], samples)]]


def abstained(empty: Values) -> Values:
    """1 where a map is empty or not finite, 0 where it points somewhere."""
    return Values(empty.sample, empty.target, np.where(np.isnan(empty.value), 1.0, empty.value))


def off_target(cbl: Values) -> Values:
    """1 where the box holds no more evidence than a box of its size would anywhere (CBL <= 0), NaN where that is not known."""
    return Values(cbl.sample, cbl.target, np.where(np.isnan(cbl.value), np.nan, (cbl.value <= 0).astype(np.float64)))


def usual_place(crossed: Mapping[tuple[int, int], Any], cohort: Cohort) -> Values:
    """Mean CBL of each map with the boxes of other patients with the finding: its evidence where the finding usually sits."""
    cases = list(crossed)
    sample, target = (np.array([case[part] for case in cases], np.int64) for part in (0, 1))
    return Values(sample, target, np.array([elsewhere(crossed[case], *case, cohort) for case in cases], np.float64))


def elsewhere(scores: Any, sample: int, target: int, cohort: Cohort) -> float:
    columns = np.asarray(cohort.boxed[target], np.int64)
    others = (columns >= 0) & (cohort.patients[columns] != cohort.patients[sample])
    kept = np.asarray(scores, np.float64)[others]
    kept = kept[~np.isnan(kept)]
    return float(kept.mean()) if len(kept) else float("nan")


def confident(found: Called) -> Integers:
    """Rows of the true positives whose score is at least the median of the true positives."""
    right = np.flatnonzero(found.outcome == 0)
    return right[found.margin[right] >= np.median(found.margin[right])] if len(right) else right
