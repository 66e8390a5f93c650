"""Binary cross-entropy: nothing is done about imbalance. The usual reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import at_least, plain


@dataclass(frozen=True)
class Bce(Strategy):
    """Binary cross-entropy, every entry alike, times `scale`."""

    name: ClassVar[str] = "bce"

    scale: float = 1.0

    def __post_init__(self) -> None:
        at_least("scale", self.scale, 0)

    def loss(self, counts: ClassCounts) -> Criterion:
        """w+ = w- = 1, whatever the counts."""
        return plain(len(counts.classes), self.scale)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [Bce]
