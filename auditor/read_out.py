"""Whether a group of images can be told from the embeddings of a network by a straight line (docs/methods.md G.4).

A ridge regression is fitted on four fifths of the patients and read on the others, in turn. That it can be read does not mean that
the network uses it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .conclusion import Number
from .embedded import Embedded, Membership
from .statistics.delong import clustered_area, placements
from .statistics.influence import Influence, averaged, interval

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
FOLDS = 5
WIDER = math.sqrt(1 + FOLDS / (FOLDS - 1))
"""How much larger the error is than if the folds were independent: they are fitted on largely the same patients (Nadeau and Bengio,
Machine Learning 2003;52:239-281: variance times 1 + folds x test / training)."""
LEAST = 20
"""Patients that a group must have to be told apart from the others."""
PENALTIES = tuple(10.0**power for power in range(-2, 7))
"""Ridge penalties in units of one standardised feature's variance over one image; the fit chooses by generalised cross-validation."""


def told(metric: str, split: Embedded, group: Membership, among: npt.NDArray[np.bool_]) -> Number:
    """How well the groups are told apart on the images `among` [n], as a number of the network as a whole.

    The mean over the groups of the AUROC of each against all others; for two groups that is one number.
    """
    rows = np.flatnonzero(among & (group.code >= 0))
    patients = [len(np.unique(split.patients[rows][group.code[rows] == place])) for place in range(len(group.names))]
    kept = [place for place, count in enumerate(patients) if count >= LEAST]
    if len(kept) < 2:
        enough = "1 group has" if len(kept) == 1 else "none has"
        return Number(metric, None, None, 0, 0, missing=f"not estimable ({enough} {LEAST} patients; 2 groups are needed)")
    rows = rows[np.isin(group.code[rows], kept)]
    found = _told_apart(split, rows, group.code[rows], kept[:1] if len(kept) == 2 else kept)
    if found is None:
        return Number(metric, None, None, 0, 0, missing="not estimable (all embeddings alike)")
    low, high = interval(found)
    gone = sum(0 < count < LEAST for count in patients)
    notes = [f"{gone} of {len(patients)} groups left out: fewer than {LEAST} patients"] if gone else []
    notes += ["no pair is told wrongly: the interval has no width and says too much"] if low == high else []
    return Number(
        metric, None, found.value, len(rows), len(found.patient), max(low, 0.0), min(high, 1.0), note="; ".join(notes) or None
    )


def without_finding(split: Embedded) -> npt.NDArray[np.bool_]:
    """The images [n] that are known to show none of the classes."""
    return np.asarray((split.labels == 0).all(1))


def _told_apart(split: Embedded, rows: Integers, code: Integers, groups: Sequence[int]) -> Influence | None:
    fold = folds(split, rows)
    scores = cross_validated(split.vectors[rows].astype(np.float64), np.stack([code == place for place in groups], 1), fold)
    if scores is None:
        return None
    parts = [area_within(scores[:, at], code == place, split.patients[rows], fold) for at, place in enumerate(groups)]
    return averaged(parts)._replace(cases=len(rows))


def folds(split: Embedded, rows: Integers) -> Integers:
    """Which fifth each of these images belongs to: whole patients, in the order of their lots."""
    patients, who = np.unique(split.patients[rows], return_inverse=True)
    first = np.full(len(patients), np.iinfo(np.int64).max)
    np.minimum.at(first, who, split.lot[rows])
    place = np.empty(len(patients), np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(len(patients))
    return place[who] % FOLDS


def cross_validated(vectors: Floats, member: npt.NDArray[np.bool_], fold: Integers) -> Floats | None:
    """Scores [n, G] of images by the fit on the other folds; `member` [n, G]. None where no feature varies."""
    scores = np.zeros(member.shape)
    for number in range(FOLDS):
        out = fold == number
        if not out.any():
            continue
        inside = vectors[~out]
        middle, spread = inside.mean(0), inside.std(0)
        used = spread > 1e-12 * max(float(np.abs(inside).max()), 1e-300)
        if not used.any():
            return None
        scale = spread[used]
        target = member[~out].astype(np.float64)
        weights = ridge((inside[:, used] - middle[used]) / scale, target - target.mean(0))
        scores[out] = (vectors[out][:, used] - middle[used]) / scale @ weights
    return scores


def ridge(x: Floats, y: Floats) -> Floats:
    """Weights [d, G] for centred features [n, d] and targets [n, G], the penalty of each target by generalised cross-validation."""
    left, size, right = np.linalg.svd(x, full_matrices=False)
    inside = left.T @ y
    outside = (y**2).sum(0) - (inside**2).sum(0)
    best, chosen = np.full(y.shape[1], math.inf), np.zeros((len(size), y.shape[1]))
    for penalty in PENALTIES:
        kept = size**2 / (size**2 + penalty)
        errors = outside + (((1 - kept)[:, None] * inside) ** 2).sum(0)
        risk = errors / max(1 - (kept.sum() + 1) / len(x), 1e-3) ** 2  # the mean was fitted too
        better = risk < best
        best = np.where(better, risk, best)
        chosen[:, better] = (size / (size**2 + penalty))[:, None] * inside[:, better]
    return np.asarray(right.T @ chosen)


def area_within(scores: Floats, member: npt.NDArray[np.bool_], patient: Integers, fold: Integers) -> Influence:
    """The AUROC over pairs of images of one fold, as scores of two fits do not compare; its error over patients, made WIDER.

    A fold counts by its pairs; one that holds no pair counts for nothing.
    """
    parts = []
    for number in range(FOLDS):
        rows = fold == number
        pairs = int(member[rows].sum()) * int((~member[rows]).sum())
        if pairs and len(np.unique(patient[rows])) > 1:
            area = clustered_area(placements(scores[rows], member[rows]), member[rows], patient[rows])
            parts.append((pairs, area))
    total = sum(pairs for pairs, _ in parts)
    return Influence(
        math.fsum(pairs * area.value for pairs, area in parts) / total,
        np.concatenate([area.patient for _, area in parts]),
        np.concatenate([area.influence * (WIDER * pairs / total) for pairs, area in parts]),
        len(scores),
    )
