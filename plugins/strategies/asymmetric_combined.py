"""Asymmetric margin and asymmetric focal loss in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._asymmetric import asymmetric, symmetric
from ._rarity import only_one, rare_classes
from ._weighted import at_least


@dataclass(frozen=True)
class AsymmetricCombined(Strategy):
    """The margin of `asymmetric_margin` for positives of rare classes, the focus of `asymmetric_focal` for everything else.

    `rare` names the rare classes; nothing: those with under 5 % positives. `symmetric: true` has margin and focus for
    positives and negatives of every class. Source: Li et al., Analyzing Overfitting under Class Imbalance (arXiv 2102.10365),
    who combine them with `asymmetric_adversarial`, `asymmetric_mixup` and `asymmetric_augmentation`.
    """

    name: ClassVar[str] = "asymmetric_combined"

    margin: float = 1.0
    gamma: float = 2.0
    rare: tuple[str, ...] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        at_least("margin", self.margin, 0)
        at_least("gamma", self.gamma, 0)
        only_one(self.rare, self.symmetric)

    def loss(self, counts: ClassCounts) -> Criterion:
        """The loss of every entry; ConfigError if `rare` names no class."""
        if self.symmetric:
            return symmetric(len(counts.classes), margin=self.margin, gamma=self.gamma)
        return asymmetric(rare_classes(counts, self.rare, self.name), margin=self.margin, gamma=self.gamma)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricCombined]
