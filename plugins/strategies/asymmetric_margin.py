"""Asymmetric large margin: positives of rare classes must be right by a margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._asymmetric import asymmetric, symmetric
from ._rarity import only_one, rare_classes
from ._weighted import at_least


@dataclass(frozen=True)
class AsymmetricMargin(Strategy):
    """Cross-entropy in which positives of rare classes must be right by a margin: their logit counts as z - margin.

    Everything else is plain cross-entropy, and the network is used without the margin. `rare` names the rare classes; nothing: those with under 5 % positives.
    `symmetric: true` asks the margin of positives and negatives of every class. Source: Li et al., Analyzing Overfitting under
    Class Imbalance (arXiv 2102.10365), who find 0.2 to 2 reasonable; two-class case of their softmax, the 5 % are ours.
    """

    name: ClassVar[str] = "asymmetric_margin"

    margin: float = 1.0
    rare: tuple[str, ...] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        at_least("margin", self.margin, 0)
        only_one(self.rare, self.symmetric)

    def loss(self, counts: ClassCounts) -> Criterion:
        """The loss of every entry; ConfigError if `rare` names no class."""
        if self.symmetric:
            return symmetric(len(counts.classes), margin=self.margin)
        return asymmetric(rare_classes(counts, self.rare, self.name), margin=self.margin)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricMargin]
