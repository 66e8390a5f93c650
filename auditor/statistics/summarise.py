"""One number per class for one model: a mean over cases, or how well the cases are ranked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..metric import Metric
from .pairing import NO_CASE, NO_CLASS
from .ranking import auroc, average_precision
from .rows import IMAGE, MACRO, Cohort, Values


class ClassSummary(NamedTuple):
    """One class or pseudo class: `value` is None exactly when `missing` says why. `n` counts cases; in the row over the
    classes it counts the classes that have a value."""

    class_name: str
    value: float | None
    missing: str | None
    n: int


def summarise(metric: Metric, values: Values, cohort: Cohort) -> list[ClassSummary]:
    """A row per class and one over the classes; one for whole images where the metric has values for them.

    `values` are the metric's own, or those of the metric it is `of` (the logits, for AUROC). A class without a value is left
    out of the mean over the classes and never counted as 0.
    """
    if metric.statistic == "none":
        return []
    whole = values.target == -1
    rows = []
    if not whole.all() or not len(whole):
        rows = [_of_class(metric, values, cohort, number) for number in range(len(cohort.classes))]
        rows.append(_over_classes(metric, rows))
    if whole.any() and metric.statistic == "mean":
        rows.append(_mean(metric, IMAGE, values.value[whole]))
    return rows


def _of_class(metric: Metric, values: Values, cohort: Cohort, number: int) -> ClassSummary:
    mine = values.target == number
    if metric.statistic == "mean":
        return _mean(metric, cohort.classes[number], values.value[mine])
    labels = cohort.labels[values.sample[mine], number]
    usable = (labels >= 0) & ~np.isnan(values.value[mine])
    if not usable.any():
        return ClassSummary(cohort.classes[number], None, metric.undefined if (labels >= 0).any() else NO_CASE, 0)
    rank = auroc if metric.statistic == "auroc" else average_precision
    found = rank(values.value[mine][usable], labels[usable] == 1)
    n = int(usable.sum())
    if isinstance(found, str):
        return ClassSummary(cohort.classes[number], None, found, n)
    return ClassSummary(cohort.classes[number], found, None, n)


def _mean(metric: Metric, name: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> ClassSummary:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return ClassSummary(name, None, metric.undefined if len(values) else NO_CASE, 0)
    return ClassSummary(name, math.fsum(defined) / len(defined), None, len(defined))


def _over_classes(metric: Metric, rows: list[ClassSummary]) -> ClassSummary:
    defined = [row.value for row in rows if row.value is not None]
    if defined:
        return ClassSummary(MACRO, math.fsum(defined) / len(defined), None, len(defined))
    reasons = {row.missing for row in rows}
    return ClassSummary(MACRO, None, reasons.pop() if len(reasons) == 1 else NO_CLASS, 0)
