"""The variance of a difference between two strategies, each trained several times: patients and seeds are crossed.

Every network sees the same patients, so that neither the spread over patients nor the spread over seeds alone is the error of
the difference. With W the part of the seeds, P that of the patients for the networks as they are, and J the part that both
contain (patients who respond differently to different runs): V = max(W + P - J, W, P), degrees of freedom by Satterthwaite.
Two networks are not two strategies: with one run of a side W cannot be known, and nothing here applies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Side(NamedTuple):
    """The S networks of a strategy: the statistic of each [S], and a vector each [S, M] whose squared length is its variance
    over patients and whose products are covariances: influences by patient, or resamples centred and divided by sqrt(R - 1)."""

    value: Floats
    vector: Floats


class Crossing(NamedTuple):
    """Variance and degrees of freedom of a difference of strategies; `seeds` is the share of the variance that is not the
    patients'."""

    variance: float
    freedom: float
    seeds: float


def side_of(values: Sequence[float], vectors: Sequence[Floats]) -> Side:
    """A side from the numbers of its networks, the same to the last bit in whatever order they are named."""
    order = np.argsort(values, kind="stable")
    return Side(np.asarray(values)[order], np.stack(vectors)[order])


def crossed(mine: Side, reference: Side, over_patients: float, freedom: float) -> Crossing:
    """V and its degrees of freedom; `over_patients` is P, the variance over patients of the difference of the two means, and
    `freedom` its degrees of freedom. Raises ValueError unless both sides have at least two networks."""
    if min(len(mine.value), len(reference.value)) < 2:
        raise ValueError("the variance over seeds needs at least 2 networks on each side")
    between = [(float(np.var(side.value, ddof=1)) / len(side.value), len(side.value) - 1) for side in (mine, reference)]
    seeds = math.fsum(part for part, _ in between)
    both = math.fsum(_within(side) for side in (mine, reference))
    variance = max(seeds + over_patients - both, seeds, over_patients)
    spread = math.fsum(part**2 / df for part, df in [*between, (over_patients, freedom)])
    total = seeds + over_patients
    return Crossing(variance, total**2 / spread if spread else freedom, 1 - over_patients / variance if variance else 0.0)


def _within(side: Side) -> float:
    """How much of a mean over S networks varies with the patients because its networks respond to them differently."""
    networks = len(side.value)
    return float(np.var(side.vector, axis=0, ddof=1).sum()) / networks
