"""Logit adjustment: training sees each logit shifted by how common its class is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import Weighted, at_least, one_sided, side


@dataclass(frozen=True)
class LogitAdjustment(Strategy):
    """Cross-entropy of the logit plus tau times the log prior odds of its class, log(N+ / N-).

    The network is used without the shift, so that with tau 1 its logits are those of a data set where positives and negatives
    are equally many, and its probabilities those of that data set, not of yours. The paper has softmax; this is its
    two-class case for each class, our reading. With tau 0 it is `bce`.
    Source: Menon et al., Long-Tail Learning via Logit Adjustment (arXiv 2007.07314).
    """

    name: ClassVar[str] = "logit_adjustment"

    tau: float = 1.0

    def __post_init__(self) -> None:
        at_least("tau", self.tau, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Shifts from the counts of the training set; classes without positives or negatives get none, and a warning."""
        sided = one_sided(counts, self.name, "no shift")
        pairs = zip(sided, counts.positives, counts.negatives, strict=True)
        shifts = [0.0 if alone else self.tau * (math.log(p) - math.log(n)) for alone, p, n in pairs]
        ones = [1.0] * len(shifts)
        return Weighted(side(ones, margins=[-shift for shift in shifts]), side(ones, margins=shifts))


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [LogitAdjustment]
