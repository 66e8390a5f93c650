"""A strategy against the reference on one metric: the paired difference and its 95 % interval over patients.

Both sides are read on exactly the same cases. With several networks on a side, means are averaged per case over its networks
and rankings are made network by network and then averaged: averaging the scores first would rank an ensemble that nobody
trained. The interval speaks of other patients, not of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from ..metric import Metric
from .clustered import TOO_FEW, Estimate, Group, cluster_t
from .pairing import NO_CASE, NO_CLASS, Pairs, average, pair
from .ranking import not_estimable
from .resampling import percentile, resample
from .rows import IMAGE, MACRO, Cohort, Values

FEW = 20


class Contrast(TypedDict):
    """The fields of a Comparison that statistics knows; `difference` is None exactly when `missing` says why."""

    class_name: str
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int
    n_patients: int
    missing: str | None
    note: str | None


def compare(
    metric: Metric, mine: Sequence[Values], reference: Sequence[Values], cohort: Cohort, seed: int, replicates: int = 2000
) -> list[Contrast]:
    """Mine minus reference: a row per class, one over the classes, one for whole images where there are such values.

    One `Values` per network, of the metric itself or of the metric it is `of`. Means get a cluster-t interval by patient, over
    the classes from the joint linearisation (see `cluster_t`); AUROC and average precision a percentile interval from resamples
    of whole patients that all classes and both sides share.
    """
    if metric.statistic == "none":
        return []
    pairs = pair(mine, reference, cohort, labelled=metric.statistic != "mean")
    if metric.statistic == "mean":
        return _means(metric, pairs, cohort)
    return _ranks(metric, pairs, cohort, seed, replicates)


def _means(metric: Metric, pairs: Mapping[int, Pairs], cohort: Cohort) -> list[Contrast]:
    rows = []
    if set(pairs) != {-1}:
        rows = [_mean(metric, name, pairs.get(number)) for number, name in enumerate(cohort.classes)]
        used = [pairs[number] for number, row in enumerate(rows) if row["missing"] is None]
        joint = cluster_t([_differences(of_class) for of_class in used])
        rows.append(_over_classes(joint, used, rows))
    if -1 in pairs:
        rows.append(_mean(metric, IMAGE, pairs[-1]))
    return rows


def _mean(metric: Metric, name: str, pairs: Pairs | None) -> Contrast:
    if pairs is None or not pairs.cases:
        return _row(name, metric.undefined if pairs else NO_CASE, pairs)
    return _row(name, cluster_t([_differences(pairs)]), pairs)


def _differences(pairs: Pairs) -> Group:
    return Group(average(pairs.mine) - average(pairs.reference), pairs.patient)


def _ranks(metric: Metric, pairs: Mapping[int, Pairs], cohort: Cohort, seed: int, replicates: int) -> list[Contrast]:
    reasons = {number: _why_not_ranked(metric, pairs.get(number)) for number in range(len(cohort.classes))}
    used = {number: pairs[number] for number, reason in reasons.items() if reason is None}
    if not used:
        rows = [_row(name, str(reasons[number]), pairs.get(number)) for number, name in enumerate(cohort.classes)]
        return [*rows, _over_classes(TOO_FEW, [], rows)]
    observed, drawn = resample(metric.statistic, list(used.values()), seed, replicates)
    found = {number: percentile(float(observed[place]), drawn[place]) for place, number in enumerate(used)}
    rows = []
    for number, name in enumerate(cohort.classes):
        estimate, dropped = found.get(number, (str(reasons[number]), None))
        rows.append(_row(name, estimate, pairs.get(number), *(_few(used[number]) if number in used else ()), dropped))
    few = [cohort.classes[number] for number, of_class in used.items() if _few(of_class)]
    warning = f"fewer than {FEW} positive or negative patients: {', '.join(few)}" if few else None
    joint, dropped = percentile(math.fsum(observed) / len(observed), drawn.mean(0))
    return [*rows, _over_classes(joint, list(used.values()), rows, warning, dropped)]


def _why_not_ranked(metric: Metric, pairs: Pairs | None) -> str | None:
    if pairs is None or not pairs.cases:
        return metric.undefined if pairs else NO_CASE
    return not_estimable(pairs.positive) or (TOO_FEW if pairs.patients < 2 else None)


def _few(pairs: Pairs) -> list[str]:
    kinds = {"positive": pairs.positive, "negative": ~pairs.positive}
    few = [kind for kind, rows in kinds.items() if len(np.unique(pairs.patient[rows])) < FEW]
    return [f"fewer than {FEW} {kind} patients: interval not reliable" for kind in few]


def _over_classes(joint: Estimate | str, used: Sequence[Pairs], rows: Sequence[Contrast], *notes: str | None) -> Contrast:
    """The row of the mean over the classes that have a difference; the others are named, never counted as 0."""
    if not used:
        reasons = {row["missing"] for row in rows}
        return _row(MACRO, reasons.pop() or NO_CLASS if len(reasons) == 1 else NO_CLASS)
    absent = [row["class_name"] for row in rows if row["missing"] is not None]
    left_out = f"{len(absent)} of {len(rows)} classes left out: {', '.join(absent)}" if absent else None
    row = _row(MACRO, joint, None, left_out, *notes)
    row["n_cases"] = sum(pairs.cases for pairs in used)
    row["n_patients"] = len(np.unique(np.concatenate([pairs.patient for pairs in used])))
    return row


def _row(name: str, found: Estimate | str, pairs: Pairs | None = None, *notes: str | None) -> Contrast:
    """A row with the estimate, or with the reason why there is none; an interval that does not exist is None, not NaN."""
    estimate = None if isinstance(found, str) else found
    bounded = estimate is not None and not math.isnan(estimate.low)
    said = [note for note in (pairs.left_out if pairs else None, *notes) if note]
    return Contrast(
        class_name=name,
        difference=estimate.value if estimate else None,
        low=estimate.low if estimate and bounded else None,
        high=estimate.high if estimate and bounded else None,
        n_cases=pairs.cases if pairs else 0,
        n_patients=pairs.patients if pairs else 0,
        missing=found if isinstance(found, str) else None,
        note="; ".join(said) or None,
    )
