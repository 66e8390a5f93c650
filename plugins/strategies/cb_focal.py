"""Class-balanced focal loss: weights by the effective number of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._effective import effective_weight
from ._weighted import Weighted, at_least, one_sided, side


@dataclass(frozen=True)
class CbFocal(Strategy):
    """Class-balanced focal loss: focal, weighted by the effective number of positives and negatives.

    w+ = (1 - beta)/(1 - beta^N+) (1 - p)^gamma, and w- likewise with N- and p.

    Above about 1/(1 - beta) samples a count no longer matters. `normalise: sum1` divides each class's two weights by their
    sum, as imba-explain's repository does (with `scale: 50`): the same ratio within a class, another balance between classes.
    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples; imba-explain, equation 2.
    """

    name: ClassVar[str] = "cb_focal"

    beta: float = 0.9999
    gamma: float = 2.0
    normalise: Literal["none", "sum1"] = "none"
    scale: float = 1.0

    def __post_init__(self) -> None:
        at_least("beta", self.beta, 0, math.nextafter(1, 0))
        at_least("gamma", self.gamma, 0)
        at_least("scale", self.scale, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Weights from the counts of the training set; classes without positives or negatives get 1 and a warning."""
        positive, negative = [], []
        for alone, p, n in zip(one_sided(counts, self.name), counts.positives, counts.negatives, strict=True):
            pair = (1.0, 1.0) if alone else (effective_weight(p, self.beta), effective_weight(n, self.beta))
            total = sum(pair) if self.normalise == "sum1" and not alone else 1.0
            positive.append(pair[0] / total)
            negative.append(pair[1] / total)
        gammas = [self.gamma] * len(counts.classes)
        return Weighted(side(positive, gammas), side(negative, gammas), self.scale)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [CbFocal]
