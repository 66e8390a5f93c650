"""Where the evidence of a map lies: one map on the pixel grid against any number of regions, each in constant time.

Regions are unions of boxes, kept as rectangles that do not overlap. A sum over a region is then four look-ups per rectangle
in a table of running sums, so that the boxes of a hundred other images cost little more than the map's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .boxes import Edges

Array = npt.NDArray[np.float64]
FEW = 8
"""Rectangles that are summed sooner one by one than from a table of running sums."""
TIE = 1e-12
"""Values closer than this share of the map's largest are tied: upsampling rounds equal values apart."""


class Regions(NamedTuple):
    """J regions of a grid as R rectangles [R, 4] (left, top, right, bottom) and the region [R] each belongs to.

    A region without a rectangle has no pixels: its box lies outside what the network sees.
    """

    rectangles: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    length: int


class Placed(NamedTuple):
    """How one map agrees with each of J regions [J]; NaN where the region is empty or the whole grid."""

    cbl: Array
    pixel_auc: Array
    pointing: Array


def regions(cases: Sequence[Iterable[Edges]]) -> Regions:
    """The union of the boxes of each case."""
    parts = [(rectangle, number) for number, edges in enumerate(cases) for rectangle in apart(list(edges))]
    rectangles = np.array([rectangle for rectangle, _ in parts], np.int64).reshape(len(parts), 4)
    return Regions(rectangles, np.array([number for _, number in parts], np.int64), len(cases))


def joined(first: Regions, second: Regions) -> Regions:
    """The regions of both, those of the first before those of the second."""
    rectangles = np.concatenate([first.rectangles, second.rectangles])
    return Regions(rectangles, np.concatenate([first.owner, second.owner + first.length]), first.length + second.length)


def apart(edges: Sequence[Edges]) -> list[Edges]:
    """The pixels of these boxes as rectangles that do not overlap.

    >>> apart([Edges(0, 0, 2, 2), Edges(1, 1, 3, 3)])
    [Edges(left=0, top=0, right=2, bottom=1), Edges(left=0, top=1, right=3, bottom=2), Edges(left=1, top=2, right=3, bottom=3)]
    """
    if len(edges) == 1:
        return list(edges)
    levels = sorted({level for box in edges for level in (box.top, box.bottom)})
    found: list[Edges] = []
    for top, bottom in pairwise(levels):
        end = -1
        for left, right in sorted((box.left, box.right) for box in edges if box.top <= top and box.bottom >= bottom):
            if left > end:
                found.append(Edges(left, top, right, bottom))
            elif right > end:
                found[-1] = found[-1]._replace(right=right)
            end = max(end, right)
    return found


def placed(pixels: Array, where: Regions) -> Placed:
    """CBL, pixel-AUC and pointing game of one map [H, W], at least 0, for every region (docs/methods.md A.12).

    A constant map scores 0, 0.5 and the region's share of the grid.
    """
    from .running_sums import ranks_and_best

    size = sizes(where)
    size = np.where((size > 0) & (size < pixels.size), size, np.nan)
    order = np.argsort(pixels, axis=None)
    rising = pixels.ravel()[order]
    ranks, best = ranks_and_best(order, rising, TIE * rising[-1])
    highest = order[np.searchsorted(rising, rising[-1] * (1 - TIE)) :]
    peaks = np.zeros(pixels.shape)
    peaks.ravel()[highest] = 1
    flat = rising[0] == rising[-1]
    return Placed(
        np.where(np.isnan(size), np.nan, 0.0) if flat else _cbl(sums(pixels, where), best, size),
        (sums(ranks.reshape(pixels.shape), where) - size * (size + 1) / 2) / (size * (pixels.size - size)),
        np.where(np.isnan(size), np.nan, sums(peaks, where) / len(highest)),
    )


def _cbl(inside: Array, best: Array, size: Array) -> Array:
    """(I - A k/N) / (T - A k/N): evidence in the region above chance, over the most that the same map could have there.

    `best[k]` is the sum of the k brightest of the N pixels.
    """
    chance = best[-1] * size / (len(best) - 1)
    return np.asarray((inside - chance) / (best[np.nan_to_num(size).astype(np.int64)] - chance))


def sizes(where: Regions) -> Array:
    """How many pixels each region has [J]."""
    left, top, right, bottom = where.rectangles.T
    return np.bincount(where.owner, (right - left) * (bottom - top), where.length).astype(np.float64)


def sums(values: Array, where: Regions) -> Array:
    """The sum of the values [H, W] over each region [J]."""
    if len(where.rectangles) < FEW:
        each = np.array([values[top:bottom, left:right].sum() for left, top, right, bottom in where.rectangles])
    else:
        from .running_sums import rectangle_sums

        each = rectangle_sums(values, where.rectangles)
    return np.bincount(where.owner, each, where.length).astype(np.float64)


def effective_support(pixels: Array) -> float:
    """(sum a)^2 / (N sum a^2): the share of the grid that evenly spread evidence of this unevenness would cover; NaN if empty."""
    squares = float((pixels**2).sum())
    return float(pixels.sum()) ** 2 / (pixels.size * squares) if squares else float("nan")
