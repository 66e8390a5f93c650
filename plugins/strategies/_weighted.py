"""The one formula behind most losses: binary cross-entropy with a weight, a focus and a margin for each class and side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from auditor import ClassCounts

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Side(NamedTuple):
    """How the positives, or the negatives, of every class count, each [K] in float64; None stands for zeros."""

    weights: Tensor
    gammas: Tensor | None = None
    margins: Tensor | None = None


def side(weights: Sequence[float], gammas: Sequence[float] = (), margins: Sequence[float] = ()) -> Side:
    """A Side from one number per class; none at all are zeros."""
    import torch

    weight, *others = (torch.tensor(row, dtype=torch.float64) if len(row) else None for row in (weights, gammas, margins))
    assert weight is not None, "the loss is made for no class"
    return Side(weight, *others)


class Weighted:
    """Criterion (logits [N, K, ...], labels [N, K, ...]) -> the loss of every entry; see `two_sided`."""

    def __init__(self, positive: Side, negative: Side, scale: float = 1.0) -> None:
        self._sides, self._scale = (positive, negative), scale
        self._on: dict[tuple[torch.device, torch.dtype], tuple[Side, ...]] = {}

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss; ValueError if the shapes do not fit one another or the classes."""
        logits, labels = ready(logits, labels, len(self._sides[0].weights))
        key = (logits.device, logits.dtype)
        if key not in self._on:  # copied to the device once, not at every step
            self._on[key] = tuple(beside(logits, numbers) for numbers in self._sides)
        return two_sided(logits, labels, *self._on[key]) * self._scale


def plain(classes: int, scale: float = 1.0) -> Weighted:
    """Binary cross-entropy, every entry alike."""
    ones = side([1.0] * classes)
    return Weighted(ones, ones, scale)


def two_sided(logits: Tensor, labels: Tensor, positive: Side, negative: Side) -> Tensor:
    """The loss of every entry, y cost(z) + (1 - y) cost(-z), where the weight w, gamma and margin m are those of its side:

        cost(z) = w (1 - q)^gamma (-log q),   q = sigmoid(z - m)

    Logits and labels are [N, K, ...] of one float type, labels in 0..1. The gradient flows through the modulating factor.
    Logarithms are log-sigmoids, and powers exponentials of them, so that no logit is too large and an easy negative keeps
    its digits: torch's own cross-entropy, (1 - y) z - log sigmoid(z), is 0 in float32 from z = -15 on, and the gradient of
    torchvision's focal loss is NaN where p is 1 and gamma below 1. With weights 1 and zeros this is binary cross-entropy,
    and a loss that reduces to it does so to the bit.

    Source: imba-explain (arXiv 2204.01729), equations 1 and 2, for w and gamma; Li et al. (arXiv 2102.10365) for m.
    """
    return -(_share(logits, labels, positive) + _share(-logits, 1 - labels, negative))


def _share(logits: Tensor, labels: Tensor, numbers: Side) -> Tensor:
    import torch
    from torch.nn.functional import logsigmoid

    shape = (1, -1, *[1] * (logits.ndim - 2))
    factor = numbers.weights.reshape(shape)
    if numbers.margins is not None:
        logits = logits - numbers.margins.reshape(shape)
    if numbers.gammas is not None:
        factor = factor * torch.exp(numbers.gammas.reshape(shape) * logsigmoid(-logits))
    return factor * labels * logsigmoid(logits)


def ready(logits: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Both in one float type, half precision raised to float32.

    ValueError unless both are [N, K, ...] with K classes: shapes that merely broadcast give a wrong loss silently.
    """
    import torch

    if logits.shape != labels.shape or logits.ndim < 2 or logits.shape[1] != classes:
        found = f"logits {list(logits.shape)} and labels {list(labels.shape)}"
        raise ValueError(f"the loss is made for {classes} classes: found {found}; allowed: both [N, {classes}, ...]")
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits, labels.to(logits.dtype)


def beside(logits: Tensor, numbers: Side) -> Side:
    """The numbers of a side in the logits' type, on the logits' device."""
    return Side(*(None if row is None else row.to(logits.dtype).to(logits.device) for row in numbers))


def one_sided(counts: ClassCounts, strategy: str, what: str = "weights of 1") -> list[bool]:
    """For every class, whether it lacks positives or negatives; a warning lists such classes and `what` they get."""
    sided = [not (p and n) for p, n in zip(counts.positives, counts.negatives, strict=True)]
    if any(sided):
        names = ", ".join(name for name, alone in zip(counts.classes, sided, strict=True) if alone)
        warnings.warn(f"{strategy}: {what} for classes without positives or without negatives: {names}", stacklevel=3)
    return sided


def at_least(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """ValueError unless low <= value <= high; NaN is not."""
    if not low <= value <= high:
        limits = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
        raise ValueError(f"{name}: found {value:g}; allowed: {limits}")
