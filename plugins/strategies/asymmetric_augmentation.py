"""Asymmetric augmentation: images of rare classes are always augmented, the others not always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._rarity import rare_classes, rare_images
from ._weighted import at_least, plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class AsymmetricAugmentation(Strategy):
    """Images with a positive of a rare class are always augmented, the others with probability `p_common`.

    The loss is cross-entropy. `rare` names the rare classes; nothing: those with under 5 % positives. With `p_common: 1` every
    image is augmented, as without this strategy and as in the configurations the authors ship.
    Source: Li et al., Analyzing Overfitting under Class Imbalance (arXiv 2102.10365); 0.5, the 5 % and the rule that an image
    is rare if any of its positives is are ours.
    """

    name: ClassVar[str] = "asymmetric_augmentation"

    p_common: float = 0.5
    rare: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        at_least("p_common", self.p_common, 0, 1)

    def loss(self, counts: ClassCounts) -> Criterion:
        """Plain binary cross-entropy."""
        return plain(len(counts.classes))

    def augmentation(self, labels: npt.NDArray[np.int8], counts: ClassCounts) -> npt.NDArray[np.float64]:
        """1 or `p_common` for every image [N]; ConfigError if `rare` names no class."""
        import numpy as np

        rare = rare_images(labels, rare_classes(counts, self.rare, self.name))
        return np.where(rare, 1.0, self.p_common)


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [AsymmetricAugmentation]
