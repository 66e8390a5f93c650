"""The one formula behind the four losses: weighted, modulated binary cross-entropy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor import ClassCounts

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Weighted:
    """Criterion (logits [N, K, ...], labels [N, K, ...]) -> scalar, with one w+ and one w- per class fixed in float64."""

    def __init__(self, positive: Sequence[float], negative: Sequence[float], gamma: float = 0.0, scale: float = 1.0) -> None:
        self._weights, self._gamma, self._scale = (tuple(positive), tuple(negative)), gamma, scale
        self._on: dict[torch.device, Tensor] = {}

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss; ValueError if the shapes do not fit one another or the classes."""
        import torch

        if logits.device not in self._on:  # copied to the device once, not at every step
            self._on[logits.device] = torch.tensor(self._weights, dtype=torch.float64).to(logits.device)
        positive, negative = self._on[logits.device]
        return weighted(logits, labels, positive, negative, self._gamma) * self._scale


def weighted(logits: Tensor, labels: Tensor, positive: Tensor, negative: Tensor, gamma: float = 0.0) -> Tensor:
    """The mean over all entries of w+ y (1 - p)^gamma (-log p) + w- (1 - y) p^gamma (-log(1 - p)), p = sigmoid(logit).

    Logits and labels are [N, K, ...], labels in 0..1, the weights w+ and w- [K]. The gradient flows through the modulating
    factor. Logarithms are log-sigmoids, and powers exponentials of them, so that no logit is too large; half precision is
    raised to float32. With gamma 0 and weights 1 this is binary cross-entropy to the bit.

    Source: imba-explain (arXiv 2204.01729), equations 1 and 2, mean in place of the sum.
    """
    import torch
    from torch.nn.functional import logsigmoid

    check_shapes(logits, labels, len(positive))
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    labels = labels.to(logits.dtype)
    log_p, log_q = logsigmoid(logits), logsigmoid(-logits)
    shape = (1, -1, *[1] * (logits.ndim - 2))
    positive, negative = (weight.to(logits.dtype).reshape(shape) for weight in (positive, negative))
    if gamma:
        positive, negative = positive * torch.exp(gamma * log_q), negative * torch.exp(gamma * log_p)
    return -(positive * labels * log_p + negative * (1 - labels) * log_q).mean()


def check_shapes(logits: Tensor, labels: Tensor, classes: int) -> None:
    """ValueError unless both are [N, K, ...] with K classes: shapes that merely broadcast give a wrong loss silently."""
    if logits.shape != labels.shape or logits.ndim < 2 or logits.shape[1] != classes:
        found = f"logits {list(logits.shape)} and labels {list(labels.shape)}"
        raise ValueError(f"the loss is made for {classes} classes: found {found}; allowed: both [N, {classes}, ...]")


def one_sided(counts: ClassCounts, strategy: str) -> list[bool]:
    """For every class, whether it lacks positives or negatives; such classes get weights of 1 and a warning lists them."""
    sided = [not (p and n) for p, n in zip(counts.positives, counts.negatives, strict=True)]
    if any(sided):
        names = ", ".join(name for name, alone in zip(counts.classes, sided, strict=True) if alone)
        warnings.warn(f"{strategy}: weights of 1 for classes without positives or without negatives: {names}", stacklevel=3)
    return sided


def at_least(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """ValueError unless low <= value <= high; NaN is not."""
    if not low <= value <= high:
        limits = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
        raise ValueError(f"{name}: found {value:g}; allowed: {limits}")
