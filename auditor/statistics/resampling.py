"""Differences of AUROC or average precision in resamples of whole patients, shared by all classes and both sides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .clustered import Estimate
from .pairing import Pairs, average
from .ranking import Counts, Floats, Ranking

BLOCK = 64
FAMILY = "whole patients"


def patient_counts(patients: int, seed: int, family: str, block: int) -> Counts:
    """How often each patient counts in the BLOCK replicates of this block, [patients, BLOCK]: drawn with replacement.

    The numbers depend on (seed, family, block) alone, never on the order of calls or the number of workers.
    """
    key = np.frombuffer(hashlib.sha256(f"{seed}|{family}|{block}".encode()).digest()[:16], dtype=np.uint64)
    drawn = np.random.Generator(np.random.Philox(key=key)).integers(0, patients, (BLOCK, patients))
    drawn += np.arange(BLOCK)[:, None] * patients
    counts = np.bincount(drawn.ravel(), minlength=BLOCK * patients).astype(np.int32)
    return np.ascontiguousarray(counts.reshape(BLOCK, patients).T)


def resample(statistic: str, ranked: Sequence[Pairs], seed: int, replicates: int) -> tuple[Floats, Floats]:
    """Mine minus reference as observed [C] and in every replicate [C, replicates]; NaN where a replicate lost a class.

    The first replicates are the same however many are asked for.
    """
    everyone = np.unique(np.concatenate([pairs.patient for pairs in ranked]))
    sides = [[_rankings(values, pairs, everyone) for values in (pairs.mine, pairs.reference)] for pairs in ranked]

    def differences(counts: Counts) -> Floats:
        return np.stack([np.subtract(*[_side(statistic, side, counts) for side in both]) for both in sides])

    observed = differences(np.ones((len(everyone), 1), dtype=np.int32))[:, 0]
    blocks = range(math.ceil(replicates / BLOCK))
    drawn = [differences(patient_counts(len(everyone), seed, FAMILY, block)) for block in blocks]
    return observed, np.concatenate(drawn, axis=1)[:, :replicates]


def percentile(observed: float, drawn: Floats) -> tuple[Estimate, str | None]:
    """The middle 95 % of the replicates in which the difference exists, and what must be said of the others.

    The interval is NaN when it exists in none.
    """
    kept = drawn[~np.isnan(drawn)]
    lost = len(drawn) - len(kept)
    low, high = np.quantile(kept, [0.025, 0.975]) if len(kept) else (math.nan, math.nan)
    note = f"{lost:,} of {len(drawn):,} resamples dropped: a class had no positives or no negatives" if lost else None
    return Estimate(observed, float(low), float(high)), note


def _rankings(values: Floats, pairs: Pairs, everyone: npt.NDArray[np.int64]) -> list[Ranking]:
    patient = np.searchsorted(everyone, pairs.patient)
    return [Ranking(row, pairs.positive, patient, len(everyone)) for row in values]


def _side(statistic: str, rankings: Sequence[Ranking], counts: Counts) -> Floats:
    return average(np.stack([getattr(ranking, statistic)(counts) for ranking in rankings]))
