"""A strategy is one way of handling class imbalance in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import Tensor, nn

Criterion = Callable[["Tensor", "Tensor"], "Tensor"]
"""(logits [N, K, ...], labels [N, K, ...] in 0..1) -> the loss of every entry, of the same shape, or one number for the batch.

The trainer takes the mean over the entries whose label is known; one number for the batch is possible only where all are.
A criterion that is an `nn.Module` is trained with the network. One with a method `begin_epoch(epoch, epochs)` is
told before each, the first being 1.
"""


@dataclass(frozen=True)
class ClassCounts:
    """Positives and negatives of every class in the training set, in class order: of images, or of pixels where `loss` and
    `extra` are asked for a network that answers for every pixel.
    """

    classes: tuple[str, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class TrainingBatch:
    """Images [N, C, H, W] as the network sees them, labels [N, K] float in 0..1, and which labels are known [N, K] bool.

    Of networks that answer for every pixel both are [N, K, h, w].

    A label that is not known is 0 and counts for nothing.
    """

    images: Tensor
    labels: Tensor
    known: Tensor


class Strategy:
    """Says what training does about imbalance. Write a frozen dataclass whose fields are its options.

    Most strategies are a loss. The other methods are for those that choose images, spare some of them the augmentation, or
    make more of a batch; train.yaml combines these with any loss: `{use: bce, with: [asymmetric_mixup]}`.
    """

    name: ClassVar[str]

    def loss(self, counts: ClassCounts) -> Criterion:
        """The criterion; see `Criterion`."""
        raise NotImplementedError

    def sampling(self, labels: npt.NDArray[np.int8], counts: ClassCounts) -> npt.NDArray[np.float64] | None:
        """How often each training image is drawn relative to the others [N], with replacement; None: each once per epoch.

        `labels` [N, K] of the training set are 1, 0, or -1 where unknown.
        """
        return None

    def augmentation(self, labels: npt.NDArray[np.int8], counts: ClassCounts) -> npt.NDArray[np.float64] | None:
        """The probability with which each training image is augmented [N]; None: always. `labels` as in `sampling`."""
        return None

    def extra(
        self, batch: TrainingBatch, network: nn.Module, counts: ClassCounts, draw: torch.Generator
    ) -> Sequence[TrainingBatch]:
        """More batches for the same step; the mean loss of each is added to that of the batch itself.

        `network` is in training mode: leave modes, gradients and running statistics as they were. Take random numbers from
        `draw`, a CPU generator keyed by seed, epoch and step, and nothing else, so that a resumed training is the same.
        """
        return ()
