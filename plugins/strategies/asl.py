"""Asymmetric loss: easy negatives count less than easy positives, and the easiest negatives not at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import Weighted, at_least, ready, side

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Asl(Strategy):
    """Asymmetric loss: positives and negatives have a focus each, and negatives below probability `clip` cost nothing.

    -y (1 - p)^gamma_pos log p - (1 - y) p_m^gamma_neg log(1 - p_m), p_m = max(p - clip, 0).

    The same for every class, whatever the counts. `gamma_pos: 0, clip: 0` is `asymmetric_focal` with every class rare.
    imba-explain's repository has gamma_pos 1 in its first version, 0 later, and reports no result of it.
    Source: Ridnik et al., Asymmetric Loss for Multi-Label Classification (arXiv 2009.14119).
    """

    name: ClassVar[str] = "asl"

    gamma_pos: float = 1.0
    gamma_neg: float = 4.0
    clip: float = 0.05

    def __post_init__(self) -> None:
        at_least("gamma_pos", self.gamma_pos, 0)
        at_least("gamma_neg", self.gamma_neg, 0)
        at_least("clip", self.clip, 0, math.nextafter(1, 0))

    def loss(self, counts: ClassCounts) -> Criterion:
        """The loss of every entry."""
        ones = [1.0] * len(counts.classes)
        if self.clip:
            return Clipped(len(ones), self.gamma_pos, self.gamma_neg, self.clip)
        return Weighted(side(ones, [self.gamma_pos] * len(ones)), side(ones, [self.gamma_neg] * len(ones)))


class Clipped:
    """The asymmetric loss with a `clip` above 0."""

    def __init__(self, classes: int, gamma_pos: float, gamma_neg: float, clip: float) -> None:
        self._classes, self._gamma_pos, self._gamma_neg, self._clip = classes, gamma_pos, gamma_neg, clip

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every entry of logits [N, K, ...] and labels [N, K, ...]."""
        import torch
        from torch.nn.functional import logsigmoid

        logits, labels = ready(logits, labels, self._classes)
        positive = torch.exp(self._gamma_pos * logsigmoid(-logits)) * logsigmoid(logits)
        p = (logits.sigmoid() - self._clip).clamp(min=torch.finfo(logits.dtype).tiny)  # a power of 0 has no gradient
        rest = (torch.sigmoid(-logits) + self._clip).clamp(max=1)  # not 1 - p, whose logarithm suffers for large logits
        negative = torch.exp(self._gamma_neg * torch.log(p)) * torch.log(rest)
        return -(labels * positive + (1 - labels) * negative)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [Asl]
