"""p-values adjusted for the number of hypotheses: Holm for what was declared, Benjamini-Hochberg for what is explored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def holm(p: Floats) -> Floats:
    """Adjusted p-values [K]: rejecting those below alpha makes any false rejection at all in at most alpha of all studies.

    Source: Holm, Scandinavian Journal of Statistics 1979;6:65-70. No assumption on how the tests depend on each other.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _back(np.minimum(stepped, 1.0), order)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p-values [K]: of those below alpha an expected share of at most alpha is false.

    Source: Benjamini and Hochberg, Journal of the Royal Statistical Society B 1995;57:289-300; for tests that are independent
    or positively dependent.
    """
    order = np.argsort(p, kind="stable")[::-1]
    stepped = np.minimum.accumulate(p[order] * (len(p) / np.arange(len(p), 0, -1)))
    return _back(np.minimum(stepped, 1.0), order)


def _back(stepped: Floats, order: npt.NDArray[np.intp]) -> Floats:
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return adjusted
