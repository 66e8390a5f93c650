"""One metric by group: each group's number, its difference to all others, and whether strategies differ in that difference.

Everything is a sum over patients (`Influence`), so that a patient with images in both groups counts once with all it does. A
group of too few patients or positives has no number: an interval would be there, and would mislead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, NamedTuple

import numpy as np

from ..metric import Metric
from ..wording import how_many
from .columns import Columns, cases_of, values_of
from .effect import LEVEL, Effect, Linear
from .estimates import effect_of, of_cases
from .influence import Influence, Integers, averaged, difference, interval, mean
from .pairing import NO_CLASS
from .rows import MACRO, Cohort
from .summarise import ranked
from .unmoved import NO_PATIENT_DIFFERS, still, with_ends
from .verdict import Verdict

LEAST_PATIENTS, LEAST_OF_A_KIND = 20, 10
"""Patients of a group, and positives and negatives where cases are ranked, below which nothing is said of it."""
RANKED = ("auroc", "average_precision")

ByClass = dict[int, list[Influence] | str]
"""By class the number of every network of a side, or why there is none."""


@dataclass(frozen=True)
class SubgroupRow:
    """A number by group; `value` is None exactly when `missing` says why.

    With `against` None it is the level of `group` under `strategy`; otherwise the difference of `group` minus `against`, which is
    another group or `all others`. With `reference` it is that difference under `strategy` minus the same under the reference.
    `n_positives` counts cases where positives are ranked. The fields from `p` on are those of a Comparison, adjusted by Holm.
    """

    by: str
    group: str
    against: str | None
    metric: str
    analysis: str
    attribution: str | None
    family: str
    strategy: str
    reference: str | None
    class_name: str
    value: float | None
    missing: str | None
    n_cases: int
    n_positives: int | None
    n_patients: int
    low: float | None = None
    high: float | None = None
    note: str | None = None
    about: Literal["networks", "strategies"] = "networks"
    p: float | None = None
    p_adjusted: float | None = None
    claim: Literal["primary", "exploratory"] | None = None
    margin: float | None = None
    smallest_margin: float | None = None
    verdict: Verdict | None = None


class Made(NamedTuple):
    """What statistics knows of a row: its class, number or reason, counts, and the effect that a verdict is made from."""

    class_name: str
    found: Influence | str
    positives: int | None = None
    note: str | None = None
    effect: Effect | None = None

    def fields(self, bounds: tuple[float | None, float | None] = (None, None)) -> dict[str, Any]:
        """The fields of a SubgroupRow that follow; an interval is cut to what the number can be."""
        if isinstance(self.found, str):
            return {
                "class_name": self.class_name, "value": None, "missing": self.found, "n_cases": 0, "n_positives": None,
                "n_patients": 0, "note": self.note,
            }  # fmt: skip
        found = with_ends(self.found, *bounds)
        low, high = self.effect.interval(LEVEL) if self.effect else interval(found)
        if not math.isfinite(low):
            return {
                "class_name": self.class_name, "value": self.found.value, "missing": None, "n_cases": self.found.cases,
                "n_positives": self.positives, "n_patients": len(self.found.patient),
                "note": "; ".join(note for note in (self.note, NO_PATIENT_DIFFERS) if note),
            }  # fmt: skip
        return {
            "class_name": self.class_name, "value": self.found.value, "missing": None, "n_cases": self.found.cases,
            "n_positives": self.positives, "n_patients": len(self.found.patient), "note": self.note,
            "low": low if bounds[0] is None else max(low, bounds[0]), "high": high if bounds[1] is None else min(high, bounds[1]),
        }  # fmt: skip


def shared_cases(metric: Metric, networks: Sequence[Columns], cohort: Cohort) -> Integers:
    """The cases of a class that every network has a value for, with a known label where they are ranked (see `cases_of`)."""
    name = metric.of or metric.name
    found: Integers = reduce(np.intersect1d, [cases_of(name, network, cohort) for network in networks])
    target, sample = np.divmod(found, len(cohort.patients))
    known = target >= 0
    if metric.statistic in RANKED:
        known &= cohort.labels[sample, target] >= 0
    return found[known]


def by_class(metric: Metric, networks: Sequence[Columns], cohort: Cohort, cases: Integers, group: Integers) -> ByClass:
    """The numbers of every network in the samples of a group, class by class."""
    target, sample = np.divmod(cases, len(cohort.patients))
    inside = np.isin(sample, group)
    return {
        number: _of_group(metric, networks, cohort, number, sample[inside & (target == number)])
        for number in range(len(cohort.classes))
    }


def levels(metric: Metric, found: ByClass, cohort: Cohort, positives: Mapping[int, int | None]) -> list[Made]:
    """A row per class and one over the classes that have a number."""
    each = {number: part if isinstance(part, str) else _together(part) for number, part in found.items()}
    rows = [
        Made(cohort.classes[number], part, None if isinstance(part, str) else positives[number])
        for number, part in each.items()
    ]
    return [*rows, _macro(each, cohort)]


def differences(inside: ByClass, others: ByClass, cohort: Cohort) -> list[Made]:
    """The group minus the others, a row per class and one over the classes that have a difference."""
    apart = _apart(inside, others)
    each = {number: part if isinstance(part, str) else _together(part) for number, part in apart.items()}
    rows = [Made(cohort.classes[number], part, effect=_linear(part)) for number, part in each.items()]
    over = _macro(each, cohort)
    return [*rows, over._replace(effect=_linear(over.found))]


def between_strategies(mine: tuple[ByClass, ByClass], reference: tuple[ByClass, ByClass], cohort: Cohort) -> list[Made]:
    """How much larger the difference of a group to the others is under one side than under the reference, in the same rows."""
    sides = [_apart(*side) for side in (mine, reference)]
    each: dict[int, tuple[list[Influence], list[Influence]] | str] = {}
    for number in sides[0]:
        first, second = sides[0][number], sides[1][number]
        each[number] = first if isinstance(first, str) else second if isinstance(second, str) else (first, second)
    rows = [_between(cohort.classes[number], part) for number, part in each.items()]
    used = [part for part in each.values() if not isinstance(part, str)]
    note = _left_out({number: part if isinstance(part, str) else part[0][0] for number, part in each.items()}, cohort)
    if not used:
        return [*rows, Made(MACRO, _why_none([str(part) for part in each.values()]))]
    over = tuple([averaged(list(network)) for network in zip(*(part[side] for part in used), strict=True)] for side in (0, 1))
    return [*rows, _between(MACRO, (over[0], over[1]))._replace(note=note)]


def _between(name: str, sides: tuple[list[Influence], list[Influence]] | str) -> Made:
    if isinstance(sides, str):
        return Made(name, sides)
    together = [_together(side) for side in sides]
    apart = difference(*together)
    effect = effect_of(apart, *sides)
    return Made(name, apart, effect=None if still(effect) else effect)


def _of_group(
    metric: Metric, networks: Sequence[Columns], cohort: Cohort, number: int, samples: Integers
) -> list[Influence] | str:
    if lacking := too_few(metric, cohort, number, samples):
        return lacking
    found = [_number(metric, network, cohort, number, samples) for network in networks]
    parts = [part for part in found if not isinstance(part, str)]
    return parts if len(parts) == len(found) else next(part for part in found if isinstance(part, str))


def too_few(metric: Metric, cohort: Cohort, number: int, samples: Integers) -> str | None:
    """Why these cases are too few to say anything of a group, or None."""
    patients = len(np.unique(cohort.patients[samples]))
    if patients < LEAST_PATIENTS:
        return f"not estimable ({how_many(patients, 'patient')}; {LEAST_PATIENTS} are needed)"
    if metric.statistic in RANKED:
        positive = int((cohort.labels[samples, number] == 1).sum())
        for kind, count in (("positive", positive), ("negative", len(samples) - positive)):
            if count < LEAST_OF_A_KIND:
                return f"not estimable ({how_many(count, kind)}; {LEAST_OF_A_KIND} are needed)"
    return None


def _number(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """One number of these cases of a class."""
    if metric.statistic not in ("mean", *RANKED):
        return of_cases(metric, network, cohort, number, samples)
    values, patient = values_of(network.values[metric.of or metric.name], number, samples), cohort.patients[samples]
    if metric.statistic == "mean":
        found = mean(values, patient)
        return found if isinstance(found, str) else with_ends(found, metric.low, metric.high)
    return ranked(metric.statistic, values, cohort.labels[samples, number] == 1, patient).number


def _apart(inside: ByClass, others: ByClass) -> ByClass:
    """The difference of every network, or why there is none: of the group, or of the others."""
    found: ByClass = {}
    for number, mine in inside.items():
        rest = others[number]
        if isinstance(mine, str) or isinstance(rest, str):
            found[number] = mine if isinstance(mine, str) else f"{rest} in the others"
        else:
            found[number] = [
                difference(one, other)._replace(cases=one.cases + other.cases, ends=None)
                for one, other in zip(mine, rest, strict=True)
            ]
    return found


def _together(parts: list[Influence]) -> Influence:
    """The mean over the networks of a side, all on the same cases."""
    return averaged(parts)._replace(cases=parts[0].cases)


def _linear(part: Influence | str) -> Linear | None:
    return None if isinstance(part, str) or still(part) else Linear(part.value, part.patient, part.influence)


def _macro(each: Mapping[int, Influence | str], cohort: Cohort) -> Made:
    used = [part for part in each.values() if not isinstance(part, str)]
    if not used:
        return Made(MACRO, _why_none([str(part) for part in each.values()]))
    return Made(MACRO, averaged(used), note=_left_out(each, cohort))


def _left_out(each: Mapping[int, Influence | str], cohort: Cohort) -> str | None:
    absent = [cohort.classes[number] for number, part in each.items() if isinstance(part, str)]
    return f"{len(absent)} of {how_many(len(each), 'class')} left out: {', '.join(absent)}" if absent else None


def _why_none(reasons: Sequence[str]) -> str:
    return reasons[0] if len(set(reasons)) == 1 else NO_CLASS
