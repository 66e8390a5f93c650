"""Asymmetric mixup: pairs of images are mixed, and the rare label wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, TrainingBatch, hookimpl

from ._rarity import by_class, only_one, rare_classes
from ._weighted import at_least, plain

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class AsymmetricMixup(Strategy):
    """Adds the batch mixed with itself in reverse, share * x_i + (1 - share) * x_k; the loss is cross-entropy.

    Where both images have the same label of a class, that is the label. Where they differ, a rare class is positive if the
    positive image's share is above `margin`; every other entry counts for nothing. The share is drawn once per batch from
    Beta(alpha, alpha) times (1 - margin). `rare` names the rare classes; nothing: those with under 5 % positives.

    `symmetric: true` is ordinary mixup: the labels are mixed as the images are, and there is no margin.

    Mixing radiographs mixes anatomy, and the authors found it weak where intensities overlap.
    Source: Li et al., Analyzing Overfitting under Class Imbalance (arXiv 2102.10365) and its code; one class at a time, and
    the mean over the entries that count in place of all, are our reading for several labels.
    """

    name: ClassVar[str] = "asymmetric_mixup"

    alpha: float = 1.0
    margin: float = 0.2
    rare: tuple[str, ...] | None = None
    symmetric: bool = False

    def __post_init__(self) -> None:
        at_least("alpha", self.alpha, 0.01)
        at_least("margin", self.margin, 0, 1)
        only_one(self.rare, self.symmetric)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Plain binary cross-entropy."""
        return plain(len(counts.classes))

    def extra(
        self, batch: TrainingBatch, network: nn.Module, counts: ClassCounts, draw: torch.Generator
    ) -> Sequence[TrainingBatch]:
        """The mixed batch, unless nothing of it counts; ConfigError if `rare` names no class."""
        if self.symmetric:
            mixed = mixed_softly(batch, beta(self.alpha, draw))
        else:
            rare = rare_classes(counts, self.rare, self.name)
            mixed = mixed_hard(batch, beta(self.alpha, draw) * (1 - self.margin), self.margin, rare)
        return [mixed] if mixed.known.any() else []


def mixed_hard(batch: TrainingBatch, share: float, margin: float, rare: Sequence[bool]) -> TrainingBatch:
    """The batch mixed with itself in reverse, with labels 0 or 1 and entries without a winner not known."""
    import torch

    there, other = batch.labels, batch.labels.flip(0)
    same = there == other
    enough = torch.where(there > other, share > margin, 1 - share > margin)
    wins = by_class(rare, there) & enough
    known = batch.known & batch.known.flip(0) & (same | wins)
    return TrainingBatch(_images(batch, share), torch.maximum(there, other) * known, known)


def mixed_softly(batch: TrainingBatch, share: float) -> TrainingBatch:
    """The batch mixed with itself in reverse, its labels like its images."""
    known = batch.known & batch.known.flip(0)
    return TrainingBatch(_images(batch, share), (share * batch.labels + (1 - share) * batch.labels.flip(0)) * known, known)


def beta(alpha: float, draw: torch.Generator) -> float:
    """A number in 0..1 from Beta(alpha, alpha); torch's own takes no generator, so `draw` seeds NumPy's."""
    import numpy as np
    import torch

    seed = int(torch.randint(2**63 - 1, (), generator=draw))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _images(batch: TrainingBatch, share: float) -> torch.Tensor:
    return share * batch.images + (1 - share) * batch.images.flip(0)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricMixup]
