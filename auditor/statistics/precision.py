"""How far each case moves an average precision: its derivative with respect to how often the case counts.

For a table of levels only. Contrasts resample patients instead: of rare findings average precision is too skewed for a t interval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def precision_influence(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """[n], summing to 0; needs a positive.

    With P_l positives at the l-th highest score, T_l and R_l positives and cases down to it, AP = sum_l P_l T_l / R_l / m. A case
    at level k adds to T and R of every level from k on, and to P_k and m where it is positive.
    """
    _, level = np.unique(-scores, return_inverse=True)
    at = np.bincount(level, positive)
    true, called = np.cumsum(at), np.cumsum(np.bincount(level))
    precision = true / called
    gained, lost = (np.cumsum(part[::-1])[::-1] for part in (at / called, at * precision / called))
    average = float((at * precision).sum() / at.sum())
    moved: Floats = (np.where(positive, precision[level] - average + gained[level], 0.0) - lost[level]) / at.sum()
    return moved
