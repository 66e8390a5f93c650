"""Whether a network looks at the same places of a picture and of the same picture changed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .warps import moved_back


def agreement(original: Tensor, changed: Tensor, warp: Tensor | None) -> npt.NDArray[np.float64]:
    """Spearman's rank correlation [P] of maps [P, h, w] and the maps of the changed pictures, both clipped at 0.

    A map of a warped picture is first moved back, and only places that the changed picture shows are compared. NaN where the original
    map is not finite or one value everywhere; 0 where only the changed one is: it tells nothing of the places.
    """
    if warp is None:
        moved, seen = changed.double().cpu(), torch.ones(changed.shape, dtype=torch.bool)
    else:
        moved, seen = moved_back(changed, warp)
    pairs = zip(original.double().cpu().numpy(), moved.numpy(), seen.numpy(), strict=True)
    return np.array([_ranked_alike(first[of], second[of]) for first, second, of in pairs])


def _ranked_alike(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    from scipy.stats import rankdata

    sides = [np.maximum(side, 0.0) for side in (first, second)]
    told = [bool(np.isfinite(side).all() and side.size and np.ptp(side) > 0) for side in sides]
    if not all(told):
        return 0.0 if told[0] else float("nan")
    a, b = (_centred(rankdata(side)) for side in sides)
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def _centred(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(ranks - ranks.mean())
