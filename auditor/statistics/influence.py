"""A number together with how far each patient moves it: an interval, a mean over classes, a paired difference follow from that.

The influence of a patient carries the factor that makes SE^2 the plain sum of squares, so that numbers of one cohort add up
patient by patient and keep what they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

TOO_FEW = "fewer than 2 patients"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Influence(NamedTuple):
    """A number of `cases` cases, and how far each `patient` [G] moves it [G].

    `ends` is its 95 % interval where t SE would not do, as for a share near 0 or 1. `fewest` is the number of patients of the
    smaller side, where it rests on two samples of patients; `rarer` that of the rarer of positives and negatives, where these are ranked.
    """

    value: float
    patient: Integers
    influence: Floats
    cases: int
    ends: tuple[float, float] | None = None
    fewest: int | None = None
    rarer: int | None = None


def interval(found: Influence) -> tuple[float, float]:
    """95 %: value -+ t SE. Degrees of freedom are the effective number of patients less one, (sum E^2)^2 / sum E^4 - 1."""
    from scipy.special import stdtrit

    if found.ends is not None:
        return found.ends
    largest = float(np.abs(found.influence).max(initial=0.0))
    if not largest:
        return found.value, found.value
    shares = found.influence / largest
    freedom = max(math.fsum(shares**2) ** 2 / math.fsum(shares**4) - 1.0, 1.0)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(math.fsum(found.influence**2))
    return found.value - half, found.value + half


def averaged(parts: Sequence[Influence]) -> Influence:
    """The mean of several numbers; a patient of several counts once, with all it does."""
    patient, influence = _summed([(part.patient, part.influence / len(parts)) for part in parts])
    fewest = min((part.fewest for part in parts if part.fewest is not None), default=None)
    found = Influence(
        math.fsum(part.value for part in parts) / len(parts),
        patient,
        influence,
        sum(part.cases for part in parts),
        fewest=fewest,
        rarer=min((part.rarer for part in parts if part.rarer is not None), default=None),
    )
    return found._replace(ends=_ends_of_mean(found, parts))


def difference(mine: Influence, reference: Influence) -> Influence:
    """Mine minus the reference, patient by patient; both are numbers of the same cases."""
    patient, influence = _summed([(mine.patient, mine.influence), (reference.patient, -reference.influence)])
    return Influence(mine.value - reference.value, patient, influence, mine.cases, fewest=mine.fewest, rarer=mine.rarer)


def times(part: Influence, factor: float) -> Influence:
    """The number times a constant."""
    ends = None if part.ends is None else (factor * part.ends[0], factor * part.ends[1])
    return part._replace(value=factor * part.value, influence=factor * part.influence, ends=ends)


def jackknife(value: float, patient: Integers, without: Floats, cases: int) -> Influence | str:
    """The influences from the number `without` [G] each `patient` [G]."""
    if len(patient) < 2:
        return TOO_FEW
    scale = math.sqrt((len(patient) - 1) / len(patient))
    return Influence(value, patient, scale * (without.mean() - without), cases)


def mean(values: Floats, patient: Integers) -> Influence | str:
    """The mean of the values [n]; SE as in cluster-robust regression (CR1)."""
    return ratio(values, np.ones(len(values)), patient)


def share(values: Floats, patient: Integers) -> Influence | str:
    """The mean of values that are 0 or 1, with Wilson's interval for as many cases as the patients are worth.

    22 of 22 do not mean 100 % for sure: where no patient deviates, a patient counts as one case.
    """
    found = mean(values, patient)
    if isinstance(found, str):
        return found
    p, spread = found.value, math.fsum(found.influence**2)
    worth = min(p * (1 - p) / spread, found.cases) if spread else float(len(found.patient))
    t = _student(found)
    middle, half = p + t**2 / (2 * worth), t * math.sqrt(p * (1 - p) / worth + (t / (2 * worth)) ** 2)
    low, high = ((middle + side * half) / (1 + t**2 / worth) for side in (-1, 1))
    return found._replace(ends=(max(low, 0.0), min(high, 1.0)))


def _ends_of_mean(found: Influence, parts: Sequence[Influence]) -> tuple[float, float] | None:
    """The interval of a mean of numbers some of which have ends; None where none has.

    Shares: see `_mean_of_shares`. Parts that no patient moves add their own width to t SE over the others, as if they all erred
    to one side; those without bounds add nothing, and there is no interval where there are no others.
    """
    if all(part.ends is None for part in parts):
        return None
    known = [part for part in parts if part.ends is not None and math.isfinite(part.ends[0])]
    if not known:
        return (math.nan, math.nan) if all(part.ends is not None for part in parts) else None
    still = [part for part in known if not part.influence.any()]
    if len(known) == len(parts) and len(still) < len(parts):
        return _mean_of_shares(found, parts)
    low, high = interval(found)
    widths = [math.fsum(abs(part.ends[side] - part.value) for part in still if part.ends) / len(parts) for side in (0, 1)]
    return found.value - math.hypot(found.value - low, widths[0]), found.value + math.hypot(high - found.value, widths[1])


def _mean_of_shares(found: Influence, parts: Sequence[Influence]) -> tuple[float, float] | None:
    """From the intervals of the shares (MOVER), or t SE over all patients where that is wider."""
    below = [part.value - part.ends[0] for part in parts if part.ends]
    above = [part.ends[1] - part.value for part in parts if part.ends]
    alike = _student(found) * math.sqrt(math.fsum(found.influence**2))
    low, high = (max(math.sqrt(math.fsum(x * x for x in side)) / len(parts), alike) for side in (below, above))
    return max(found.value - low, 0.0), min(found.value + high, 1.0)


def _student(found: Influence) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(len(found.patient) - 1, 0.975))


def ratio(over: Floats, under: Floats, patient: Integers) -> Influence | str:
    """sum(over) / sum(under), both [n], linearised."""
    patients, who = np.unique(patient, return_inverse=True)
    if len(patients) < 2:
        return TOO_FEW
    total = math.fsum(under)
    value = math.fsum(over) / total
    moved = np.bincount(who, over - value * under) / total
    return Influence(value, patients, moved * math.sqrt(len(patients) / (len(patients) - 1)), len(over))


def _summed(parts: Sequence[tuple[Integers, Floats]]) -> tuple[Integers, Floats]:
    patient, who = np.unique(np.concatenate([patients for patients, _ in parts]), return_inverse=True)
    moved: Floats = np.bincount(who, np.concatenate([influence for _, influence in parts]), len(patient)).astype(np.float64)
    return patient, moved
