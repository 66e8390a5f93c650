"""A paired difference together with what is known of its error: an interval at any level, a p-value, a standard error.

There are three ways to know it. `Linear`: how far each patient moves the difference (means, AUROC), judged by Student's t.
`Drawn`: the differences in resamples of patients (average precision, ratios, means over classes of AUROC). `Crossed`: one of
these with the variance between training runs added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .pairing import Pairs
from .seeds import Crossing, Side, crossed

Floats = npt.NDArray[np.float64]
LEVEL = 0.95


class Effect(Protocol):
    """A difference, its standard error with degrees of freedom, and the two-sided p-value of no difference."""

    @property
    def value(self) -> float: ...
    @property
    def error(self) -> float: ...
    @property
    def freedom(self) -> float: ...
    @property
    def p(self) -> float: ...

    def interval(self, level: float) -> tuple[float, float]:
        """The interval that covers the true difference in this share of all studies."""
        ...


@dataclass(frozen=True)
class Linear:
    """A difference that is a sum over patients: `influence` [G] is how far each of `patient` [G] moves it.

    SE^2 is the sum of the squared influences (which carry the factor sqrt(G / (G - 1))). Degrees of freedom are the effective
    number of patients less one, (sum E^2)^2 / sum E^4 - 1, at least 1: where few patients carry most of the difference, as
    with long series of follow-up films, the interval widens as it should.
    """

    value: float
    patient: npt.NDArray[np.int64]
    influence: Floats
    tested: float | None = None
    """The p-value of a test that fits better than t, such as sign flips."""

    @property
    def error(self) -> float:
        """Standard error over patients."""
        return math.sqrt(math.fsum(self.influence**2))

    @property
    def freedom(self) -> float:
        """Effective number of patients less one."""
        shares = self.influence / max(float(np.abs(self.influence).max(initial=0.0)), 1e-300)
        fourth = math.fsum(shares**4)
        return max(math.fsum(shares**2) ** 2 / fourth - 1.0, 1.0) if fourth else max(len(shares) - 1.0, 1.0)

    @property
    def p(self) -> float:
        """Of the test that fits best: given, or Student's t."""
        return student_p(self.value, self.error, self.freedom) if self.tested is None else self.tested

    def interval(self, level: float) -> tuple[float, float]:
        """value -+ t SE."""
        return student(self.value, self.error, self.freedom, level)


@dataclass(frozen=True)
class Drawn:
    """A difference and the same in R resamples of the patients [R], NaN where it does not exist; `patients` is how many.

    Where the interval is studentised, `drawn` holds value - SE t* instead: its quantiles are the ends of the interval.
    """

    value: float
    drawn: Floats
    error: float
    patients: int

    @property
    def kept(self) -> Floats:
        """The resamples in which the difference exists; at least one."""
        return self.drawn[~np.isnan(self.drawn)]

    @property
    def freedom(self) -> float:
        """Patients less one."""
        return max(self.patients - 1.0, 1.0)

    @property
    def p(self) -> float:
        """Twice the smaller share of resamples on one side of 0, the data themselves counted in."""
        beyond = min(int((self.kept <= 0).sum()), int((self.kept >= 0).sum()))
        return min(1.0, 2 * (1 + beyond) / (1 + len(self.kept)))

    def interval(self, level: float) -> tuple[float, float]:
        """The middle share of the resamples."""
        low, high = np.quantile(self.kept, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class Crossed:
    """A difference between strategies with several training runs each: patients and seeds both vary.

    `over_patients` is the same difference as if the runs were fixed.
    """

    over_patients: Linear | Drawn
    crossing: Crossing

    @property
    def value(self) -> float:
        """The difference of the means over the runs."""
        return self.over_patients.value

    @property
    def error(self) -> float:
        """Standard error over patients and seeds."""
        return math.sqrt(self.crossing.variance)

    @property
    def freedom(self) -> float:
        """Satterthwaite's, over seeds and patients."""
        return self.crossing.freedom

    @property
    def p(self) -> float:
        """Of Student's t."""
        return student_p(self.value, self.error, self.freedom)

    def interval(self, level: float) -> tuple[float, float]:
        """value -+ t SE."""
        return student(self.value, self.error, self.freedom, level)


def with_seeds(over_patients: Linear | Drawn, pairs: Pairs, sides: Callable[[], tuple[Side, Side]]) -> Linear | Drawn | Crossed:
    """The effect with the variance between training runs added, where both sides have several networks."""
    if min(len(pairs.mine), len(pairs.reference)) < 2:
        return over_patients
    mine, reference = sides()
    return Crossed(over_patients, crossed(mine, reference, over_patients.error**2, over_patients.freedom))


def student(value: float, error: float, freedom: float, level: float) -> tuple[float, float]:
    """The interval of Student's t at this level; of no width where there is no error."""
    half = error and student_quantile(freedom, (1 + level) / 2) * error
    return value - half, value + half


def student_p(value: float, error: float, freedom: float) -> float:
    """Two-sided p-value of Student's t; 1 where value and error are both 0."""
    from scipy.special import stdtr

    if not error:
        return 1.0 if not value else 0.0
    return float(2 * stdtr(freedom, -abs(value) / error))


def student_quantile(freedom: float, share: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
