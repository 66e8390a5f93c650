"""Intervals that hold together: one level for all of a family, from the largest deviation in each resample (max-T).

For every replicate of whole patients, the same for all hypotheses, the largest |difference* - difference| / SE over the family
is kept; its 95 % quantile says how far the intervals must reach. Hypotheses that go together therefore cost little. The reach
is turned into a level, so that each interval keeps its own shape (Student's t, percentiles). The part of a variance that comes
from seeds is drawn independently for every hypothesis, which errs on the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .effect import LEVEL, Crossed, Drawn, Effect, Linear
from .keyed import generator
from .resampling import BLOCK, FAMILY, patient_counts
from .unmoved import Unmoved

Floats = npt.NDArray[np.float64]
REPLICATES = 1_999


def simultaneous_levels(
    families: Sequence[Sequence[Effect]], everyone: npt.NDArray[np.int64], seed: int, replicates: int = REPLICATES
) -> list[float]:
    """For each family the level at which all its intervals hold in 95 % of studies; at least 0.95, which one alone needs.

    `everyone` are the codes of all patients, in order. Differences that no patient moves (`Unmoved`) deviate in no resample and do not count.
    """
    members = [[effect for effect in family if effect.error and not isinstance(effect, Unmoved)] for family in families]
    tables = [_table([_over_patients(effect) for effect in family], everyone) for family in members]
    largest = [np.zeros(replicates) for _ in members]
    for block, start in enumerate(range(0, replicates, BLOCK)):
        counts = patient_counts(len(everyone), seed, FAMILY, block)[:, : replicates - start].astype(np.float64)
        for place, (family, table) in enumerate(zip(members, tables, strict=True)):
            if family:
                deviations = table @ counts
                for row, effect in enumerate(family):
                    key = (seed, f"seeds of {place}, {row}", block)
                    deviations[row] = _deviations(effect, deviations[row], start, key)
                np.abs(deviations).max(axis=0, out=largest[place][start : start + BLOCK])
    return [_level(reach, len(family)) for reach, family in zip(largest, members, strict=True)]


def _deviations(effect: Effect, linear: Floats, start: int, key: tuple[int, str, int]) -> Floats:
    """The deviations of one difference in the resamples from `start` on, in standard errors; `linear` by its influences."""
    inner = _over_patients(effect)
    found = _drawn(inner, start, len(linear)) if isinstance(inner, Drawn) else linear
    if not isinstance(effect, Crossed):
        return found
    share = effect.crossing.seeds
    return math.sqrt(1 - share) * found + math.sqrt(share) * generator(*key).normal(size=len(found))


def _over_patients(effect: Effect) -> Linear | Drawn:
    inner = effect.over_patients if isinstance(effect, Crossed) else effect
    assert isinstance(inner, Linear | Drawn)
    return inner


def _table(family: Sequence[Linear | Drawn], everyone: npt.NDArray[np.int64]) -> Floats:
    """The influence of every patient in units of each difference's standard error [K, patients]; 0 for what is drawn."""
    table = np.zeros((len(family), len(everyone)))
    for row, effect in zip(table, family, strict=True):
        if isinstance(effect, Linear) and effect.error:
            row[np.searchsorted(everyone, effect.patient)] = effect.influence / effect.error
    return table


def _drawn(effect: Drawn, start: int, width: int) -> Floats:
    """Deviations of resamples start..start+width in units of the standard error; 0 where there are no so many."""
    found = np.zeros(width)
    if effect.error:
        some = effect.drawn[start : start + width]
        found[: len(some)] = np.nan_to_num((some - effect.value) / effect.error)
    return found


def _level(reach: Floats, hypotheses: int) -> float:
    if hypotheses < 2:
        return LEVEL
    from scipy.special import ndtr

    return max(LEVEL, float(1 - 2 * ndtr(-np.quantile(reach, LEVEL))))
