"""What a network's decision is made of: embeddings, and what the last linear layer makes of every feature (docs/methods.md, part E).

An embedding f [d] is what goes into the last linear layer. The evidence of feature j for class k is f_j w_kj, and a class's output
is the sum of its evidence plus the bias b_k. Everything here works on arrays: n images, d features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


class Share(NamedTuple):
    """How much of the mean evidence some features carry: of all of it (can exceed 1), and of what speaks for the class."""

    of_all: float | None
    of_positive: float | None


def share(mean: Floats, features: Integers) -> Share:
    """The share of these features in the mean evidence [d] of a class; None where there is nothing to share."""
    part = math.fsum(mean[features])
    whole, positive = math.fsum(mean), math.fsum(np.maximum(mean, 0))
    return Share(part / whole if abs(whole) > SMALL else None, part / positive if positive > SMALL else None)


def density(of: Vectors, reference: Vectors, features: Integers, count: int) -> tuple[Integers, Integers]:
    """How many images of a class, and of a reference class, have each of these features among their own `count` largest."""
    found = []
    for vectors in (of, reference):
        own = np.argsort(-vectors, axis=1, kind="stable")[:, :count]
        found.append(np.array([(own == feature).any(1).sum() for feature in features], np.int64))
    return found[0], found[1]


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
    for start in range(0, len(queries), BLOCK):
        part = slice(start, start + BLOCK)
        apart = squared_distances(queries[part], pool)
        apart[whose[part, None] == owners[None]] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")[:, :count]
        known = np.isfinite(np.take_along_axis(apart, order, 1))
        places[part, : order.shape[1]] = np.where(known, order, -1)
    return places


def mean_distances(vectors: Vectors, patients: Integers) -> Floats:
    """Each image's mean Euclidean distance to the others that are of other patients [n]; NaN where there is none."""
    found = np.full(len(vectors), np.nan)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        others = patients[part, None] != patients[None]
        apart = np.sqrt(squared_distances(vectors[part], vectors)) * others
        counts = others.sum(1)
        found[part] = np.divide(apart.sum(1), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


def squared_distances(first: Vectors, second: Vectors) -> Floats:
    """Squared Euclidean distances [m, n]."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    apart = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * (a @ b.T)
    return np.asarray(np.maximum(apart, 0))


ARCHETYPES = {"safe": (4, 5), "border": (2, 3), "rare": (1, 1), "outlier": (0, 0)}
"""How many of an image's five nearest neighbours share its finding."""


def archetypes(same: Integers) -> dict[str, Bools]:
    """Which images [n] are of each kind, from the number [n] of their five neighbours that share the finding."""
    return {kind: (same >= low) & (same <= high) for kind, (low, high) in ARCHETYPES.items()}
