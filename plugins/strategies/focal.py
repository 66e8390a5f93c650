"""Focal loss: easy examples count less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import Weighted, at_least, side


@dataclass(frozen=True)
class Focal(Strategy):
    """Focal loss: entries that are easy already weigh less.

    w+ = alpha (1 - p)^gamma, w- = (1 - alpha) p^gamma; `alpha: null` has 1 in place of both.

    Note that alpha 0.25, the usual choice, gives positives a third of the weight of negatives. imba-explain's repository
    trains with `scale: 10`. Source: Lin et al., Focal Loss for Dense Object Detection, equation 5.
    """

    name: ClassVar[str] = "focal"

    alpha: float | None = 0.25
    gamma: float = 2.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha is not None:
            at_least("alpha", self.alpha, 0, 1)
        at_least("gamma", self.gamma, 0)
        at_least("scale", self.scale, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """The same weights for every class, whatever the counts."""
        positive, negative = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        number = len(counts.classes)
        gammas = [self.gamma] * number
        return Weighted(side([positive] * number, gammas), side([negative] * number, gammas), self.scale)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [Focal]
