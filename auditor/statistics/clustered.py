"""A mean, its standard error and its test when several cases come from one patient.

The patient is the independent unit: residuals are summed within a patient before they are squared (cluster-robust variance,
CR1). Image-level intervals cover 41 to 57 % on real follow-up series where these cover 94 to 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .effect import Effect, Linear, with_seeds
from .pairing import Pairs, average
from .seeds import Side, side_of
from .signflip import sign_flip

TOO_FEW = "fewer than 2 patients"

Floats = npt.NDArray[np.float64]
Patients = npt.NDArray[np.int64]


class Group(NamedTuple):
    """The cases of one class: a value and a patient each, [n]."""

    value: Floats
    patient: Patients


def cluster_t(groups: Sequence[Group], seed: int = 0) -> Linear | str:
    """The mean over the groups of each group's mean, tested by sign flips of whole patients; or the reason why there is none."""
    if not groups or any(len(np.unique(group.patient)) < 2 for group in groups):
        return TOO_FEW
    found = mean_of_means(groups)
    _, shares = summed([_share(group, 0.0) for group in groups])
    return Linear(found.value, found.patient, found.influence, sign_flip(shares / len(groups), seed))


def mean_difference(used: Sequence[Pairs], seed: int) -> Effect | str:
    """Mine minus reference averaged over these classes, each side the mean over its networks; or why there is none."""
    differences = [Group(average(pairs.mine) - average(pairs.reference), pairs.patient) for pairs in used]
    over_patients = cluster_t(differences, seed)
    if isinstance(over_patients, str):
        return over_patients
    patients = [pairs.patient for pairs in used]
    sides = [[pairs.mine for pairs in used], [pairs.reference for pairs in used]]
    return with_seeds(over_patients, used[0], lambda: (_networks(sides[0], patients), _networks(sides[1], patients)))


def mean_of_means(groups: Sequence[Group]) -> Linear:
    """The same without the test.

    With one group of n cases and G patients: SE^2 = G/(G-1) * sum over patients of (sum of residuals / n)^2. With several, a
    patient's residuals are summed over the groups too, each group scaled by its own G/(G-1), so that findings of one patient are
    not taken for independent. The order of the cases changes no bit.
    """
    means = [math.fsum(group.value) / len(group.value) for group in groups]
    parts = [_scaled(*_share(group, mean)) for group, mean in zip(groups, means, strict=True)]
    patient, influence = summed(parts)
    return Linear(math.fsum(means) / len(means), patient, influence / len(groups))


def summed(parts: Sequence[tuple[Patients, Floats]]) -> tuple[Patients, Floats]:
    """Each patient once, with the sum of what the parts say of it."""
    return by_patient(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def by_patient(patient: Patients, value: Floats) -> tuple[Patients, Floats]:
    """Each patient once, in order, with the sum of its values; the same to the last bit in whatever order they are given."""
    order = np.lexsort((value, patient))
    patients, first = np.unique(patient[order], return_index=True)
    return patients, np.add.reduceat(value[order], first)


def _networks(values: Sequence[Floats], patients: Sequence[Patients]) -> Side:
    """A side's networks, from their values [S, n] in every class."""
    networks = [mean_of_means([Group(*of) for of in zip(rows, patients, strict=True)]) for rows in zip(*values, strict=True)]
    return side_of([network.value for network in networks], [network.influence for network in networks])


def _share(group: Group, mean: float) -> tuple[Patients, Floats]:
    patients, sums = by_patient(group.patient, group.value - mean)
    return patients, sums / len(group.value)


def _scaled(patients: Patients, shares: Floats) -> tuple[Patients, Floats]:
    return patients, shares * math.sqrt(len(patients) / (len(patients) - 1))
