"""Ways to choose against each other: differences paired by seed, where everything but the choice is the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

Curve = Sequence[float | None]
"""A value per round, the first before anything was chosen; None where it is not estimable."""

MEAN = "mean over the rounds"


class Difference(NamedTuple):
    """Mean difference over the seeds with its 95 % interval; `missing` says why there is no value, or no interval."""

    function: str
    baseline: str
    metric: str
    round: str
    value: float | None
    low: float | None
    high: float | None
    seeds: int
    missing: str | None = None


def differences(
    curves: Mapping[tuple[int, str], Curve], metric: str, functions: Sequence[str], baselines: Sequence[str]
) -> list[Difference]:
    """Each function against each baseline: after every round, and the mean of the rounds; `curves` are by seed and function."""
    found = []
    for function in functions:
        for baseline in baselines:
            seeds = sorted(
                {seed for seed, name in curves if name == function} & {seed for seed, name in curves if name == baseline}
            )
            pairs = [(curves[seed, function], curves[seed, baseline]) for seed in seeds]
            rounds = min((min(map(len, pair)) for pair in pairs), default=0)
            for place in range(1, rounds):
                column = [_minus(mine[place], theirs[place]) for mine, theirs in pairs]
                found.append(Difference(function, baseline, metric, str(place), *interval(column)))
            column = [_minus(_mean(mine[1:]), _mean(theirs[1:])) for mine, theirs in pairs]
            found.append(Difference(function, baseline, metric, MEAN, *interval(column)))
    return found


def interval(values: Sequence[float | None]) -> tuple[float | None, float | None, float | None, int, str | None]:
    """(mean, low, high, seeds, missing) of a difference by seed, from Student's t; with one seed there is a mean and no interval."""
    from scipy.stats import t

    known = [value for value in values if value is not None]
    if not known:
        return None, None, None, 0, "no seed has a value for both"
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return mean, None, None, 1, "one seed has no spread"
    half = float(t.ppf(0.975, len(known) - 1)) * float(np.std(known, ddof=1)) / math.sqrt(len(known))
    return mean, mean - half, mean + half, len(known), None


def _minus(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or theirs is None else mine - theirs


def _mean(values: Curve) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
