"""Numbers that no patient moves: 22 of 22 patients alike do not mean that all patients are, so their interval has a width.

If a share pi of all patients differed, G independent ones would all be alike with probability (1 - pi)^G. Where none of G differs, pi
is at most u, the larger of t^2 / (G + t^2), the end of Wilson's interval for 0 of G that shares have here, and of the exact bound
1 - (alpha / 2)^(1 / G) (about 3.7 / G; "rule of three"). Those patients can lie anywhere that the number can be, so its interval reaches from the
value by u towards either bound. For an AUROC, G counts the patients of the rarer kind: so many pairs of a positive and a
negative share no patient, and every one of them is in order. A number without bounds gets no interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .effect import Effect, student_quantile
from .influence import Influence

NO_PATIENT_DIFFERS = "no patient differs: no interval"
BY_NUMBER = "no patient differs: the interval rests on how many they are"
NOTHING = 1e-12
"""Standard errors of this part of a number are what rounding left of none."""


@dataclass(frozen=True)
class Unmoved:
    """A difference that is the same in all of `patients` >= 2, and could lie from `low` to `high`."""

    value: float
    patients: int
    low: float
    high: float

    @property
    def error(self) -> float:
        """The standard error of a Student interval of the same width: no more is known of it."""
        low, high = self.interval(0.95)
        return (high - low) / 2 / student_quantile(self.freedom, 0.975)

    @property
    def freedom(self) -> float:
        """Patients less one."""
        return self.patients - 1.0

    @property
    def p(self) -> float:
        """One less the level of the widest interval that leaves out 0."""
        from scipy.special import stdtr

        if not self.value:
            return 1.0
        ratio = abs(self.value) / (-self.low if self.value > 0 else self.high)
        wilson = float(2 * stdtr(self.freedom, -math.sqrt(self.patients * ratio)))
        return min(max(wilson, 2 * (1 + ratio) ** -self.patients), 1.0)

    def interval(self, level: float) -> tuple[float, float]:
        """From the value by u towards either bound."""
        u = unseen(self.patients, level)
        return self.value - u * (self.value - self.low), self.value + u * (self.high - self.value)


def unseen(patients: int, level: float = 0.95) -> float:
    """The largest share of patients who differ although none of these >= 2 does.

    >>> round(unseen(10), 3), round(unseen(100), 3)
    (0.339, 0.038)
    """
    t = student_quantile(patients - 1.0, (1 + level) / 2)
    return float(max(t * t / (patients + t * t), 1 - ((1 - level) / 2) ** (1 / patients)))


def still(found: Influence | Effect) -> bool:
    """Whether no patient moves a number: of one patient that is not known."""
    if isinstance(found, Influence):
        error = float(np.abs(found.influence).max(initial=0.0))
        return len(found.patient) > 1 and error <= NOTHING * max(1.0, abs(found.value))
    return found.error <= NOTHING * max(1.0, abs(found.value))


def told(effect: Effect | None) -> str | None:
    """What must be said of a settled difference that no patient moves; None of any other."""
    return NO_PATIENT_DIFFERS if effect is None else BY_NUMBER if isinstance(effect, Unmoved) else None


def with_ends(part: Influence, low: float | None, high: float | None, patients: int | None = None) -> Influence:
    """The number with the ends of its 95 % interval where no patient moves it, not a number where it has no bounds; any other as
    it is. `patients` is how many independent ones it rests on, if not all."""
    if part.ends is not None or not still(part):
        return part
    rests_on = patients or part.fewest or len(part.patient)
    if low is None or high is None or rests_on < 2:
        return part._replace(ends=(math.nan, math.nan))
    return part._replace(ends=Unmoved(part.value, rests_on, low, high).interval(0.95))


def settled(effect: Effect, reach: float | None, patients: int) -> Effect | None:
    """A difference, with an interval that has a width: as it is where a patient moves it; None where it has no bounds.

    It can lie from -`reach` to `reach`.
    """
    if not still(effect):
        return effect
    return None if reach is None or patients < 2 else Unmoved(effect.value, patients, -reach, reach)
