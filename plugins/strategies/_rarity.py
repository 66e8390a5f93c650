"""Which classes are rare, and which images show one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditor import ClassCounts, ConfigError, among

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

SHARE = 0.05


def rare_classes(counts: ClassCounts, named: Sequence[str] | None, strategy: str) -> list[bool]:
    """For every class, whether it is rare: it is named, or, where nothing is named, under 5 % of its labels are positive.

    ConfigError for a name that is no class; a warning if no class is rare, for then the strategy does nothing. The 5 % are
    our decision, as the sources give no rule.
    """
    for name in named or ():
        if name not in counts.classes:
            allowed = f"{among(name, counts.classes)}"
            raise ConfigError(f"{strategy}: rare: found {name!r}, which is no class; allowed: {allowed}")
    if named is None:
        rare = [p < SHARE * (p + n) for p, n in zip(counts.positives, counts.negatives, strict=True)]
    else:
        rare = [name in named for name in counts.classes]
    if not any(rare):
        found = "no class has under 5 % positives" if named is None else "an empty list"
        warnings.warn(f"{strategy}: rare: found {found}, so nothing is treated as rare; name the rare classes", stacklevel=3)
    return rare


def rare_images(labels: npt.NDArray[np.int8], rare: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Which images [N] have a positive label of a rare class; labels [N, K] are 1, 0 or -1."""
    import numpy as np

    return np.asarray(((labels == 1) & np.array(rare, dtype=bool)).any(1))


def by_class(rare: Sequence[bool], labels: Tensor) -> Tensor:
    """Which classes are rare, bool [1, K, ...] to stand beside labels [N, K, ...]."""
    import torch

    return torch.tensor(rare, device=labels.device).reshape(1, -1, *[1] * (labels.ndim - 2))


def only_one(named: Sequence[str] | None, symmetric: bool) -> None:
    """ValueError where rare classes are named for a symmetric variant, which asks of none whether it is rare."""
    if symmetric and named is not None:
        raise ValueError("rare: found a list beside symmetric: true; allowed: one of the two")
