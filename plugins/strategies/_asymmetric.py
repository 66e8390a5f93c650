"""The criterion of the asymmetric losses: positives of rare classes get a margin and keep their full weight."""

from __future__ import annotations

from collections.abc import Sequence

from ._weighted import Weighted, side


def asymmetric(rare: Sequence[bool], margin: float = 0.0, gamma: float = 0.0) -> Weighted:
    """The margin for positives of rare classes, the focus for everything else.

    With r = 1 for a rare class and 0 otherwise: -y (1 - q)^(gamma (1 - r)) log q - (1 - y) p^gamma log(1 - p), where
    p = sigmoid(z) and q = sigmoid(z - r m). This is the two-class case of the softmax losses of Li et al. (arXiv 2102.10365)
    with the positives as their rare class; that a class which is not rare is focused on both sides is our decision.
    """
    ones, gammas = [1.0] * len(rare), [gamma] * len(rare)
    kept = [0.0 if is_rare else gamma for is_rare in rare]
    margins = [margin if is_rare else 0.0 for is_rare in rare]
    return Weighted(side(ones, kept, margins), side(ones, gammas))


def symmetric(classes: int, margin: float = 0.0, gamma: float = 0.0) -> Weighted:
    """The margin and the focus for positives and negatives of every class."""
    both = side([1.0] * classes, [gamma] * classes, [margin] * classes)
    return Weighted(both, both)
