"""What may be said of a difference: it is there, it is too small to matter, or these data cannot tell.

"Roughly equal" without a test is the fallacy of taking p > .05 for equality: with a true difference as large as the margin it
would be said of half of all studies, where two one-sided tests (TOST) say it of at most 5 %.
"""

from __future__ import annotations

from typing import Literal

from .effect import Effect, student_quantile

Verdict = Literal["different", "equivalent", "different but negligible", "inconclusive"]
ALPHA = 0.05
POWER = 0.8


def verdict(effect: Effect, p: float, margin: float | None) -> Verdict:
    """`different` if p, adjusted for the family, is below .05 and the 95 % interval does not hold 0; `equivalent` if the 90 %
    interval lies within the margin.

    Both can hold. Without a margin nothing is equivalent. Sign flips and t can disagree where one patient carries most of the
    error: nobody should read "different" beside an interval that holds 0.
    """
    low, high = effect.interval(1 - ALPHA)
    different = p < ALPHA and not low <= 0 <= high
    equivalent = margin is not None and within(effect, margin)
    if different:
        return "different but negligible" if equivalent else "different"
    return "equivalent" if equivalent else "inconclusive"


def within(effect: Effect, margin: float) -> bool:
    """Two one-sided tests at 5 % each: whether the 90 % interval lies strictly between -margin and margin."""
    low, high = effect.interval(1 - 2 * ALPHA)
    return -margin < low and high < margin


def smallest_margin(effect: Effect) -> float:
    """The smallest margin for which these data would have shown equivalence in 80 % of studies if there were no difference.

    SE * (t_.95 + t_.90): it depends on the precision alone and not on the difference that was found, so that it cannot be
    chosen to fit.
    """
    reach = student_quantile(effect.freedom, 1 - ALPHA) + student_quantile(effect.freedom, (1 + POWER) / 2)
    return reach * effect.error
