"""Any statistic in resamples of whole patients, exact and without touching a case again: patients are only counted.

What is resampled is how often each patient counts. Replicates come in blocks of 64, a matrix of small counts [patients, 64]
each, and a statistic that knows what each patient owns turns a block into 64 values by a few matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from .keyed import generator
from .pairing import Pairs
from .ranking import Counts, Floats, Ranking

BLOCK = 64
FAMILY = "whole patients"
REPLICATES = 9_999

Counted = Callable[[Counts], Floats]
"""A statistic: from counts [patients, R] to values [..., R], NaN where a replicate cannot have one."""


def patient_counts(patients: int, seed: int, family: str, block: int) -> npt.NDArray[np.uint8]:
    """How often each patient counts in the BLOCK replicates of this block, [patients, BLOCK]: drawn with replacement.

    The numbers depend on (seed, family, block) alone, never on the order of calls or the number of workers.
    """
    drawn = generator(seed, family, block).integers(0, patients, (BLOCK, patients), dtype=np.uint32)
    counts = np.empty((BLOCK, patients), np.uint8)
    for replicate, row in enumerate(drawn):
        counts[replicate] = np.bincount(row, minlength=patients)
    return np.ascontiguousarray(counts.T)


def resample(statistic: Counted, patients: int, seed: int, replicates: int = REPLICATES) -> Floats:
    """The statistic in every replicate [..., replicates]; the first are the same however many are asked for."""
    blocks = range(math.ceil(replicates / BLOCK))
    drawn = [statistic(patient_counts(patients, seed, FAMILY, block).astype(np.float32)) for block in blocks]
    return np.concatenate(drawn, axis=-1)[..., :replicates]


def every_network(statistic: str, ranked: Sequence[Pairs], everyone: npt.NDArray[np.int64]) -> Counted:
    """AUROC or average precision of every network in every class: values [C, S + S', R], mine before the reference's.

    `everyone` are the codes of the patients that are counted, in order.
    """
    rankings = [
        [
            Ranking(scores, pairs.positive, np.searchsorted(everyone, pairs.patient), len(everyone))
            for scores in (*pairs.mine, *pairs.reference)
        ]
        for pairs in ranked
    ]

    def values(counts: Counts) -> Floats:
        return np.stack([np.stack([getattr(ranking, statistic)(counts) for ranking in row]) for row in rankings])

    return values


def ratio(above: Floats, below: Floats, patient: npt.NDArray[np.int64], patients: int) -> Counted:
    """The sum of `above` [n] over the sum of `below` [n], cases of patients 0..patients-1; NaN where that is 0."""
    sums = np.stack([np.bincount(patient, weights=values, minlength=patients) for values in (above, below)])

    def values(counts: Counts) -> Floats:
        top, bottom = sums @ counts
        found: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom != 0)
        return found

    return values
