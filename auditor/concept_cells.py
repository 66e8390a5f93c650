"""Counts the concepts of one map from the corner pixels of its cells.

A cell is the pixels between four neighbouring nodes. Inside it the map is linear along every row and every column, so an
active pixel always lies in one piece with an active corner of its cell, and the pieces and their neighbours are known from
the corners alone; only two diagonal corners without a third are looked at pixel by pixel. Rounding cannot change that
unless a corner is within TIE of the limit: such maps are handed back and counted by `auditor.concept_pixels`.

A function that numba inlines or calls counts the references of each array it is given, which cost more than labelling a pixel: the
labels are written in the loop itself. numba does not notice changes of a file in the caches of its callers: delete *.nbi after editing.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from .bilinear import Steps

TIE = 1e-12
"""Relative to the values that are mixed; a hundred times what rounding can do, and far below what float32 maps resolve."""


class Corners(NamedTuple):
    """The corner pixels along one axis: `pixel` [R] rising; `first`, `last` [cells]: the corners of each cell, -1 where it has no pixel."""

    pixel: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]


def corners(axis: Steps, nodes: int) -> Corners:
    """The first and the last pixel of every cell; a cell of one pixel has one corner."""
    starts, ends = np.searchsorted(axis.lower, np.arange(nodes)), np.searchsorted(axis.lower, np.arange(nodes), "right") - 1
    filled = ends >= starts
    pixel = np.unique(np.concatenate([starts[filled], ends[filled]]))
    first, last = np.full(nodes, -1), np.full(nodes, -1)
    first[filled], last[filled] = np.searchsorted(pixel, starts[filled]), np.searchsorted(pixel, ends[filled])
    return Corners(pixel, first, last)


@numba.njit(cache=True)
def cells_in_regions(members, rows, lower, across, whole, some):  # type: ignore[no-untyped-def]
    """Note of each cell [h, w] of one image in `some` the bits of the regions with a pixel in it, in `whole` of those that hold all of it."""
    height, width = members.shape
    some[:], whole[:] = 0, 0
    top = 0
    while top < height:
        bottom, any_row = top, np.uint64(0)
        while bottom < height and lower[bottom] == lower[top]:
            any_row |= rows[bottom]
            bottom += 1
        left = 0
        while any_row != 0 and left < width:
            right = left
            while right < width and across[right] == across[left]:
                right += 1
            united, shared = np.uint64(0), ~np.uint64(0)
            for y in range(top, bottom):
                for x in range(left, right):
                    united |= members[y, x]
                    shared &= members[y, x]
            some[lower[top], across[left]], whole[lower[top], across[left]] = united, shared
            left = right
        top = bottom


@numba.njit(cache=True)
def components(  # type: ignore[no-untyped-def]
    plane, limit, near, reached, members, whole, some, lower_y, weight_y, lower_x, weight_x,
    pixel_y, first_y, last_y, pixel_x, first_x, last_x, labels, parent, seen, hot, counts,
):  # fmt: skip
    """Add to `counts` [bits] the components of one map that touch each region; False if the map is too close to its limit.

    `near` [h, w] marks the nodes above the limit that matter, `reached` their first and last row.
    """
    tall, wide = plane.shape
    top, bottom = max(reached[0] - 1, 0), reached[1] + 1
    begin, end = _rows_of(first_y, last_y, top, bottom)
    labels[begin : end + 1] = 0  # with a row and a column of nothing around the corners
    used, active = np.int32(0), 0
    for cell in range(top, bottom):
        if first_y[cell] < 0:
            continue
        below, count = min(cell + 1, tall - 1), active
        before = near[cell, 0] | near[below, 0]
        for x in range(wide):  # without a branch: what is not listed is overwritten by the next one
            beside = min(x + 1, wide - 1)
            after = near[cell, beside] | near[below, beside]
            hot[count, 0], hot[count, 1] = cell, x
            count += 1 if (before or after) and first_x[x] >= 0 else 0
            before = after
        for r in range(first_y[cell], last_y[cell] + 1):
            share = weight_y[pixel_y[r]]
            for i in range(active, count):
                x = hot[i, 1]
                beside = min(x + 1, wide - 1)
                p, q = np.float64(plane[cell, x]), np.float64(plane[cell, beside])
                a = p + share * (np.float64(plane[below, x]) - p)
                b = q + share * (np.float64(plane[below, beside]) - q)
                if not (a > limit or b > limit):
                    continue
                for k in range(first_x[x], last_x[x] + 1):
                    value = a + weight_x[pixel_x[k]] * (b - a)
                    if a != b and abs(value - limit) <= TIE * (abs(a) + abs(b) + abs(limit)):
                        return False
                    if not value > limit:
                        continue
                    west, north = labels[r + 1, k], labels[r, k + 1]
                    label = west if north == 0 else north
                    if north > 0:
                        if west > 0 and west != north:
                            label = _joined(parent, seen, west, north)
                    else:
                        for corner in range(k - 1 if west == 0 else k + 1, k + 2, 2):
                            other = labels[r, corner + 1]
                            if other > 0 and _meet(
                                plane, limit, lower_y, weight_y, lower_x, weight_x, pixel_y[r - 1], pixel_y[r], pixel_x[corner],
                                pixel_x[k],
                            ):  # fmt: skip
                                label = _joined(parent, seen, label if label > 0 else other, other)
                    if label == 0:
                        used += np.int32(1)
                        label = used
                        parent[label], seen[label] = label, np.uint64(0)
                    labels[r + 1, k + 1] = label
        above, last = first_y[cell], last_y[cell]
        for i in range(active, count):
            x = hot[i, 1]
            one, two = first_x[x], last_x[x]
            labelled = (
                labels[above + 1, one + 1] + labels[above + 1, two + 1] + labels[last + 1, one + 1] + labels[last + 1, two + 1]
            )
            if labelled > 0 and some[cell, x] != 0:
                hot[active, 0], hot[active, 1] = cell, x
                active += 1
    _note_regions(
        plane, limit, hot[:active], members, whole, some, lower_y, weight_y, lower_x, weight_x, pixel_y, first_y, last_y, pixel_x,
        first_x, last_x, labels, parent, seen,
    )  # fmt: skip
    for label in range(1, used + 1):
        if parent[label] == label and seen[label] != 0:
            for region in range(len(counts)):
                counts[region] += np.int64((seen[label] >> np.uint64(region)) & np.uint64(1))
    return True


@numba.njit(cache=True)
def _note_regions(  # type: ignore[no-untyped-def]
    plane, limit, hot, members, whole, some, lower_y, weight_y, lower_x, weight_x, pixel_y, first_y, last_y, pixel_x, first_x,
    last_x, labels, parent, seen,
):  # fmt: skip
    """Note of each piece which regions it has a pixel in, going through its cells `hot` [?, 2]."""
    for turn in range(2):  # what holds a cell as a whole first: then fewer pixels must be looked at
        for i in range(len(hot)):
            row, column = hot[i, 0], hot[i, 1]
            above, below, left, right = first_y[row], last_y[row], first_x[column], last_x[column]
            west = max(labels[above + 1, left + 1], labels[below + 1, left + 1])
            east = max(labels[above + 1, right + 1], labels[below + 1, right + 1])
            west, east = _root(parent, west if west > 0 else east), _root(parent, east if east > 0 else west)
            if turn == 0:
                seen[west] |= whole[row, column]
                seen[east] |= whole[row, column]
            elif some[row, column] & ~(seen[west] & seen[east]) != 0:
                _see(
                    plane, limit, lower_y, weight_y, lower_x, weight_x, pixel_y[above], pixel_y[below], pixel_x[left], pixel_x[right],
                    members, west, east, seen,
                )  # fmt: skip


@numba.njit(cache=True)
def _rows_of(first, last, top, bottom):  # type: ignore[no-untyped-def]
    """The range of corner rows of cells top to bottom - 1."""
    begin, end = len(first) * 2, 0
    for cell in range(top, bottom):
        if first[cell] >= 0:
            begin, end = min(begin, first[cell]), max(end, last[cell] + 1)
    return min(begin, end), end


@numba.njit(cache=True, inline="always")
def _joined(parent, seen, one, other):  # type: ignore[no-untyped-def]
    one, other = _root(parent, one), _root(parent, other)
    if one != other:
        parent[other] = one
        seen[one] |= seen[other]
    return one


@numba.njit(cache=True, inline="always")
def _root(parent, label):  # type: ignore[no-untyped-def]
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@numba.njit(cache=True)
def _pixel(plane, lower_y, weight_y, lower_x, weight_x, y, x):  # type: ignore[no-untyped-def]
    """The upsampled map at a pixel, with the very same rounding as row by row."""
    top, left = lower_y[y], lower_x[x]
    below, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
    a, b = np.float64(plane[top, left]), np.float64(plane[below, left])
    c, d = np.float64(plane[top, right]), np.float64(plane[below, right])
    one, two = a + weight_y[y] * (b - a), c + weight_y[y] * (d - c)
    return one + weight_x[x] * (two - one)


@numba.njit(cache=True)
def _meet(plane, limit, lower_y, weight_y, lower_x, weight_x, top, bottom, above, below):  # type: ignore[no-untyped-def]
    """Whether the piece at (top, above) meets the one at (bottom, below), diagonal corners of a cell or of neighbouring cells.

    Seen from the first corner downwards the column `above` is active to some row, seen from the second upwards `below` is.
    """
    if bottom == top + 1 and abs(above - below) == 1:
        return True
    end = top
    while end < bottom and _pixel(plane, lower_y, weight_y, lower_x, weight_x, end + 1, above) > limit:
        end += 1
    start = bottom
    while start > top and _pixel(plane, lower_y, weight_y, lower_x, weight_x, start - 1, below) > limit:
        start -= 1
    if start <= end:
        return True
    if start > end + 1:
        return False
    step = 1 if below > above else -1
    reach = above
    while reach != below and _pixel(plane, lower_y, weight_y, lower_x, weight_x, end, reach + step) > limit:
        reach += step
    back = below
    while back != above and _pixel(plane, lower_y, weight_y, lower_x, weight_x, start, back - step) > limit:
        back -= step
    return (back - reach) * step <= 1


@numba.njit(cache=True)
def _see(plane, limit, lower_y, weight_y, lower_x, weight_x, top, bottom, left, right, members, west, east, seen):  # type: ignore[no-untyped-def]
    """Note for the pieces at the two sides of a cell, which may be one, which regions they have a pixel in."""
    a_row, b_row = lower_y[top], min(lower_y[top] + 1, plane.shape[0] - 1)
    a_column, b_column = lower_x[left], min(lower_x[left] + 1, plane.shape[1] - 1)
    p, q = np.float64(plane[a_row, a_column]), np.float64(plane[a_row, b_column])
    down, down_too = np.float64(plane[b_row, a_column]) - p, np.float64(plane[b_row, b_column]) - q
    for y in range(top, bottom + 1):
        a, b = p + weight_y[y] * down, q + weight_y[y] * down_too
        first = a + weight_x[left] * (b - a) > limit
        if first or a + weight_x[right] * (b - a) > limit:
            piece = west if first else east
            for x in range(left, right + 1):
                if members[y, x] & ~seen[piece] != 0 and a + weight_x[x] * (b - a) > limit:
                    seen[piece] |= members[y, x]
