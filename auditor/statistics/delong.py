"""The standard error of an AUROC, or of a difference of two on the same cases, when several cases come from one patient.

Every case has a placement: a positive's is the share of negatives scored below it, a negative's the share of positives scored
above it, ties half. The AUROC is the mean placement of either kind, so that how far a patient moves it is the sum of its cases'
residuals, each over the number of its kind (Obuchowski, Biometrics 1997;53:567-578, in influence form; for one case per patient
nearly DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845). Sorting is the whole cost: O(n log n).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .clustered import summed
from .effect import Effect, Linear, with_seeds
from .pairing import Pairs, average
from .seeds import Side, side_of

Floats = npt.NDArray[np.float64]


def placements(scores: Floats, positive: npt.NDArray[np.bool_]) -> Floats:
    """The placement of every case [n], in 0..1; needs a positive and a negative."""
    placed = np.empty(len(scores))
    placed[positive] = _below(scores[positive], scores[~positive])
    placed[~positive] = 1.0 - _below(scores[~positive], scores[positive])
    return placed


def clustered_area(placed: Floats, positive: npt.NDArray[np.bool_], patient: npt.NDArray[np.int64]) -> Linear:
    """The AUROC of these placements, or the difference of two where they are differences; at least 2 patients."""
    area = math.fsum(placed[positive]) / int(positive.sum())
    kinds = (positive, ~positive)
    residuals = [(placed[kind] - math.fsum(placed[kind]) / int(kind.sum())) / int(kind.sum()) for kind in kinds]
    patients, moved = summed([(patient[kind], share) for kind, share in zip(kinds, residuals, strict=True)])
    return Linear(area, patients, moved * math.sqrt(len(patients) / (len(patients) - 1)))


def area_difference(pairs: Pairs) -> Effect:
    """Mine minus reference on one class, each side the mean AUROC of its networks."""
    mine, reference = (_placed(side, pairs) for side in (pairs.mine, pairs.reference))
    over_patients = clustered_area(average(mine) - average(reference), pairs.positive, pairs.patient)
    return with_seeds(over_patients, pairs, lambda: (_networks(mine, pairs), _networks(reference, pairs)))


def _placed(side: Floats, pairs: Pairs) -> Floats:
    """The placements by each network of a side [S, n]."""
    return np.stack([placements(scores, pairs.positive) for scores in side])


def _networks(placed: Floats, pairs: Pairs) -> Side:
    areas = [clustered_area(row, pairs.positive, pairs.patient) for row in placed]
    return side_of([area.value for area in areas], [area.influence for area in areas])


def _below(scores: Floats, others: Floats) -> Floats:
    """For every score the share of the others below it, ties half."""
    ordered = np.sort(others)
    ranks = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(ranks / (2 * len(others)))
