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
    """CBL, pixel-AUC and pointing game of one map [H, W], at least 0, for every region (docs/methods.md A.10).

    A constant map scores 0, 0.5 and the region's share of the grid.
    """
    size = sizes(where)
    size = np.where((size > 0) & (size < pixels.size), size, np.nan)
    by_height = np.argsort(pixels, axis=None)
    rising = pixels.ravel()[by_height]
    flat = rising[0] == rising[-1]
    peaks = pixels >= rising[-1] * (1 - TIE)
    return Placed(
        np.where(np.isnan(size), np.nan, 0.0) if flat else _cbl(pixels, rising, where, size),
        (sums(_ranks(by_height, rising).reshape(pixels.shape), where) - size * (size + 1) / 2) / (size * (pixels.size - size)),
        np.where(np.isnan(size), np.nan, sums(peaks.astype(np.float64), where) / peaks.sum()),
    )


def _cbl(pixels: Array, rising: Array, where: Regions, size: Array) -> Array:
    """(I - A k/N) / (T - A k/N): evidence in the region above chance, over the most that the same map could have there."""
    most = np.concatenate([[0.0], np.cumsum(rising[::-1])])
    best = most[np.nan_to_num(size).astype(np.int64)]
    chance = most[-1] * size / pixels.size
    return np.asarray((sums(pixels, where) - chance) / (best - chance))


def _ranks(by_height: npt.NDArray[np.int64], rising: Array) -> Array:
    """The rank of every pixel from 1, ties sharing theirs; `by_height` puts the pixels in rising order."""
    first = np.flatnonzero(np.concatenate([[True], np.diff(rising) > TIE * rising[-1]]))
    tied = np.diff(np.append(first, len(rising)))
    ranks = np.empty(len(rising))
    ranks[by_height] = np.repeat(first + (tied + 1) / 2, tied)
    return ranks


def sizes(where: Regions) -> Array:
    """How many pixels each region has [J]."""
    left, top, right, bottom = where.rectangles.T
    return np.bincount(where.owner, (right - left) * (bottom - top), where.length).astype(np.float64)


def sums(values: Array, where: Regions) -> Array:
    """The sum of the values [H, W] over each region [J]."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(np.cumsum(values, 0), 1, out=table[1:, 1:])
    left, top, right, bottom = where.rectangles.T
    each = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return np.bincount(where.owner, each, where.length).astype(np.float64)


def effective_support(pixels: Array) -> float:
    """(sum a)^2 / (N sum a^2): the share of the grid that evenly spread evidence of this unevenness would cover; NaN if empty."""
    squares = float((pixels**2).sum())
    return float(pixels.sum()) ** 2 / (pixels.size * squares) if squares else float("nan")
