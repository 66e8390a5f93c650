"""A strategy is one way of handling class imbalance in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

Criterion = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class ClassCounts:
    """Positives and negatives of every class in the training set, in class order."""

    classes: tuple[str, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


class Strategy:
    """Makes a criterion from the training set's class counts. Write a frozen dataclass whose fields are its options."""

    name: ClassVar[str]

    def loss(self, counts: ClassCounts) -> Criterion:
        """A function (logits [N, K, ...], labels [N, K, ...] in {0, 1}) -> scalar loss."""
        raise NotImplementedError
