"""Weighted binary cross-entropy: positives and negatives of a class count alike in sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import Side, Weighted, at_least, beside, one_sided, ready, side, two_sided

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Wbce(Strategy):
    """Binary cross-entropy weighted by the counts of positives N+ and negatives N- of each class.

    `weights`: "paper" has w+ = N-/(N+ + N-), w- = N+/(N+ + N-). "pos_weight" has w+ = N-/N+, w- = 1: the same ratio, but
    rare classes weigh more against common ones. "batch_pos_weight" takes N-/(N+ + 1e-6) of each batch, as the repository of
    imba-explain does; a class that lacks either in the batch gets the smallest N-/N+ of the training set, and labels that are
    not known count as negatives.
    """

    name: ClassVar[str] = "wbce"

    weights: Literal["paper", "pos_weight", "batch_pos_weight"] = "paper"
    scale: float = 1.0

    def __post_init__(self) -> None:
        at_least("scale", self.scale, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Weights from the counts of the training set; classes without positives or negatives get 1 and a warning."""
        sided = one_sided(counts, self.name)
        positive, negative = [], []
        for alone, p, n in zip(sided, counts.positives, counts.negatives, strict=True):
            paper = self.weights == "paper"
            positive.append(1.0 if alone else n / (p + n) if paper else n / p)
            negative.append(1.0 if alone or not paper else p / (p + n))
        if self.weights == "batch_pos_weight":
            known = [weight for weight, alone in zip(positive, sided, strict=True) if not alone]
            return BatchWeighted(len(positive), min(known, default=1.0), self.scale)
        return Weighted(side(positive), side(negative), self.scale)


class BatchWeighted:
    """Binary cross-entropy with the pos_weight of each batch; `otherwise` where a batch lacks positives or negatives."""

    def __init__(self, classes: int, otherwise: float, scale: float) -> None:
        self._classes, self._otherwise, self._scale = classes, otherwise, scale

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every entry of logits [N, K, ...] and labels [N, K, ...]."""
        import torch

        logits, labels = ready(logits, labels, self._classes)
        counted = labels.double().transpose(0, 1).flatten(1)
        positives, negatives = counted.sum(1), (1 - counted).sum(1)
        weights = (negatives / (positives + 1e-6)).where((positives > 0) & (negatives > 0), self._otherwise)
        positive, negative = (beside(logits, Side(numbers)) for numbers in (weights, torch.ones_like(weights)))
        return two_sided(logits, labels, positive, negative) * self._scale


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [Wbce]
