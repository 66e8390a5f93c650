"""AUROC and average precision, exact, for the cases as they are and for any resample of their patients.

Only the positives' scores matter as thresholds. The T distinct ones are put in order once; every negative then lies below,
at or between them, and every patient owns some positives and negatives in each of these places. A resample only changes
how often each patient counts, so that no score is ever sorted again: two sparse products give the counts per place, and
integers stay integers until the last division. Ties count half in AUROC and are one threshold in average precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]


class Ranking:
    """The cases of one class as one network orders them.

    `scores` [n] are log-odds without NaN (probabilities tie where they saturate), `positive` [n] is True for the positives,
    `patient` [n] is each case's patient in 0..patients-1.
    """

    def __init__(self, scores: Floats, positive: npt.NDArray[np.bool_], patient: npt.NDArray[np.int64], patients: int) -> None:
        levels, level = np.unique(scores[positive], return_inverse=True)
        others = scores[~positive]
        # Row 2t holds the negatives between levels t-1 and t, row 2t+1 those tied with level t.
        place = np.searchsorted(levels, others, "left") + np.searchsorted(levels, others, "right")
        self._positives = _count(level, patient[positive], (len(levels), patients))
        self._negatives = _count(place, patient[~positive], (2 * len(levels) + 1, patients))

    def auroc(self, counts: Counts) -> Floats:
        """AUROC [R] with each patient counted `counts` [patients, R] times; NaN where positives or negatives are absent."""
        positives, negatives = self._places(counts)
        twice = (positives * (negatives[:-1:2] + negatives[1::2])).sum(0)
        pairs = positives.sum(0) * negatives[-1]
        found: Floats = np.divide(twice, 2 * pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return found

    def average_precision(self, counts: Counts) -> Floats:
        """Sum of precision times gain in recall over the thresholds [R], as scikit-learn defines it; NaN as in `auroc`."""
        positives, negatives = self._places(counts)
        right = np.cumsum(positives[::-1], 0)[::-1]
        wrong = negatives[-1] - negatives[:-1:2]
        gained = (positives * (right / np.maximum(right + wrong, 1))).sum(0)
        present = positives.sum(0)
        defined = (present > 0) & (negatives[-1] > 0)
        found: Floats = np.divide(gained, present, out=np.full(len(present), np.nan), where=defined)
        return found

    def _places(self, counts: Counts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positives at each level [T, R], and negatives up to and including each place [2T+1, R]."""
        return (self._positives @ counts).astype(np.int64), np.cumsum(self._negatives @ counts, axis=0, dtype=np.int64)


def not_estimable(positive: npt.NDArray[np.bool_]) -> str | None:
    """Why these cases cannot be ranked, or None."""
    if not positive.any():
        return "not estimable (0 positives)"
    return "not estimable (0 negatives)" if positive.all() else None


def auroc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float | str:
    """The share of positive-negative pairs in which the positive scores higher, ties half; or why it cannot be had."""
    return not_estimable(positive) or float(_alone(scores, positive).auroc(_ONCE)[0])


def average_precision(scores: Floats, positive: npt.NDArray[np.bool_]) -> float | str:
    """Precision averaged over the positives' thresholds, chance being the prevalence; or why it cannot be had."""
    return not_estimable(positive) or float(_alone(scores, positive).average_precision(_ONCE)[0])


_ONCE = np.ones((1, 1), dtype=np.int32)


def _alone(scores: Floats, positive: npt.NDArray[np.bool_]) -> Ranking:
    return Ranking(scores, positive, np.zeros(len(scores), dtype=np.int64), 1)


def _count(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], shape: tuple[int, int]) -> Any:
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(row), dtype=np.int32), (row, column)), shape=shape).tocsr()
