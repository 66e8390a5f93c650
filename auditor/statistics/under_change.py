"""What changes of the picture do to the answers of one network on one class: to the ranking, the decisions, the scores.

`before` [n] are log-odds of the pictures as they are, `after` [V, n] those under V changes; every number is a mean over the changes,
paired case by case, and its error a sum over patients (docs/methods.md G.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..metric import Metric
from .between_splits import ALIKE
from .columns import Columns, values_of
from .delong import clustered_area, placements
from .influence import TOO_FEW, Floats, Influence, Integers, mean, share
from .operating import NOTHING_TO_CHOOSE_ON, threshold
from .ranking import not_estimable
from .rows import Cohort

Flags = npt.NDArray[np.bool_]


class Changed(NamedTuple):
    """Cases of one class: log-odds before [n] and after [V, n], whether positive [n], patient [n]."""

    before: Floats
    after: Floats
    positive: Flags
    patient: Integers


def under_change(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """The number of a metric on these samples of a class, or why there is none."""
    before = values_of(network.values[metric.of], number, samples)
    after = [values_of(network.values[name], number, samples) for name in metric.over]
    cases = Changed(
        before, np.array(after).reshape(len(after), len(before)), cohort.labels[samples, number] == 1, cohort.patients[samples]
    )
    if len(np.unique(cases.patient)) < 2:
        return TOO_FEW
    if metric.statistic == "flipped":
        assert metric.at is not None
        return flipped(cases, metric.at)
    return STATISTICS[metric.statistic](cases)


def ranking(cases: Changed) -> Influence | str:
    """The AUROC before."""
    return not_estimable(cases.positive) or _area(placements(cases.before, cases.positive), cases)


def ranking_change(cases: Changed) -> Influence | str:
    """The AUROC after less the AUROC before."""
    if lacking := not_estimable(cases.positive):
        return lacking
    after = np.mean([placements(row, cases.positive) for row in cases.after], axis=0)
    return _area(after - placements(cases.before, cases.positive), cases)


def flipped(cases: Changed, specificity: float) -> Influence | str:
    """The share of cases that another side of the threshold is told for; the threshold is set before, and taken as given."""
    if cases.positive.all():
        return NOTHING_TO_CHOOSE_ON
    level = threshold(cases.before[~cases.positive], specificity)
    values = ((cases.after > level) != (cases.before > level)).mean(0)
    return share(values, cases.patient) if len(cases.after) == 1 else mean(values, cases.patient)


def moved(cases: Changed) -> Influence | str:
    """The mean size of the change in standard deviations of the log-odds before."""
    return _in_deviations(np.abs(cases.after - cases.before).mean(0), cases)


def moved_signed(cases: Changed) -> Influence | str:
    """The mean change with its sign, in the same unit."""
    return _in_deviations((cases.after - cases.before).mean(0), cases)


STATISTICS: dict[str, Callable[[Changed], Influence | str]] = {
    "ranking": ranking, "ranking_change": ranking_change, "moved": moved, "moved_signed": moved_signed,
}  # fmt: skip
CHANGED = (*STATISTICS, "flipped")


def _area(placed: Floats, cases: Changed) -> Influence:
    found = clustered_area(placed, cases.positive, cases.patient)
    rarer = min(len(np.unique(cases.patient[kind])) for kind in (cases.positive, ~cases.positive))
    return Influence(found.value, found.patient, found.influence, len(placed), rarer=rarer)


def _in_deviations(change: Floats, cases: Changed) -> Influence | str:
    """A mean over the standard deviation, linearised in both."""
    away = (cases.before - cases.before.mean()) ** 2
    size, variance = mean(change, cases.patient), mean(away, cases.patient)
    if isinstance(size, str) or isinstance(variance, str):
        return TOO_FEW
    if not variance.value > 0:
        return ALIKE
    deviation = math.sqrt(variance.value)
    value = size.value / deviation
    influence = size.influence / deviation - value * variance.influence / (2 * variance.value)
    return Influence(value, size.patient, influence, len(change))
