"""One number per class for one model: a mean over cases, or how well the cases are ranked; with its interval over patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..metric import Metric
from .clustered import Group, by_patient, mean_of_means
from .delong import clustered_area, placements
from .influence import Influence, averaged, interval
from .pairing import NO_CASE, NO_CLASS, NOBODY
from .precision import precision_influence
from .ranking import auroc, average_precision
from .rows import IMAGE, MACRO, Cohort, Values
from .unmoved import NO_PATIENT_DIFFERS, with_ends

Floats = npt.NDArray[np.float64]
FEW = 20


class ClassSummary(NamedTuple):
    """One class or pseudo class: `value` is None exactly when `missing` says why. `n` counts cases; in a row over classes it
    counts the classes that have a value. `low` and `high` are None below 2 patients, and `note` says so."""

    class_name: str
    value: float | None
    missing: str | None
    n: int
    low: float | None = None
    high: float | None = None
    n_patients: int | None = None
    note: str | None = None


class Level(NamedTuple):
    """A number, or why there is none of these cases; `rarer` are the patients of the rarer kind where positives are ranked."""

    number: Influence | str
    cases: int = 0
    rarer: int | None = None


def summarise(metric: Metric, values: Values, cohort: Cohort) -> list[ClassSummary]:
    """A row per class, per group of common or rare classes, and one over all; one for whole images where there are such values.

    `values` are the metric's own, or those of the metric it is `of` (the logits, for AUROC). A class without a value is left
    out of a mean over classes and never counted as 0. Intervals treat patients as independent, not images.
    """
    if metric.statistic == "none":
        return []
    whole = values.target == -1
    rows = []
    if not whole.all() or not len(whole):
        found = [_of_class(metric, values, cohort, number) for number in range(len(cohort.classes))]
        rows = [_row(metric, name, level) for name, level in zip(cohort.classes, found, strict=True)]
        together = [*cohort.groups, (MACRO, tuple(range(len(cohort.classes))))]
        rows += [_over(metric, name, [found[number] for number in members]) for name, members in together]
    if whole.any() and metric.statistic == "mean":
        rows.append(_row(metric, IMAGE, _mean(metric, values.value[whole], cohort.patients[values.sample[whole]])))
    return rows


def _of_class(metric: Metric, values: Values, cohort: Cohort, number: int) -> Level:
    mine = values.target == number
    value, sample = values.value[mine], values.sample[mine]
    if metric.statistic == "mean":
        return _mean(metric, value, cohort.patients[sample])
    labels = cohort.labels[sample, number]
    usable = (labels >= 0) & ~np.isnan(value)
    if not usable.any():
        return Level(metric.undefined if (labels >= 0).any() else NO_CASE)
    return ranked(metric.statistic, value[usable], labels[usable] == 1, cohort.patients[sample[usable]])


def _mean(metric: Metric, values: Floats, patient: npt.NDArray[np.int64]) -> Level:
    defined = ~np.isnan(values)
    if not defined.any():
        return Level(metric.undefined if len(values) else NO_CASE)
    value, who = values[defined], patient[defined]
    if len(np.unique(who)) < 2:
        return Level(_alone(math.fsum(value) / len(value), who), len(value))
    found = mean_of_means([Group(value, who)])
    part = Influence(found.value, found.patient, found.influence, len(value))
    return Level(with_ends(part, metric.low, metric.high), len(value))


def ranked(statistic: str, scores: Floats, positive: npt.NDArray[np.bool_], patient: npt.NDArray[np.int64]) -> Level:
    """AUROC or average precision of these cases [n]."""
    value = (auroc if statistic == "auroc" else average_precision)(scores, positive)
    if isinstance(value, str):
        return Level(value, len(scores))
    rarer = min(len(np.unique(patient[kind])) for kind in (positive, ~positive))
    if len(np.unique(patient)) < 2:
        return Level(_alone(value, patient), len(scores), rarer)
    if statistic == "auroc":
        area = clustered_area(placements(scores, positive), positive, patient)
        return Level(
            with_ends(Influence(value, area.patient, area.influence, len(scores)), 0.0, 1.0, rarer), len(scores), rarer
        )
    patients, moved = by_patient(patient, precision_influence(scores, positive))
    part = Influence(value, patients, moved * math.sqrt(len(patients) / (len(patients) - 1)), len(scores))
    return Level(with_ends(part, None, None), len(scores), rarer)


def _alone(value: float, patient: npt.NDArray[np.int64]) -> Influence:
    """A number of one patient: how far another would move it is not known."""
    return Influence(value, np.unique(patient), np.full(1, np.nan), len(patient))


def _over(metric: Metric, name: str, levels: Sequence[Level]) -> ClassSummary:
    """The mean over the classes that have a number; what is known of them together is known of it."""
    used = [level.number for level in levels if isinstance(level.number, Influence)]
    if used:
        rarer = [level.rarer for level in levels if level.rarer is not None]
        return _row(metric, name, Level(averaged(used), len(used), min(rarer, default=None)))
    reasons = {str(level.number) for level in levels}
    return ClassSummary(name, None, NOBODY if not reasons else reasons.pop() if len(reasons) == 1 else NO_CLASS, 0)


def _row(metric: Metric, name: str, level: Level) -> ClassSummary:
    found = level.number
    if isinstance(found, str):
        return ClassSummary(name, None, found, level.cases)
    low, high = interval(found)
    known = math.isfinite(low) and math.isfinite(high)
    low = low if metric.low is None else max(low, metric.low)
    high = high if metric.high is None else min(high, metric.high)
    patients = len(found.patient)
    few = patients if level.rarer is None else level.rarer
    kind = "patients" if level.rarer is None else "positive or negative patients"
    note = f"fewer than {FEW} {kind}: interval not reliable" if few < FEW else None
    if not known:
        note = f"fewer than 2 {kind}: no interval" if few < 2 else NO_PATIENT_DIFFERS
        if np.isnan(found.influence).any():
            note = "fewer than 2 patients: no interval" if patients < 2 else "a class has fewer than 2 patients: no interval"
    return ClassSummary(
        name, found.value, None, level.cases, low if known else None, high if known else None, patients, note
    )  # fmt: skip
