"""The cases that every network of both sides has a value for: the only ones on which they may be contrasted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..wording import how_many
from .rows import Cohort, Values

NO_CASE = "no case measured"
NO_CLASS = "not estimable in any class"
NOBODY = "no class in this group"


@dataclass(frozen=True)
class Pairs:
    """n cases of one class: their patients, whether each is positive, and a row of values per network of each side [S, n].

    `listed` counts the cases that any network was measured on.
    """

    patient: npt.NDArray[np.int64]
    positive: npt.NDArray[np.bool_]
    mine: npt.NDArray[np.float64]
    reference: npt.NDArray[np.float64]
    listed: int

    @property
    def cases(self) -> int:
        """How many cases every network has a value for."""
        return len(self.patient)

    @property
    def patients(self) -> int:
        """How many patients they come from."""
        return len(np.unique(self.patient))

    @property
    def left_out(self) -> str | None:
        """What must be said of cases that some network has no value for."""
        lost = self.listed - self.cases
        return f"{lost:,} of {how_many(self.listed, 'case')} left out: no value in every network" if lost else None


def pair(mine: Sequence[Values], reference: Sequence[Values], cohort: Cohort, labelled: bool) -> dict[int, Pairs]:
    """{target: its pairs} for every target measured in any network; where `labelled`, only cases whose label is known."""
    if not mine or not reference:
        raise ValueError("a comparison needs at least one network on each side")
    keys = [values.sample * (len(cohort.classes) + 1) + values.target + 1 for values in (*mine, *reference)]
    every = np.unique(np.concatenate(keys))
    sample, target = every // (len(cohort.classes) + 1), every % (len(cohort.classes) + 1) - 1
    label = np.where(target >= 0, cohort.labels[sample, target], -1)
    table = np.full((len(keys), len(every)), np.nan)
    for row, key, values in zip(table, keys, (*mine, *reference), strict=True):
        if len(np.unique(key)) < len(key):
            raise ValueError("a network has two values for one case")
        row[np.searchsorted(every, key)] = values.value
    listed = (label >= 0) | (not labelled)
    shared = listed & ~np.isnan(table).any(0)
    found = {}
    for number in np.unique(target[listed]).tolist():
        kept = np.flatnonzero(shared & (target == number))
        sides = table[: len(mine), kept], table[len(mine) :, kept]
        count = int((listed & (target == number)).sum())
        found[number] = Pairs(cohort.patients[sample[kept]], label[kept] == 1, *sides, count)
    return found


def average(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over networks of [S, n], the same to the last bit in whatever order they are named."""
    return np.asarray(np.sort(values, axis=0).mean(0))
