"""Label-distribution-aware margin loss: the rarer a label, the larger the margin asked of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._effective import effective_weight
from ._weighted import Weighted, at_least, one_sided, ready, side

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Ldam(Strategy):
    """Cross-entropy of logits from which a margin is taken, larger for what is rarer: m = C / n^(1/4).

    -y log sigmoid(s (z - m+)) - (1 - y) log sigmoid(-s (z + m-)): n is N+ for m+ and N- for m-, and C makes the largest
    margin of all classes `max_margin`. The paper has softmax; this is its two-class case for each class, our reading.
    The scale s (`logit_scale`) is 30 in the paper, whose logits are cosines; logits of an ordinary linear layer are not, and
    with s other than 1 the sigmoid of a logit is not the probability that was trained.

    `reweight_after`: the share of the epochs after which entries are also weighted by the effective number of samples
    (1 - beta)/(1 - beta^n), mean 1 over both sides of all classes; the paper defers it to 0.8. nothing: never.
    Source: Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss (arXiv 1906.07413).
    """

    name: ClassVar[str] = "ldam"

    max_margin: float = 0.5
    logit_scale: float = 1.0
    reweight_after: float | None = None
    beta: float = 0.9999

    def __post_init__(self) -> None:
        at_least("max_margin", self.max_margin, 0)
        at_least("logit_scale", self.logit_scale, 1e-3)
        at_least("beta", self.beta, 0, math.nextafter(1, 0))
        if self.reweight_after is not None:
            at_least("reweight_after", self.reweight_after, 0, 1)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Margins from the counts of the training set; classes without positives or negatives get none, and a warning."""
        sided = one_sided(counts, self.name, "no margin, weights of 1")
        sizes = [
            [0 if alone else n for alone, n in zip(sided, row, strict=True)] for row in (counts.positives, counts.negatives)
        ]
        first = self._criterion([[1.0] * len(sided)] * 2, sizes)
        later = first if self.reweight_after is None else self._criterion(self._weights(sizes), sizes)
        return Deferred(first, later, self.reweight_after or 0.0, self.logit_scale, len(sided))

    def _criterion(self, weights: Sequence[Sequence[float]], sizes: Sequence[Sequence[int]]) -> Weighted:
        return Weighted(*(side(row, margins=margins) for row, margins in zip(weights, self._margins(sizes), strict=True)))

    def _margins(self, sizes: Sequence[Sequence[int]]) -> list[list[float]]:
        """s m for both sides, as the logits are scaled before the margins are taken."""
        rarest = min((n for row in sizes for n in row if n), default=1)
        return [[self.logit_scale * self.max_margin * (rarest / n) ** 0.25 if n else 0.0 for n in row] for row in sizes]

    def _weights(self, sizes: Sequence[Sequence[int]]) -> list[list[float]]:
        raw = [effective_weight(n, self.beta) for row in sizes for n in row if n]
        mean = math.fsum(raw) / max(1, len(raw))
        return [[effective_weight(n, self.beta) / mean if n else 1.0 for n in row] for row in sizes]


class Deferred:
    """One criterion, and after a share of the epochs another; both see the logits times `scale`."""

    def __init__(self, first: Weighted, later: Weighted, after: float, scale: float, classes: int) -> None:
        self._first, self._later, self._after, self._scale, self._classes = first, later, after, scale, classes
        self._now = first

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Epochs count from 1; the share is of those that are over."""
        self._now = self._later if (epoch - 1) / epochs >= self._after else self._first

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every entry of logits [N, K, ...] and labels [N, K, ...]."""
        logits, labels = ready(logits, labels, self._classes)  # raised before they are scaled
        return self._now(logits * self._scale, labels)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [Ldam]
