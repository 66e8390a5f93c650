"""How a network answers images it was trained on, and images it never saw: what of its answers survives the step.

Every number is of one class, from a value per case on both sides. The patients of both sides are independent units; one who is on
both counts once, with all it does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .influence import TOO_FEW, Floats, Influence, Integers, averaged, difference, mean, times

NO_TRAINING = "audit.yaml lists no training_images"
NO_TRAINING_CASE = "no case among the training images"
LOST = "not estimable (no mean above 0 on the training images)"
ALIKE = "not estimable (all values alike)"
LEAST_MEAN = 1e-6
BINS, TAILS = 50, (0.001, 0.999)
BETWEEN = (
    "shift",
    "standardised_shift",
    "retained",
    "crossing",
    "wasserstein",
    "kolmogorov_smirnov",
    "asymmetry",
    "standardised_asymmetry",
    "change",
)
"""Statistics of audited against training images."""
NO_INTERVAL = ("wasserstein", "kolmogorov_smirnov", "median")
"""Statistics without an interval; they are not contrasted either."""
OF_SCALE = ("level", "shift", "asymmetry")
"""Statistics in the units of a network's own outputs; losses give them scales of their own, so they are not contrasted."""


class Side(NamedTuple):
    """The cases of one class in one split: a value and a patient each, [n]."""

    value: Floats
    patient: Integers


def between(statistic: str, audited: Side, training: Side) -> Influence | str:
    """One number of the step from training to audited images, or why there is none; docs/methods.md D.3.

    `shift` is the difference of the means (`change` the same of a number with one scale for all networks), `standardised_shift` in units of the pooled standard deviation, `retained` the ratio of the
    means, `crossing` the difference of the shares below 0; `wasserstein` and `kolmogorov_smirnov` compare the two samples whole.
    """
    if not len(training.value):
        return NO_TRAINING_CASE
    sides = mean(*audited), mean(*training)
    if isinstance(sides[0], str) or isinstance(sides[1], str):
        return TOO_FEW
    fewest = min(len(np.unique(side.patient)) for side in (audited, training))
    found = _between(statistic, audited, training, sides[0], sides[1])
    if isinstance(found, str):
        return found
    return found._replace(cases=len(audited.value) + len(training.value), fewest=fewest)


def _between(statistic: str, audited: Side, training: Side, now: Influence, then: Influence) -> Influence | str:
    shift = difference(now, then)
    if statistic in ("shift", "change"):
        return shift
    if statistic == "standardised_shift":
        return _standardised(audited, training, shift)
    if statistic == "retained":
        if then.value <= LEAST_MEAN:
            return LOST
        kept = now.value / then.value
        return _combined([(1 / then.value, now), (-kept / then.value, then)], kept)
    if statistic == "crossing":
        below = [mean((side.value < 0).astype(np.float64), side.patient) for side in (audited, training)]
        return difference(*below)  # type: ignore[arg-type]
    distance = wasserstein if statistic == "wasserstein" else kolmogorov_smirnov
    return shift._replace(value=distance(audited.value, training.value))


def asymmetry(positive: Influence, negative: Influence) -> Influence:
    """How much more the positives move than the negatives."""
    return difference(positive, negative)._replace(cases=positive.cases + negative.cases, fewest=_fewest(positive, negative))


def slope(parts: list[tuple[float, Influence]]) -> Influence | str:
    """Least squares of numbers of classes on x: a sum of the numbers, so that patients move it as they move them."""
    x = np.array([at for at, _ in parts])
    if len(np.unique(x)) < 3:
        return "not estimable (fewer than 3 classes of different frequency)"
    weights = (x - x.mean()) / math.fsum((x - x.mean()) ** 2)
    found = _combined([(float(weight), part) for weight, (_, part) in zip(weights, parts, strict=True)])
    return found._replace(cases=len(parts), fewest=None)


def rank_correlation(first: Floats, second: Floats) -> float | str:
    """Spearman's rho over classes, ties at their mean rank."""
    from scipy.stats import rankdata

    if len(first) < 4:
        return "not estimable (fewer than 4 classes)"
    ranks = [rankdata(column) for column in (first, second)]
    if any(np.ptp(column) == 0 for column in ranks):
        return ALIKE
    return float(np.corrcoef(*ranks)[0, 1])


def pairwise(side: Side) -> Influence | str:
    """A mean over pairs of cases, from each case's mean over its partners: a case moves it as one of two in every pair."""
    found = mean(*side)
    return found if isinstance(found, str) else found._replace(influence=2 * found.influence)


def standardised(side: Side, scale: Floats) -> Influence | str:
    """The mean in standard deviations of another value [m] of the same network, which is taken as given."""
    found = mean(*side)
    if isinstance(found, str):
        return found
    size = float(scale.std(ddof=1)) if len(scale) > 1 else 0.0
    return times(found, 1 / size) if size > 0 else ALIKE


def wasserstein(first: Floats, second: Floats) -> float:
    """The area between the two distribution functions."""
    points, below = _distributions(first, second)
    return math.fsum(np.abs(below[0] - below[1])[:-1] * np.diff(points))


def kolmogorov_smirnov(first: Floats, second: Floats) -> float:
    """The largest distance between the two distribution functions."""
    _, below = _distributions(first, second)
    return float(np.abs(below[0] - below[1]).max())


def histogram(audited: Floats, training: Floats) -> tuple[float, float, list[int], list[int]]:
    """(low, high, counts, counts) in shared bins between the 0.1 and 99.9 percentiles; what lies beyond is in the outermost."""
    both = np.concatenate((audited, training))
    low, high = (float(end) for end in np.quantile(both, TAILS))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts = [np.histogram(np.clip(side, low, high), BINS, (low, high))[0].tolist() for side in (audited, training)]
    return low, high, counts[0], counts[1]


def _distributions(first: Floats, second: Floats) -> tuple[Floats, list[Floats]]:
    points = np.unique(np.concatenate((first, second)))
    return points, [np.searchsorted(np.sort(side), points, "right") / len(side) for side in (first, second)]


def _standardised(audited: Side, training: Side, shift: Influence) -> Influence | str:
    """D / S with S^2 the mean of the two variances; linearised in both."""
    spreads = [_variance(side) for side in (audited, training)]
    square = (spreads[0].value + spreads[1].value) / 2
    if square <= 0:
        return ALIKE
    size = math.sqrt(square)
    back = -shift.value / (4 * size**3)
    return _combined([(1 / size, shift), (back, spreads[0]), (back, spreads[1])], shift.value / size)


def _variance(side: Side) -> Influence:
    away = (side.value - side.value.mean()) ** 2
    found = mean(away, side.patient)
    assert isinstance(found, Influence)
    unbiased = len(away) / max(len(away) - 1, 1)
    return found._replace(value=found.value * unbiased, influence=found.influence * unbiased)


def _combined(parts: list[tuple[float, Influence]], value: float | None = None) -> Influence:
    """A weighted sum of numbers; `value` where it is the linear part of something else."""
    scaled = [
        part._replace(value=part.value * weight * len(parts), influence=part.influence * weight * len(parts))
        for weight, part in parts
    ]
    found = averaged(scaled)
    return found if value is None else found._replace(value=value)


def _fewest(*parts: Influence) -> int | None:
    known = [part.fewest for part in parts if part.fewest is not None]
    return min(known, default=None)
