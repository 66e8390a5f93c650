"""Asymmetric adversarial training: images of rare classes are also shown as they are hardest to recognise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, TrainingBatch, hookimpl

from ._rarity import by_class, only_one, rare_classes
from ._weighted import at_least, plain

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class AsymmetricAdversarial(Strategy):
    """Adds the batch with each image moved one step against its rare positives; the loss is cross-entropy.

    The step follows the gradient of the sum of y_k (-log p_k) over rare classes k. Its length is `eps_rms` per pixel value
    (root mean square), eps_rms sqrt(C H W) in all: the authors' 10 on a 3 x 224 x 224 image is 0.026. An image without rare
    positives is added as it is. `rare` names the rare classes; nothing: those with under 5 % positives. `symmetric: true`
    follows the whole cross-entropy, positives and negatives of every class.

    Source: Li et al., Analyzing Overfitting under Class Imbalance (arXiv 2102.10365) and its code. Ours: the classification
    form; the gradient at the image itself, as their random start of length 1e-5 is too short to matter; and the network in
    evaluation mode for it, so that batch statistics stay as they are.
    """

    name: ClassVar[str] = "asymmetric_adversarial"

    eps_rms: float = 0.02
    rare: tuple[str, ...] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        at_least("eps_rms", self.eps_rms, 0)
        only_one(self.rare, self.symmetric)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Plain binary cross-entropy."""
        return plain(len(counts.classes))

    def extra(
        self, batch: TrainingBatch, network: nn.Module, counts: ClassCounts, draw: torch.Generator
    ) -> Sequence[TrainingBatch]:
        """The moved batch; ConfigError if `rare` names no class."""
        attacked = batch.known
        if not self.symmetric:
            attacked = attacked & by_class(rare_classes(counts, self.rare, self.name), batch.labels) & (batch.labels > 0)
        if not attacked.any():
            return [batch]
        length = self.eps_rms * math.sqrt(batch.images[0].numel())
        step = length * unit(uphill(network, batch, attacked))
        return [TrainingBatch(batch.images + step, batch.labels, batch.known)]


def uphill(network: nn.Module, batch: TrainingBatch, attacked: Tensor) -> Tensor:
    """The gradient [N, C, H, W] of the cross-entropy of the attacked entries [N, K]; the network keeps no trace of it."""
    import torch

    with evaluating(network), torch.enable_grad():
        images = batch.images.detach().clone().requires_grad_()
        cost = plain(batch.labels.shape[1])(network(images), batch.labels) * attacked
        (gradient,) = torch.autograd.grad(cost.sum(), images)
    return gradient


def unit(gradient: Tensor) -> Tensor:
    """Each image's gradient [N, ...] made one long; zeros stay zeros. First over the largest, for squares can vanish."""
    import torch

    flat = gradient.flatten(1)
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=1)).reshape(gradient.shape)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Every part of the network in evaluation mode for a while, then each as it was."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricAdversarial]
