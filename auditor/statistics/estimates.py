"""Numbers whose error is a sum over patients: one per class, then over all classes and by how common the classes are.

A level is one network's number with its interval. A contrast is the difference of two sides on the same cases: the numbers of
each side's networks are averaged, and what a patient does to both sides is subtracted before it is squared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, cast

import numpy as np

from ..metric import Metric
from ..wording import how_many
from .between_splits import NO_INTERVAL, OF_SCALE
from .calibrated import STATISTICS, Scored, bins, calibration, recalibrated, sigmoid
from .columns import Columns, cases_of, on_shared_training, values_of
from .effect import LEVEL, Crossed, Linear
from .influence import Floats, Influence, Integers, averaged, difference, interval
from .operating import STATISTICS as RATES
from .operating import Called, called, rate
from .pairing import NO_CASE, NO_CLASS
from .permuted import PERMUTED, Permuted, permuted
from .rows import MACRO, MODEL, Cohort
from .seeds import crossed, side_of
from .split_numbers import ACROSS, BETWEEN, OWN, across, of_audited, of_step
from .under_change import CHANGED, under_change
from .unmoved import NO_PATIENT_DIFFERS, settled, told, with_ends

FEW = 20
NOT_FINITE = "not estimable (no finite value or interval)"
CURVE_BINS = 10
_NOBODY = Scored(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
Found = dict[int, Influence | str]


def handles(metric: Metric) -> bool:
    """Whether the numbers of this metric are made here."""
    return metric.statistic in (*PERMUTED, *STATISTICS, *RATES, *BETWEEN, *OWN, *ACROSS, *CHANGED)


def measured(metric: Metric, network: Columns) -> bool:
    """Whether this network left what the metric is made of."""
    return metric.of in network.values and (metric.statistic not in PERMUTED or metric.against in network.elsewhere)


def levels(metric: Metric, network: Columns, cohort: Cohort) -> list[dict[str, Any]]:
    """A row per class, per frequency group and over the classes: the fields of a Summary that statistics knows."""
    if metric.statistic in ACROSS:
        each = _per_class(replace(metric, statistic=ACROSS[metric.statistic]), network, cohort, None)
        return [_level(metric, MODEL, across(metric, each, network, cohort))]
    found = _per_class(metric, network, cohort, None)
    rows = [_level(metric, cohort.classes[number], part) for number, part in found.items()]
    return rows + [_level(metric, name, part, n) for name, part, n, _ in _together(found, cohort)]


def contrasts(metric: Metric, mine: Sequence[Columns], reference: Sequence[Columns], cohort: Cohort) -> list[dict[str, Any]]:
    """Mine minus reference in the same rows: the fields of a Comparison that statistics knows."""
    if metric.statistic in (*ACROSS, *NO_INTERVAL, *OF_SCALE):
        return []
    networks = on_shared_training([*mine, *reference], (metric.of, metric.against), len(cohort.classes))
    each, shared = _alike(metric, networks, cohort)
    listed = reduce(np.union1d, [cases_of(metric.of, network, cohort) for network in networks])
    patients = {number: _patients([one[number] for one in each]) for number in each[0]}
    rows = []
    for number in each[0]:
        all_, kept = (int((keys // len(cohort.patients) == number).sum()) for keys in (listed, shared))
        said = f"{all_ - kept:,} of {how_many(all_, 'case')} left out: no value in every network" if all_ > kept else None
        rows.append(_contrast(metric, cohort.classes[number], [one[number] for one in each], len(mine), said, patients[number]))
    for members, *together in zip(_sets(cohort), *(_together(one, cohort) for one in each), strict=True):
        name, _, _, left_out = together[0]
        fewest = min((patients[number] for number in members[1] if patients[number]), default=0)
        rows.append(_contrast(metric, name, [part for _, part, _, _ in together], len(mine), left_out, fewest))
    return rows


def paired(metric: Metric, networks: Sequence[Columns], cohort: Cohort) -> list[Influence | str]:
    """The mean over the classes of each network, all on the cases and classes that every one of them has; or why there is none."""
    each, _ = _alike(metric, networks, cohort)
    return [_together(one, cohort)[-1][1] for one in each]


def reliability(metric: Metric, network: Columns, cohort: Cohort) -> dict[str, Any]:
    """Predicted and observed frequency and the cases of each bin, all classes pooled: the fields of a Curve."""
    target, sample = np.divmod(cases_of(metric.of, network, cohort), len(cohort.patients))
    parts = [
        evaluated(network, metric.of, metric.against, metric.after, cohort, number, sample[target == number])
        for number in np.unique(target).tolist()
    ]
    z, y, patient = (
        np.concatenate(column) for column in zip(_NOBODY, *(p for p in parts if not isinstance(p, str)), strict=True)
    )
    p = sigmoid(z)
    which = bins(p, CURVE_BINS)
    n = np.bincount(which)
    kept = n > 0
    return {
        "predicted": tuple((np.bincount(which, p)[kept] / n[kept]).tolist()),
        "observed": tuple((np.bincount(which, y)[kept] / n[kept]).tolist()),
        "n": tuple(n[kept].tolist()),
        "fitted_on": len(np.setdiff1d(cohort.patients[sample], patient)),
        "measured_on": len(np.unique(patient)),
    }


def _alike(metric: Metric, networks: Sequence[Columns], cohort: Cohort) -> tuple[list[Found], Integers]:
    """One number per class of each network on the cases that all have, and these cases."""
    shared = reduce(np.intersect1d, [cases_of(metric.of, network, cohort) for network in networks])
    each = [_per_class(metric, network, cohort, shared) for network in networks]
    for number in each[0]:  # a class that one network has no number for has none in any
        if reasons := [part for one in each if isinstance(part := one[number], str)]:
            for one in each:
                one[number] = reasons[0]
    return each, shared


def _sides(mine: Sequence[Influence], reference: Sequence[Influence]) -> Influence:
    sides = [averaged(side)._replace(cases=side[0].cases) for side in (mine, reference)]
    return difference(*sides)


def _per_class(metric: Metric, network: Columns, cohort: Cohort, shared: Integers | None) -> Found:
    """One number per class from these cases, or why there is none."""
    cases = cases_of(metric.of, network, cohort) if shared is None else shared
    target, sample = np.divmod(cases, len(cohort.patients))
    found: Found = {}
    bounds = (None, None) if metric.statistic in NO_INTERVAL else (metric.low, metric.high)
    for number in range(len(cohort.classes)):
        mine = sample[target == number]
        part = of_cases(metric, network, cohort, number, mine) if len(mine) else NO_CASE
        found[number] = part if isinstance(part, str) else with_ends(part, *bounds) if _finite(part) else NOT_FINITE
    return found


def of_cases(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """One number of these cases of a class, or why there is none."""
    return _maker(metric.statistic)(metric, network, cohort, number, samples)


def _maker(statistic: str) -> Callable[[Metric, Columns, Cohort, int, Integers], Influence | str]:
    """What makes a number of one class."""
    known = {PERMUTED: _permuted, tuple(RATES): _rate, OWN: of_audited, BETWEEN: of_step, CHANGED: under_change}
    return next((make for names, make in known.items() if statistic in names), _calibrated)


def _finite(part: Influence) -> bool:
    return math.isfinite(part.value) and bool(np.isfinite(part.influence).all())


def _permuted(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    own = values_of(network.values[metric.of], number, samples)
    columns = np.asarray(cohort.boxed[number], np.int64)
    rows = network.elsewhere[metric.against]
    crossed = np.array([rows[sample, number] for sample in samples.tolist()], np.float64)[:, columns >= 0]
    whose = cohort.patients[samples], cohort.patients[columns[columns >= 0]]
    found = permuted(cast(Permuted, metric.statistic), own, crossed, *whose)
    return found if isinstance(found, str) or not metric.per else _divided(found, network.whole.get(metric.per), metric.per)


def _divided(part: Influence, by: float | None, name: str) -> Influence | str:
    """A number per unit of a number of the whole network, which is taken as given."""
    return part._replace(value=part.value / by, influence=part.influence / by) if by else f"not estimable: no {name}"


def _calibrated(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    found = evaluated(network, metric.of, metric.against, metric.after, cohort, number, samples)
    return found if isinstance(found, str) else calibration(metric.statistic, found)


def _rate(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    found = operated(metric, network, cohort, number, samples)
    return found if isinstance(found, str) else rate(metric.statistic, found)


def operated(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Called | str:
    """These cases of a class at the operating point that a sensitivity or specificity is declared for; or why there is none."""
    assert metric.at is not None
    scores, role = (values_of(network.values[name], number, samples) for name in (metric.of, metric.against))
    return called(scores, cohort.labels[samples, number] == 1, cohort.patients[samples], role, metric.at)


def evaluated(
    network: Columns, of: str, against: str, after: str, cohort: Cohort, number: int, samples: Integers
) -> Scored | str:
    """The cases of a class that calibration is measured on, recalibrated if wished; or why there are none."""
    z, apart = (values_of(network.values[name], number, samples) for name in (of, against))
    cases = Scored(z, (cohort.labels[samples, number] == 1).astype(np.float64), cohort.patients[samples])
    return recalibrated(cases, apart, after)


def _patients(parts: Sequence[Influence | str]) -> int:
    """On how many independent patients the numbers of a class rest; 0 where there is none."""
    return min((part.fewest or len(part.patient) for part in parts if isinstance(part, Influence)), default=0)


def _sets(cohort: Cohort) -> list[tuple[str, Sequence[int]]]:
    """(pseudo class, its classes): the frequency groups, and all classes."""
    return [*cohort.groups, (MACRO, range(len(cohort.classes)))]


def _together(found: Found, cohort: Cohort) -> list[tuple[str, Influence | str, int, str | None]]:
    """(pseudo class, mean of its classes that have a number, how many those are, which were left out or have few patients)."""
    rows: list[tuple[str, Influence | str, int, str | None]] = []
    for name, members in _sets(cohort):
        used = [part for number in members if isinstance(part := found[number], Influence)]
        reasons = {number: part for number in members if isinstance(part := found[number], str)}
        absent = [cohort.classes[number] for number in reasons]
        said = [f"{len(absent)} of {how_many(len(members), 'class')} left out: {', '.join(absent)}"] if absent and used else []
        few = [cohort.classes[number] for number in members if _is_few(found[number])]
        said += [f"fewer than {FEW} positive or negative patients: {', '.join(few)}"] if 0 < len(few) < len(used) else []
        number = averaged(used)._replace(fewest=None, rarer=_most(used)) if used else _why_none(set(reasons.values()))
        rows.append((name, number, len(used), "; ".join(said) or None))
    return rows


def _is_few(part: Influence | str) -> bool:
    """Whether a class has too few of the rarer kind of patients where positives are ranked above negatives."""
    return isinstance(part, Influence) and part.rarer is not None and part.rarer < FEW


def _most(parts: Sequence[Influence]) -> int | None:
    """The rarer kind of the class that has most of them: a mean over classes is unreliable only where every class is."""
    return max((part.rarer for part in parts if part.rarer is not None), default=None)


def _why_none(reasons: set[str]) -> str:
    """Why a mean over classes does not exist."""
    if not reasons:
        return "no class in this group"
    return reasons.pop() if len(reasons) == 1 else NO_CLASS


def _few(part: Influence) -> str | None:
    if part.fewest is not None and part.fewest < FEW:
        return f"fewer than {FEW} patients among the audited or the training images: interval not reliable"
    if part.rarer is not None and part.rarer < FEW:
        return f"fewer than {FEW} positive or negative patients: interval not reliable"
    return f"fewer than {FEW} patients: interval not reliable" if 0 < len(part.patient) < FEW else None


def _level(metric: Metric, name: str, part: Influence | str, n: int | None = None) -> dict[str, Any]:
    """A number with its interval, cut to what the metric can be; a chance level has none, it is no estimate."""
    if isinstance(part, str):
        return {"class_name": name, "value": None, "missing": part, "n": 0}
    low, high = interval(with_ends(part, metric.low, metric.high))
    bounds = (-math.inf if metric.low is None else metric.low), (math.inf if metric.high is None else metric.high)
    bare = metric.statistic in ("ece_chance", "retained_with_share", *NO_INTERVAL)
    still = not bare and not math.isfinite(low)
    ends = (None, None) if bare or still else (max(low, bounds[0]), min(high, bounds[1]))
    return {
        "class_name": name, "value": part.value, "missing": None, "n": part.cases if n is None else n, "low": ends[0], "high": ends[1],
        "n_patients": len(part.patient) or None, "note": NO_PATIENT_DIFFERS if still else _few(part),
    }  # fmt: skip


def _contrast(
    metric: Metric, name: str, parts: Sequence[Influence | str], mine: int, said: str | None, patients: int
) -> dict[str, Any]:
    """The first `mine` networks against the others, with the effect that a verdict is made from where there are enough patients.

    `patients` are those of the class that has the fewest.
    """
    numbers = [part for part in parts if isinstance(part, Influence)]
    if len(numbers) < len(parts):
        missing = next(part for part in parts if isinstance(part, str))
        return {
            "class_name": name, "difference": None, "low": None, "high": None, "n_cases": 0, "n_patients": 0, "missing": missing,
            "note": said, "about": "networks", "effect": None,
        }  # fmt: skip
    apart = _sides(numbers[:mine], numbers[mine:])
    effect = effect_of(apart, numbers[:mine], numbers[mine:])
    known = settled(effect, reach(metric), patients)
    low, high = known.interval(LEVEL) if known else (None, None)
    few = _few(apart)
    return {
        "class_name": name, "difference": apart.value, "low": low, "high": high, "n_cases": apart.cases,
        "n_patients": len(apart.patient), "missing": None, "note": "; ".join(note for note in (said, told(known), few) if note) or None,
        "about": "strategies" if isinstance(effect, Crossed) else "networks", "effect": None if few else known,
    }  # fmt: skip


def reach(metric: Metric) -> float | None:
    """How far apart two numbers of a metric can be, where it has bounds."""
    return None if metric.low is None or metric.high is None else metric.high - metric.low


def effect_of(apart: Influence, mine: Sequence[Influence], reference: Sequence[Influence]) -> Linear | Crossed:
    """The difference with its error over patients, and over seeds where both sides have several networks."""
    over_patients = Linear(apart.value, apart.patient, apart.influence)
    if min(len(mine), len(reference)) < 2:
        return over_patients
    sides = [
        side_of([part.value for part in side], [_by_patient(part, apart.patient) for part in side])
        for side in (mine, reference)
    ]
    return Crossed(over_patients, crossed(sides[0], sides[1], over_patients.error**2, over_patients.freedom))


def _by_patient(part: Influence, patients: Integers) -> Floats:
    """How far each of these patients, in order of their codes, moves a number; 0 for those who are not in it."""
    moved = np.zeros(len(patients))
    moved[np.searchsorted(patients, part.patient)] = part.influence
    return moved
