"""Balanced sampling: images of rare classes are drawn more often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class BalancedSampling(Strategy):
    """Every image is drawn in proportion to one over the size of the rarest group it is in; the loss is cross-entropy.

    The groups are the positives of each class, and the images without any positive. Of N images in G groups that are not
    empty, one whose rarest group has n images weighs N / (G n): where every image is in one group, as with a binary task, all
    groups are drawn alike. An image with several positives counts for the rarest of them.

    One weight per image, our definition: imba-explain's repository hands its sampler one weight per class, so that only the
    first 15 images are ever drawn.
    """

    name: ClassVar[str] = "balanced_sampling"

    def loss(self, counts: ClassCounts) -> Criterion:
        """Plain binary cross-entropy."""
        return plain(len(counts.classes))

    def sampling(self, labels: npt.NDArray[np.int8], counts: ClassCounts) -> npt.NDArray[np.float64]:
        """N / (G n) for every image [N]; labels that are not known are not positive."""
        import numpy as np

        positive = labels == 1
        member = np.column_stack([positive, ~positive.any(1)])
        sizes = member.sum(0)
        rarest = np.where(member, sizes, len(labels) + 1).min(1)
        return np.asarray(len(labels) / (np.count_nonzero(sizes) * rarest), dtype=np.float64)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [BalancedSampling]
