"""Do predicted probabilities come true? Per class, before and after recalibration, with the patient as the independent unit.

z are log-odds, y the labels, p = sigmoid(z). A recalibration is fitted on some patients and everything is measured on the others;
the intervals take the fitted temperature or shift as given.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .influence import TOO_FEW, Floats, Influence, Integers, interval, mean, ratio
from .ranking import not_estimable

BINS = 15
STEPS, CLOSE = 100, 1e-10
SEPARATED = "not estimable (the labels are separated perfectly)"
HANGS_ON_ONE = "not estimable (without one patient the labels are separated perfectly)"
SAYS_NOTHING = "not estimable (its interval holds both 0 and 2)"
"""Of a slope that tells neither from 0, where scores say nothing, nor from 2, as far on the other side of the ideal."""
AFTER = ("", "temperature", "prior_shift")
STATISTICS = ("intercept", "slope", "ece", "ece_chance", "brier", "predicted", "observed", "prevalence_gap")


class Scored(NamedTuple):
    """The cases of one class: log-odds [n], whether positive [n], patient [n]."""

    z: Floats
    y: Floats
    patient: Integers


def recalibrated(cases: Scored, fitting: Floats, after: str) -> Scored | str:
    """The cases that nothing was fitted on, their log-odds corrected by what fits the others; or why that cannot be had.

    `fitting` [n] is 1 for the cases to fit on. Temperature divides the log-odds by T > 0; a prior shift adds a constant, so that the
    mean prediction meets the prevalence. Both are maximum likelihood, one per class.
    """
    apart = fitting > 0
    kept = Scored(cases.z[~apart], cases.y[~apart], cases.patient[~apart])
    if not after:
        return kept
    z, y = cases.z[apart], cases.y[apart]
    if lacking := not_estimable(y == 1):
        return f"recalibration {lacking}"
    if after == "prior_shift":
        return kept._replace(z=kept.z + _shift(z, y))
    found = _logistic(np.stack([z], 1), y)
    if found is None:
        return f"recalibration {SEPARATED}"
    if found[0] <= 0:
        return "recalibration not estimable (scores rank the wrong way, no temperature mends that)"
    return kept._replace(z=kept.z * found[0])


def calibration(statistic: str, cases: Scored) -> Influence | str:
    """One number of these cases with its influences, or why there is none."""
    if not len(cases.z) or len(np.unique(cases.patient)) < 2:
        return TOO_FEW
    z, y, patient = cases
    p = sigmoid(z)
    if statistic in ("brier", "predicted", "observed", "prevalence_gap"):
        return mean({"brier": (p - y) ** 2, "predicted": p, "observed": y, "prevalence_gap": p - y}[statistic], patient)
    if statistic == "ece":
        return _ece(p, y, patient)
    if statistic == "ece_chance":
        return _ece_chance(p, patient)
    lacking = not_estimable(y == 1)
    if lacking:
        return lacking
    return _in_the_large(z, y, patient) if statistic == "intercept" else _slope(z, y, patient)


def bins(p: Floats, count: int = BINS) -> Integers:
    """The bin [n] of each probability: bins of equal mass, closed above, the last one up to 1; ties share a bin."""
    ranked = np.sort(p)
    places = np.arange(1, count) * len(p) // count - 1
    edges = np.unique(ranked[places[places >= 0]])
    return np.searchsorted(edges, p, "left")


def _ece(p: Floats, y: Floats, patient: Integers) -> Influence | str:
    """Sum over bins of their share times |mean p - mean y|; linearised with the direction of every bin as it is."""
    which = bins(p)
    gaps = np.bincount(which, p - y)
    return mean(np.sign(gaps)[which] * (p - y), patient)


def _ece_chance(p: Floats, patient: Integers) -> Influence | str:
    """The ECE that these predictions would show on average if they were perfectly calibrated and the cases independent."""
    spread = np.sqrt(2 / math.pi * np.bincount(bins(p), p * (1 - p)))
    found = mean(np.zeros(len(p)), patient)
    return found if isinstance(found, str) else found._replace(value=float(spread.sum()) / len(p))


def _in_the_large(z: Floats, y: Floats, patient: Integers) -> Influence:
    """a in logit P(y) = a + z: 0 where the mean prediction meets the prevalence."""
    a = _shift(z, y)
    p = sigmoid(z + a)
    found = ratio(y - p, p * (1 - p), patient)
    assert isinstance(found, Influence)
    return found._replace(value=a)


def _slope(z: Floats, y: Floats, patient: Integers) -> Influence | str:
    """b in logit P(y) = a + b z: 1 where the spread of the log-odds is right, below 1 where it is too large.

    There is none where the likelihood has no maximum, or has one only for the sake of one patient, and none is told that leaves
    the reader with no information.
    """
    if _separated(z, y):
        return SEPARATED
    if any(_separated(z[patient != one], y[patient != one]) for one in _outermost(z, y, patient)):
        return HANGS_ON_ONE
    design = np.stack([np.ones(len(z)), z], 1)
    found = _logistic(design, y)
    if found is None:
        return SEPARATED
    p = sigmoid(design @ found)
    inverse = np.linalg.pinv((design * (p * (1 - p))[:, None]).T @ design)
    patients, who = np.unique(patient, return_inverse=True)
    moved = np.bincount(who, (design * (y - p)[:, None]) @ inverse[1]).astype(np.float64)
    slope = Influence(float(found[1]), patients, moved * math.sqrt(len(patients) / (len(patients) - 1)), len(z))
    low, high = interval(slope)
    return SAYS_NOTHING if low <= 0 and high >= 2 else slope


def _separated(z: Floats, y: Floats) -> bool:
    """Whether a threshold on z tells all labels apart, ties at it allowed: then any larger slope fits better still (Albert and
    Anderson, Biometrika 1984;71:1-10). So it is where all labels are alike."""
    below, above = z[y == 0], z[y == 1]
    return not len(below) or not len(above) or bool(below.max() <= above.min() or above.max() <= below.min())


def _outermost(z: Floats, y: Floats, patient: Integers) -> Integers:
    """The patients of the lowest and the highest z of either label: without anyone else the ranges stay as they are."""
    rows = [np.flatnonzero(y == label) for label in (0, 1)]
    return np.unique([patient[mine[end(z[mine])]] for mine in rows for end in (np.argmin, np.argmax)])


def _shift(z: Floats, y: Floats) -> float:
    """a with mean sigmoid(z + a) = mean y, where y has both values; bisection, because far scores defeat Newton's steps."""
    low, high = -float(np.abs(z).max()) - 40.0, float(np.abs(z).max()) + 40.0
    while high - low > CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(z + middle).mean() < y.mean() else (low, middle)
    return (low + high) / 2


def _logistic(design: Floats, y: Floats) -> Floats | None:
    """Maximum likelihood of a logistic regression by Newton's method with halved steps; None where it has none."""
    found = np.zeros(design.shape[1])
    loss = _loss(design, y, found)
    for _ in range(STEPS):
        p = sigmoid(design @ found)
        curved = (design * (p * (1 - p))[:, None]).T @ design
        step = np.linalg.pinv(curved) @ (design.T @ (y - p))
        while _loss(design, y, found + step) > loss + 1e-12 and np.abs(step).max() > CLOSE:
            step = step / 2
        found, loss = found + step, _loss(design, y, found + step)
        if np.abs(step).max() < CLOSE * (1 + np.abs(found).max()):
            return None if loss < 1e-6 * len(y) else found
    return None


def _loss(design: Floats, y: Floats, found: Floats) -> float:
    z = design @ found
    return float((np.logaddexp(0, z) - y * z).sum())


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow."""
    from scipy.special import expit

    return np.asarray(expit(z), np.float64)
