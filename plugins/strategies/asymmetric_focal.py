"""Asymmetric focal loss: easy entries count less, except positives of rare classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._asymmetric import asymmetric, symmetric
from ._rarity import only_one, rare_classes
from ._weighted import at_least


@dataclass(frozen=True)
class AsymmetricFocal(Strategy):
    """Focal loss without alpha that spares the positives of rare classes: those count in full however easy they are.

    -y log p - (1 - y) p^gamma log(1 - p) for a rare class, (1 - p)^gamma before log p otherwise.

    `rare` names the rare classes; nothing: those with under 5 % positives. `symmetric: true` spares none, as `focal` with
    `alpha: null` does. Source: Li et al., Analyzing Overfitting under Class Imbalance (arXiv 2102.10365), who have gamma 2 to
    6; two-class case of their softmax; classes that are not rare and the 5 % are our reading.
    """

    name: ClassVar[str] = "asymmetric_focal"

    gamma: float = 2.0
    rare: tuple[str, ...] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        at_least("gamma", self.gamma, 0)
        only_one(self.rare, self.symmetric)

    def loss(self, counts: ClassCounts) -> Criterion:
        """The loss of every entry; ConfigError if `rare` names no class."""
        if self.symmetric:
            return symmetric(len(counts.classes), gamma=self.gamma)
        return asymmetric(rare_classes(counts, self.rare, self.name), gamma=self.gamma)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricFocal]
