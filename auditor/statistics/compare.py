"""A strategy against the reference on one metric: the paired difference and what is known of its error.

Both sides are read on exactly the same cases. With several networks on a side, means are averaged per case over its networks
and rankings are made network by network and then averaged: averaging the scores first would rank an ensemble that nobody
trained. With several networks on both sides the error covers other seeds too; otherwise it covers other patients only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

import numpy as np

from ..metric import Metric
from ..wording import how_many
from .clustered import TOO_FEW, mean_difference
from .delong import area_difference
from .drawn import Found, drawn_differences
from .effect import LEVEL, Effect
from .pairing import NO_CASE, NO_CLASS, NOBODY, Pairs, pair
from .ranking import not_estimable
from .resampling import REPLICATES
from .rows import IMAGE, MACRO, Cohort, Values
from .unmoved import settled, told

FEW = 20
UNRELIABLE = "interval not reliable"


class Contrast(TypedDict):
    """The fields of a Comparison that statistics knows before it has seen the others of its family, and the effect they are of.

    `difference` is None exactly when `missing` says why. `effect` is None where no verdict may be given, and the note says why.
    """

    class_name: str
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int
    n_patients: int
    missing: str | None
    note: str | None
    about: Literal["networks", "strategies"]
    effect: Effect | None


def compare(
    metric: Metric,
    mine: Sequence[Values],
    reference: Sequence[Values],
    cohort: Cohort,
    seed: int,
    replicates: int = REPLICATES,
) -> list[Contrast]:
    """Mine minus reference: a row per class, per frequency group, over all classes, and for whole images where there are such.

    One `Values` per network, of the metric itself or of the metric it is `of`. Means get a cluster-t interval and a sign-flip
    test by patient, over the classes jointly (see `mean_of_means`); AUROC of one class clustered DeLong; average precision, and
    AUROC over the classes, resamples of whole patients that all classes and both sides share, studentised below 40 patients.
    """
    if metric.statistic == "none":
        return []
    pairs = pair(mine, reference, cohort, labelled=metric.statistic != "mean")
    means = metric.statistic == "mean"
    rows = _means(metric, pairs, cohort, seed) if means else _ranks(metric, pairs, cohort, seed, replicates)
    about: Literal["networks", "strategies"] = "strategies" if min(len(mine), len(reference)) > 1 else "networks"
    return [{**row, "about": about} for row in rows]


def _means(metric: Metric, pairs: Mapping[int, Pairs], cohort: Cohort, seed: int) -> list[Contrast]:
    rows = []
    if set(pairs) != {-1}:
        rows = [_mean(metric, name, pairs.get(number), seed) for number, name in enumerate(cohort.classes)]
        rows += [_mean_over(metric, name, members, pairs, rows, seed) for name, members in _sets(cohort)]
    if -1 in pairs:
        rows.append(_mean(metric, IMAGE, pairs[-1], seed))
    return rows


def _sets(cohort: Cohort) -> list[tuple[str, tuple[int, ...]]]:
    """What means are taken over: the frequency groups, and all classes."""
    return [*cohort.groups, (MACRO, tuple(range(len(cohort.classes))))]


def _mean_over(
    metric: Metric, name: str, members: Sequence[int], pairs: Mapping[int, Pairs], rows: Sequence[Contrast], seed: int
) -> Contrast:
    used = [pairs[number] for number in members if rows[number]["missing"] is None]
    found, still = _settled(metric, mean_difference(used, seed) if used else TOO_FEW, used)
    return _over_classes(name, found, used, [rows[number] for number in members], still, *_few(used))


def _mean(metric: Metric, name: str, pairs: Pairs | None, seed: int) -> Contrast:
    if pairs is None or not pairs.cases:
        return _row(name, metric.undefined if pairs else NO_CASE, pairs)
    found, still = _settled(metric, mean_difference([pairs], seed), [pairs])
    return _row(name, found, pairs, still, *_few([pairs]))


def _ranks(metric: Metric, pairs: Mapping[int, Pairs], cohort: Cohort, seed: int, replicates: int) -> list[Contrast]:
    reasons = {number: _why_not_ranked(metric, pairs.get(number)) for number in range(len(cohort.classes))}
    used = {number: pairs[number] for number, reason in reasons.items() if reason is None}
    sets = [(name, [number for number in members if number in used], members) for name, members in _sets(cohort)]
    found, joint = _ranked(metric.statistic, used, [inside for _, inside, _ in sets if inside], cohort, seed, replicates)
    rows = []
    for number, name in enumerate(cohort.classes):
        if number in used:
            made, dropped = found[number]
            effect, still = _settled(metric, made, [used[number]])
            rows.append(_row(name, effect, used[number], still, *_few_of_a_kind(used[number]), dropped))
        else:
            rows.append(_row(name, str(reasons[number]), pairs.get(number)))
    return rows + [_rank_over(metric, name, inside, members, used, rows, joint) for name, inside, members in sets]


def _rank_over(
    metric: Metric, name: str, inside: Sequence[int], members: Sequence[int], used: Mapping[int, Pairs], rows: Sequence[Contrast],
    joint: Mapping[tuple[int, ...], Found],
) -> Contrast:  # fmt: skip
    """The row of a mean over the classes `inside` that can be ranked, of those that are `members`."""
    few = [rows[number]["class_name"] for number in inside if _few_of_a_kind(used[number])]
    warning = f"fewer than {FEW} positive or negative patients: {', '.join(few)}" if few else None
    if few and len(few) == len(inside):
        warning = f"{warning}: {UNRELIABLE}"
    effect, dropped = joint.get(tuple(inside), (TOO_FEW, None))
    pairs = [used[number] for number in inside]
    effect, still = _settled(metric, effect, pairs)
    return _over_classes(name, effect, pairs, [rows[number] for number in members], still, warning, dropped)


def _ranked(
    statistic: str, used: Mapping[int, Pairs], sets: Sequence[Sequence[int]], cohort: Cohort, seed: int, replicates: int
) -> tuple[dict[int, Found], dict[tuple[int, ...], Found]]:
    """What is found in each class, and in the mean over each set of classes."""
    areas: dict[int, Found] = {}
    if statistic == "auroc":
        areas = {number: (area_difference(pairs), None) for number, pairs in used.items()}
    joint: dict[tuple[int, ...], Found] = {(number,): found for number, found in areas.items()}
    if not used or all(tuple(members) in joint for members in sets):
        return areas, joint
    place = {number: where for where, number in enumerate(used)}
    together = [[place[number] for number in members] for members in sets]
    found = drawn_differences(statistic, list(used.values()), together, cohort, seed, replicates)
    drawn = {tuple(members): one for members, one in zip(sets, found[len(used) :], strict=True)}
    return areas or dict(zip(used, found, strict=False)), drawn | joint


def _why_not_ranked(metric: Metric, pairs: Pairs | None) -> str | None:
    if pairs is None or not pairs.cases:
        return metric.undefined if pairs else NO_CASE
    return not_estimable(pairs.positive) or (TOO_FEW if pairs.patients < 2 else None)


def _few_of_a_kind(pairs: Pairs) -> list[str]:
    """What must be said of a class with few positive or few negative patients."""
    kinds = {"positive": pairs.positive, "negative": ~pairs.positive}
    few = [kind for kind, rows in kinds.items() if len(np.unique(pairs.patient[rows])) < FEW]
    return [f"fewer than {FEW} {kind} patients: {UNRELIABLE}" for kind in few]


def _settled(metric: Metric, found: Effect | float | str, used: Sequence[Pairs]) -> tuple[Effect | float | str, str | None]:
    """What no patient moves, with an interval all the same, or bare with a note; the class with the fewest patients counts."""
    if isinstance(found, str | float):
        return found, None
    bounds = {"auroc": 1.0, "mean": None if metric.low is None or metric.high is None else metric.high - metric.low}
    known = settled(found, bounds.get(metric.statistic), min(map(_RESTS_ON.get(metric.statistic, _patients), used)))
    return (found.value if known is None else known), told(known)


def _patients(pairs: Pairs) -> int:
    return pairs.patients


def _rarer(pairs: Pairs) -> int:
    """Patients of the rarer kind: so many pairs of a positive and a negative share no patient."""
    return min(len(np.unique(pairs.patient[kind])) for kind in (pairs.positive, ~pairs.positive))


_RESTS_ON = {"auroc": _rarer}


def _few(used: Sequence[Pairs]) -> list[str]:
    """What must be said of a mean over few patients."""
    patients = np.unique(np.concatenate([pairs.patient for pairs in used])) if used else ()
    return [f"fewer than {FEW} patients: {UNRELIABLE}"] if len(patients) < FEW else []


def _over_classes(
    name: str, joint: Effect | float | str, used: Sequence[Pairs], rows: Sequence[Contrast], *notes: str | None
) -> Contrast:
    """The row of the mean over the classes that have a difference; the others are named, never counted as 0."""
    if not used:
        reasons = {row["missing"] for row in rows}
        return _row(name, NOBODY if not rows else reasons.pop() or NO_CLASS if len(reasons) == 1 else NO_CLASS)
    absent = [row["class_name"] for row in rows if row["missing"] is not None]
    left_out = f"{len(absent)} of {how_many(len(rows), 'class')} left out: {', '.join(absent)}" if absent else None
    row = _row(name, joint, None, left_out, *notes)
    row["n_cases"] = sum(pairs.cases for pairs in used)
    row["n_patients"] = len(np.unique(np.concatenate([pairs.patient for pairs in used])))
    return row


def _row(name: str, found: Effect | float | str, pairs: Pairs | None = None, *notes: str | None) -> Contrast:
    """A row with the difference and its interval, the bare difference, or the reason why there is none."""
    said = [note for note in (pairs.left_out if pairs else None, *notes) if note]
    effect = None if isinstance(found, str | float) else found
    low, high = effect.interval(LEVEL) if effect else (None, None)
    return Contrast(
        class_name=name,
        difference=effect.value if effect else found if isinstance(found, float) else None,
        low=low,
        high=high,
        n_cases=pairs.cases if pairs else 0,
        n_patients=pairs.patients if pairs else 0,
        missing=found if isinstance(found, str) else None,
        note="; ".join(said) or None,
        about="networks",
        effect=None if any(note.endswith(UNRELIABLE) for note in said) else effect,
    )
