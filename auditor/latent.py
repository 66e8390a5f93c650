"""What a network's decision is made of: embeddings, and what the last linear layer makes of every feature (docs/methods.md, part E).

An embedding f [d] is what goes into the last linear layer. The evidence of feature j for class k is f_j w_kj, and a class's output
is the sum of its evidence plus the bias b_k. Everything here works on arrays: n images, d features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
SMALL = 1e-8
BLOCK = 512


class Needed(NamedTuple):
    """How many features a decision needed [n], and which they are [n, d]."""

    number: Integers
    used: Bools


def needed(evidence: Floats, bias: Floats | float, bar: Floats | float) -> Needed:
    """The fewest features that carry each output [n] to `bar`: all evidence against it and the bias are charged first, then the
    strongest evidence for it is added, largest first, until it is reached. 0 where the bias alone is enough.

    `evidence` [n, d] of the class that was chosen, `bar` the output it had to reach, such as the runner-up's.
    """
    for_it = np.maximum(evidence, 0)
    order = np.argsort(-for_it, axis=1, kind="stable")
    carried = np.cumsum(np.take_along_axis(for_it, order, 1), 1)
    start = np.minimum(evidence, 0).sum(1) + bias
    reached = np.concatenate((start[:, None], start[:, None] + carried), 1)
    short = (reached < (bar if np.ndim(bar) == 0 else np.asarray(bar)[:, None])).sum(1)
    count = np.minimum(short, (evidence > 0).sum(1))  # rounding must not ask for features that say nothing
    return Needed(count, _first(order, count))


def needed_against(evidence: Floats, bias: Floats | float, bar: float) -> Needed:
    """The fewest features that keep each output [n] below `bar`: all evidence for it is charged first, then the strongest against."""
    return needed(-evidence, -np.asarray(bias), np.nextafter(-bar, np.inf))


def _first(order: Integers, count: Integers) -> Bools:
    used = np.zeros(order.shape, bool)
    np.put_along_axis(used, order, np.arange(order.shape[1]) < count[:, None], 1)
    return used


def strongest(mean: Floats, count: int) -> Integers:
    """The numbers of the largest entries, descending; equal ones by their number."""
    return np.argsort(-mean, kind="stable")[:count]


class Left(NamedTuple):
    """What is left of a mean on new images, with its 95 % interval over patients."""

    value: float
    low: float
    high: float


def left(audited: Floats, patients: Integers, training: Floats, owners: Integers) -> Left | None:
    """The mean of the audited values over that of the training values; None where that is not above 0 or patients are too few."""
    from .statistics.between_splits import Side, between
    from .statistics.influence import interval

    found = between("retained", Side(audited, patients), Side(training, owners))
    return None if isinstance(found, str) else Left(found.value, *interval(found))


class Share(NamedTuple):
    """How much of the mean evidence some features carry: of all of it (can exceed 1), and of what speaks for the class."""

    of_all: float | None
    of_positive: float | None


def share(mean: Floats, features: Integers) -> Share:
    """The share of these features in the mean evidence [d] of a class; None where there is nothing to share."""
    part = math.fsum(mean[features])
    whole, positive = math.fsum(mean), math.fsum(np.maximum(mean, 0))
    return Share(part / whole if abs(whole) > SMALL else None, part / positive if positive > SMALL else None)


def largest(vectors: Vectors, count: int) -> Bools:
    """Which features are among the `count` largest of each image [n, d]; ties by number."""
    found = np.zeros(vectors.shape, bool)
    kept = min(count, vectors.shape[1])
    for start in range(0, len(vectors), BLOCK):
        rows = vectors[start : start + BLOCK]
        bound = np.partition(rows, -kept, axis=1)[:, -kept, None]
        above, equal = rows > bound, rows == bound
        found[start : start + BLOCK] = above | (equal & (np.cumsum(equal, 1) <= kept - above.sum(1)[:, None]))
    return found


def overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """The share of the features of one list that are in the other; both of one length."""
    return len(set(first) & set(second)) / len(first)


def weight_change(mine: Floats, base: Floats) -> float | None:
    """Mean relative change of the weights; those that were next to 0 are left out."""
    counted = np.abs(base) >= SMALL
    if not counted.any():
        return None
    return float((np.abs(mine - base)[counted] / np.abs(base)[counted]).mean())


def effective_rank(vectors: Vectors) -> float | None:
    """In how many directions the rows spread around their mean: exp of the entropy of the singular values; None if they do not.

    Roy and Vetterli, EUSIPCO 2007. It grows with the number of rows, so compare like numbers only.
    """
    centred = vectors - vectors.mean(0, dtype=np.float64)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(centred @ centred.T), 0))
    if len(vectors) < 2 or values.sum() <= SMALL * max(1.0, float(np.abs(vectors).max())):
        return None
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def nearest(queries: Vectors, whose: Integers, pool: Vectors, owners: Integers, count: int) -> Integers:
    """The `count` nearest of a pool for each query [m, count], Euclidean, images of the query's own patient left out; ties by number.

    -1 where the pool has no more.
    """
    places = np.full((len(queries), count), -1, np.int64)
    last = min(count, len(pool)) - 1
    for part, apart in _distances(queries, pool) if last >= 0 else ():
        apart[whose[part, None] == owners[None]] = np.inf
        farthest = np.partition(apart, last, axis=1)[:, last]
        for row, own, bound in zip(range(part.start, part.stop), apart, farthest, strict=False):
            near = np.flatnonzero((own <= bound) & np.isfinite(own))
            chosen = near[np.argsort(own[near], kind="stable")[:count]]
            places[row, : len(chosen)] = chosen
    return places


def mean_distances(vectors: Vectors, patients: Integers, partners: Vectors, owners: Integers) -> Floats:
    """Each image's mean Euclidean distance to the partners that are of other patients [n]; NaN where there is none."""
    found = np.full(len(vectors), np.nan)
    for part, apart in _distances(vectors, partners):
        others = patients[part, None] != owners[None]
        counts = others.sum(1)
        total = (np.sqrt(apart) * others).sum(1)
        found[part] = np.divide(total, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


def _distances(first: Vectors, second: Vectors) -> Iterator[tuple[slice, Floats]]:
    """Squared Euclidean distances [block, n] of some rows after the other, and which rows they are."""
    others = second.astype(np.float64)
    norms = (others**2).sum(1)
    for start in range(0, len(first), BLOCK):
        part = slice(start, min(start + BLOCK, len(first)))
        block = first[part].astype(np.float64)
        yield part, np.maximum((block**2).sum(1)[:, None] + norms[None] - 2 * (block @ others.T), 0)


ARCHETYPES = {"safe": (4, 5), "border": (2, 3), "rare": (1, 1), "outlier": (0, 0)}
"""How many of an image's five nearest neighbours share its finding."""


def archetypes(same: Integers) -> dict[str, Bools]:
    """Which images [n] are of each kind, from the number [n] of their five neighbours that share the finding."""
    return {kind: (same >= low) & (same <= high) for kind, (low, high) in ARCHETYPES.items()}
