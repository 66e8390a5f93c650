"""Sums over rectangles of a grid, from one table of running sums.

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def rectangle_sums(values, rectangles):  # type: ignore[no-untyped-def]
    """The sum of the values [H, W] over each rectangle [R, 4] (left, top, right, bottom)."""
    height, width = values.shape
    table = np.zeros((height + 1, width + 1))
    for y in range(height):
        running = 0.0
        for x in range(width):
            running += values[y, x]
            table[y + 1, x + 1] = table[y, x + 1] + running
    found = np.empty(len(rectangles))
    for r in range(len(rectangles)):
        left, top, right, bottom = rectangles[r]
        found[r] = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return found


@numba.njit(cache=True)
def ranks_and_best(order, rising, tie):  # type: ignore[no-untyped-def]
    """The rank of every value from 1, ties sharing theirs, and the sum of the k largest, k = 0 ... n.

    `order` puts the n values in rising order; neighbours at most `tie` apart are tied.
    """
    n = len(rising)
    ranks, best = np.empty(n), np.zeros(n + 1)
    first = 0
    for i in range(n):
        best[i + 1] = best[i] + rising[n - 1 - i]
        if i + 1 == n or rising[i + 1] - rising[i] > tie:
            for j in range(first, i + 1):
                ranks[order[j]] = (first + i) / 2 + 1
            first = i + 1
    return ranks, best
