"""Numbers of one class of one network that `Metric.statistic` asks for: of the audited images, and of the step from training to them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..metric import Metric, Statistic
from .between_splits import (
    ALIKE,
    BETWEEN,
    Side,
    asymmetry,
    between,
    pairwise,
    rank_correlation,
    slope,
    standardised,
)
from .columns import Columns, cases_of, values_of
from .influence import Influence, Integers, mean, ratio
from .rows import Cohort

__all__ = ["ACROSS", "BETWEEN", "OWN", "across", "of_audited", "of_step"]

OWN = ("level", "below", "median", "ratio", "pairwise", "standardised")
ACROSS: Mapping[str, Statistic] = {"asymmetry_on_rarity": "asymmetry", "retained_with_share": "retained"}
"""Statistics over the classes, and the statistic of each class that they are made from."""


def of_audited(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """A number of these audited samples alone."""
    value, patient = values_of(network.values[metric.of], number, samples), cohort.patients[samples]
    if metric.statistic == "ratio":
        under = values_of(network.values[metric.against], number, samples)
        return ratio(value, under, patient) if math.fsum(under) > 0 else ALIKE
    if metric.statistic == "standardised":
        scale = network.values[metric.against]
        return standardised(Side(value, patient), scale.value[(scale.target == number) & ~np.isnan(scale.value)])
    if metric.statistic == "pairwise":
        return pairwise(Side(value, patient))
    if metric.statistic == "level":
        return mean(value, patient)
    found = mean((value < 0).astype(np.float64), patient)
    if isinstance(found, str) or metric.statistic == "below":
        return found
    return found._replace(value=float(np.median(value)))


def of_step(metric: Metric, network: Columns, cohort: Cohort, number: int, samples: Integers) -> Influence | str:
    """A number of the step from the training images to these audited samples."""
    if isinstance(network.training, str):
        return network.training
    if metric.statistic not in ("asymmetry", "standardised_asymmetry"):
        return between(metric.statistic, *_both(metric.of, network, cohort, number, samples))
    step = "shift" if metric.statistic == "asymmetry" else "standardised_shift"
    target, sample = np.divmod(cases_of(metric.against, network, cohort), len(cohort.patients))
    positive = between(step, *_both(metric.of, network, cohort, number, samples))
    negative = between(step, *_both(metric.against, network, cohort, number, sample[target == number]))
    if isinstance(positive, str):
        return positive
    return negative if isinstance(negative, str) else asymmetry(positive, negative)


def across(metric: Metric, each: Mapping[int, Influence | str], network: Columns, cohort: Cohort) -> Influence | str:
    """A number over the classes, from the number of each."""
    if isinstance(network.training, str):
        return network.training
    known = {number: part for number, part in each.items() if isinstance(part, Influence)}
    if metric.statistic == "asymmetry_on_rarity":
        rarity = {number: share for number, share in cohort.rarity.items() if share > 0}
        return slope([(math.log10(rarity[number]), part) for number, part in known.items() if number in rarity])
    column = network.values[metric.against]
    shares = {number: column.value[(column.target == number) & ~np.isnan(column.value)] for number in known}
    used = [number for number in known if len(shares[number])]
    rho = rank_correlation(
        np.array([known[number].value for number in used]), np.array([shares[number].mean() for number in used])
    )
    return rho if isinstance(rho, str) else Influence(rho, np.zeros(0, np.int64), np.zeros(0), len(used))


def _both(column: str, network: Columns, cohort: Cohort, number: int, samples: Integers) -> tuple[Side, Side]:
    """The cases of a class among the audited and among the training images."""
    audited = Side(values_of(network.values[column], number, samples), cohort.patients[samples])
    assert not isinstance(network.training, str)
    then = network.training.get(column)
    if then is None:
        return audited, Side(np.zeros(0), np.zeros(0, np.int64))
    kept = (then.target == number) & ~np.isnan(then.value)
    return audited, Side(then.value[kept], cohort.training_patients[then.sample[kept]])
