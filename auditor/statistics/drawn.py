"""Differences of statistics that have no simple standard error, from resamples of whole patients.

All classes and both sides share the resamples, so that means over classes and contrasts keep what the classes have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from .effect import Drawn, Effect, with_seeds
from .pairing import Pairs, average
from .ranking import Counts
from .resampling import every_network, resample
from .rows import Cohort
from .seeds import Side, side_of
from .studentised import FEW_PATIENTS, studentise

Floats = npt.NDArray[np.float64]
Found = tuple[Effect | float, str | None]
"""An effect, or a bare difference where no resample can have one; and what must be said of it."""


def drawn_differences(
    statistic: str, used: Sequence[Pairs], together: Sequence[Sequence[int]], cohort: Cohort, seed: int, replicates: int
) -> list[Found]:
    """The effect in each class and then in the mean over each of these sets of them; studentised below 40 patients."""
    own = np.unique(np.concatenate([pairs.patient for pairs in used]))
    few = len(own) < FEW_PATIENTS
    everyone = own if few else np.unique(cohort.patients)
    by_class = every_network(statistic, used, everyone)
    mine = len(used[0].mine)

    def networks(counts: Counts) -> Floats:
        each = by_class(counts)
        return np.concatenate([each, *(each[list(members)].mean(0, keepdims=True) for members in together)])

    def differences(counts: Counts) -> Floats:
        return _difference(networks(counts), mine)

    observed = networks(np.ones((len(everyone), 1), np.float32))
    several = min(mine, len(used[0].reference)) > 1
    drawn = resample(networks, len(everyone), seed, replicates) if several or not few else observed
    if few:
        errors, ends = studentise(differences, len(own), seed)
    else:
        ends = _difference(drawn, mine)
        errors = np.array([_spread(row) for row in ends])
    patients = [pairs.patients for pairs in used]
    patients += [len(np.unique(np.concatenate([used[place].patient for place in members]))) for members in together]
    found: list[Found] = []
    for place, value in enumerate(_difference(observed, mine)[:, 0]):
        over_patients = Drawn(float(value), ends[place], float(errors[place]), patients[place])
        if not len(over_patients.kept):
            found.append((float(value), _dropped(ends[place])))
            continue
        effect = with_seeds(over_patients, used[0], partial(_sides, observed[place], drawn[place], mine))
        found.append((effect, _dropped(ends[place])))
    return found


def _difference(by_network: Floats, mine: int) -> Floats:
    """[C, S + S', R] to [C, R]: the mean of the first networks minus the mean of the others."""
    return average(np.moveaxis(by_network[:, :mine], 1, 0)) - average(np.moveaxis(by_network[:, mine:], 1, 0))


def _sides(observed: Floats, drawn: Floats, mine: int) -> tuple[Side, Side]:
    return _side(observed[:mine], drawn[:mine]), _side(observed[mine:], drawn[mine:])


def _side(observed: Floats, drawn: Floats) -> Side:
    kept = drawn[:, ~np.isnan(drawn).any(0)]
    centred = kept - kept.mean(1, keepdims=True)
    return side_of(observed[:, 0].tolist(), list(centred / math.sqrt(max(kept.shape[1] - 1, 1))))


def _spread(row: Floats) -> float:
    kept = row[~np.isnan(row)]
    return float(kept.std(ddof=1)) if len(kept) > 1 else 0.0


def _dropped(row: Floats) -> str | None:
    lost = int(np.isnan(row).sum())
    return f"{lost:,} of {len(row):,} resamples dropped: a class had no positives or no negatives" if lost else None
