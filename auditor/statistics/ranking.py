"""AUROC and average precision, exact, for the cases as they are and for any resample of their patients.

Only the positives' scores matter as thresholds. The T distinct ones are put in order once; every negative then lies below,
at or between them, and every patient owns some positives and negatives in each of these places. A resample only changes
how often each patient counts, so that no score is ever sorted again: two sparse products give the counts per place. Counts are
whole numbers that float32 holds exactly, their sums are float64. Ties count half in AUROC and are one threshold in average
precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float32]


SLAB = 256
"""Thresholds that are worked through together, so that what is counted stays in the processor's cache."""


class Ranking:
    """The cases of one class as one network orders them.

    `scores` [n] are log-odds without NaN (probabilities tie where they saturate), `positive` [n] is True for the positives,
    `patient` [n] is each case's patient in 0..patients-1.
    """

    def __init__(self, scores: Floats, positive: npt.NDArray[np.bool_], patient: npt.NDArray[np.int64], patients: int) -> None:
        levels, level = np.unique(scores[positive], return_inverse=True)
        others, owner = scores[~positive], patient[~positive]
        above, at = np.searchsorted(levels, others, "right"), np.searchsorted(levels, others, "left")
        tied = above > at
        shape = len(levels), patients
        kinds = [(level, patient[positive]), (above, owner), (at[tied], owner[tied])]
        self._slabs = list(zip(*(_slabs(*kind, shape) for kind in kinds), strict=True))
        self._owned = np.stack([np.bincount(who, minlength=patients) for who in (patient[positive], owner)]).astype(np.float64)

    def auroc(self, counts: Counts) -> Floats:
        """AUROC [R] with each patient counted `counts` [patients, R] times; NaN where positives or negatives are absent."""
        won = np.zeros(counts.shape[1])
        for positives, below, tied in self._places(counts):
            if tied is not None:
                below += tied / 2
            won += np.einsum("tr,tr->r", positives, below)
        present, absent = self._owned @ counts
        pairs = present * absent
        found: Floats = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return found

    def average_precision(self, counts: Counts) -> Floats:
        """Sum of precision times gain in recall over the thresholds [R], as scikit-learn defines it; NaN as in `auroc`."""
        present, absent = self._owned @ counts
        gained, passed = np.zeros(len(present)), np.zeros(len(present))
        for positives, below, _ in self._places(counts):
            lower = np.cumsum(positives, axis=0)
            lower += passed
            passed = lower[-1].copy()
            right = np.subtract(present, np.subtract(lower, positives, out=lower), out=lower)
            called = np.subtract(absent, below, out=below)
            called += right
            np.maximum(called, 1, out=called)
            gained += np.einsum("tr,tr->r", positives, np.divide(right, called, out=called))
        defined = (present > 0) & (absent > 0)
        found: Floats = np.divide(gained, present, out=np.full(len(present), np.nan), where=defined)
        return found

    def _places(self, counts: Counts) -> Iterator[tuple[Floats, Floats, Floats | None]]:
        """Slab by slab: positives at each level, negatives below it and negatives tied with it, [SLAB, R] each."""
        passed = np.zeros(counts.shape[1])
        for positives, negatives, tied in self._slabs:
            below = (negatives @ counts).astype(np.float64)
            below[0] += passed
            np.cumsum(below, axis=0, out=below)
            passed = below[-1].copy()
            yield (positives @ counts).astype(np.float64), below, tied @ counts if tied.nnz else None


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


_ONCE = np.ones((1, 1), dtype=np.float32)


def _alone(scores: Floats, positive: npt.NDArray[np.bool_]) -> Ranking:
    return Ranking(scores, positive, np.zeros(len(scores), dtype=np.int64), 1)


def _slabs(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], shape: tuple[int, int]) -> list[Any]:
    """How many cases each patient has in each place, as sparse matrices of SLAB places; rows past the last are dropped."""
    from scipy.sparse import coo_array

    kept = row < shape[0]
    places = (row[kept], column[kept])
    whole = coo_array((np.ones(len(places[0]), dtype=np.float32), places), shape=shape).tocsr()
    return [whole[start : start + SLAB] for start in range(0, shape[0], SLAB)]
