"""Inter-class weighted cross-entropy: classes weigh by how common they are among each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import Weighted, at_least, one_sided, side


@dataclass(frozen=True)
class InterWbce(Strategy):
    """Binary cross-entropy with one weight per class, on positives and negatives alike, that grows with its positives.

    w_k = sqrt(N+_k), divided by the mean over classes.

    Note the direction: rare classes weigh less, and within a class nothing is done about imbalance. The repository of
    imba-explain has sqrt(N+_k / (max N+ + sum N+)) over its sum, times 15: for its 15 classes the same, as the denominator
    cancels. The paper reports no result of it. Classes without positives or without negatives get the mean weight, 1.
    """

    name: ClassVar[str] = "inter_wbce"

    scale: float = 1.0

    def __post_init__(self) -> None:
        at_least("scale", self.scale, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Weights from the counts of the training set; a warning names the classes without positives or negatives."""
        sided = one_sided(counts, self.name)
        raw = [0.0 if alone else math.sqrt(p) for alone, p in zip(sided, counts.positives, strict=True)]
        mean = math.fsum(raw) / max(1, sided.count(False))
        weights = side([1.0 if alone else weight / mean for alone, weight in zip(sided, raw, strict=True)])
        return Weighted(weights, weights, self.scale)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [InterWbce]
