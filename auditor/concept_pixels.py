"""Counts the concepts of one map row by row, as runs of active pixels joined by union-find.

Exact for any map, and the only way where the map is cut to the region first or holes count.

numba does not notice changes of a file in the caches of its callers: delete *.nbi after editing.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def components(  # type: ignore[no-untyped-def]
    plane, limit, members, rows, only, lower, upper, down, across, tops, starts,
    row, near, reached, extent, runs, parent, holed, seen, holes, counts,
):  # fmt: skip
    """Add to `counts` [bits] the components of one map that touch each region; `only` cuts the map to one region first.

    `near`, `reached` and `extent` as `auditor.concept_reach` left them.
    """
    labels = np.int32(0)
    above = 0
    width = near.shape[1]
    first, last, low, high = 0, 0, -1, -1
    top, bottom = max(reached[0] - 1, 0), reached[1] + 1
    for y in range(tops[top], tops[bottom]):
        side, here = y % 2, 0
        if lower[y] != low or upper[y] != high:
            low, high = lower[y], upper[y]
            first = max(min(extent[low, 0], extent[high, 0]) - 1, 0)
            last = max(extent[low, 1], extent[high, 1]) + 1
        if first < last and mix_row(plane, low, high, down[y], row, limit, first, min(last + 1, width)):
            if only == 0:
                here = _runs_of_row(row, limit, across, starts, runs, side, near, low, high, first, last)
            elif rows[y] & only != 0:
                here = _runs_of_cut_row(row, limit, across, starts, members, y, only, runs, side, first, last)
        if here == 0:
            above = 0
            continue
        labels = _join(runs, side, above, here, labels, parent, holed, seen)
        if rows[y] != 0:
            for r in range(here):
                label = _root(parent, runs[side, r, 2])
                for x in range(runs[side, r, 0], runs[side, r, 1]):
                    seen[label] |= members[y, x]
        above = here
    for label in range(labels):
        if parent[label] == label and seen[label] != 0:
            worth = 1 + (holed[label] if holes else 0)
            for region in range(len(counts)):
                flag = np.uint64(1) << np.uint64(region)
                if seen[label] & flag and (only == 0 or only == flag):
                    counts[region] += worth


@numba.njit(cache=True, inline="always")
def mix_row(plane, low, high, weight, row, limit, first, end):  # type: ignore[no-untyped-def]
    """Fill `row[first:end]` with the map between two rows of nodes; whether any of it is above the limit.

    a + weight * (b - a) is exactly a where a equals b, and never beyond them: no pixel exceeds its nodes by rounding.
    """
    hot = False
    for x in range(first, end):
        a, b = np.float64(plane[low, x]), np.float64(plane[high, x])
        row[x] = a + weight * (b - a)
        hot |= row[x] > limit
    return hot


@numba.njit(cache=True, inline="always")
def _runs_of_row(row, limit, across, starts, runs, side, near, low, high, begin, stop):  # type: ignore[no-untyped-def]
    """Write the [start, end) of each run of active pixels; how many. Between two nodes the row is monotone.

    Between nodes that are not near, nothing belongs to a component that counts.
    """
    found, start = 0, -1
    nodes = len(row)
    for cell in range(begin, stop):
        first, end, after = starts[cell], starts[cell + 1], min(cell + 1, nodes - 1)
        if first == end:
            continue
        if not (near[low, cell] or near[high, cell] or near[low, after] or near[high, after]):
            if start >= 0:
                runs[side, found, 0], runs[side, found, 1] = start, first
                found, start = found + 1, -1
            continue
        a, b = row[cell], row[after]
        hot, change = a > limit, end
        if hot != (b > limit):
            change = _change(a, b, limit, across, first, end)
        if start >= 0 and not hot and change > first:
            runs[side, found, 0], runs[side, found, 1] = start, first
            found, start = found + 1, -1
        if start < 0 and (change > first if hot else change < end):
            start = first if hot else change
        if start >= 0 and hot and change < end:
            runs[side, found, 0], runs[side, found, 1] = start, change
            found, start = found + 1, -1
    if start >= 0:
        runs[side, found, 0], runs[side, found, 1] = start, starts[stop]
        found += 1
    return found


@numba.njit(cache=True, inline="always")
def _change(a, b, limit, across, first, end):  # type: ignore[no-untyped-def]
    """The first pixel between two nodes that is not on a's side of the limit, or `end`.

    A guess from the slope, put right by looking at the pixels themselves.
    """
    hot = a > limit
    share = (limit - a) / (b - a)
    guess = first + np.int64(share * (end - first))
    pixel = min(max(guess, first), end)
    while pixel > first and (a + across[pixel - 1] * (b - a) > limit) != hot:
        pixel -= 1
    while pixel < end and (a + across[pixel] * (b - a) > limit) == hot:
        pixel += 1
    return pixel


@numba.njit(cache=True)
def _runs_of_cut_row(row, limit, across, starts, members, y, only, runs, side, begin, stop):  # type: ignore[no-untyped-def]
    """The same for a row that is cut to one region."""
    found, start = 0, -1
    for cell in range(begin, stop):
        a, b = row[cell], row[min(cell + 1, len(row) - 1)]
        for x in range(starts[cell], starts[cell + 1]):
            active = members[y, x] & only != 0 and a + across[x] * (b - a) > limit
            if active and start < 0:
                start = x
            elif not active and start >= 0:
                runs[side, found, 0], runs[side, found, 1] = start, x
                found, start = found + 1, -1
    if start >= 0:
        runs[side, found, 0], runs[side, found, 1] = start, starts[stop]
        found += 1
    return found


@numba.njit(cache=True, inline="always")
def _join(runs, side, above, here, labels, parent, holed, seen):  # type: ignore[no-untyped-def]
    """Label the runs of a row by those of the row before that they touch by a side or a corner; the number of labels.

    A run that touches one component in two places closes a ring: one hole.
    """
    first = 0
    for r in range(here):
        start, end, label = runs[side, r, 0], runs[side, r, 1], np.int32(-1)
        while first < above and runs[1 - side, first, 1] < start:
            first += 1
        other = first
        while other < above and runs[1 - side, other, 0] <= end:
            root = _root(parent, runs[1 - side, other, 2])
            if label < 0:
                label = root
            elif root == label:
                holed[label] += 1
            else:
                parent[root] = label
                holed[label] += holed[root]
                seen[label] |= seen[root]
            other += 1
        if label < 0:
            label = labels
            parent[label], holed[label], seen[label] = label, 0, np.uint64(0)
            labels += np.int32(1)
        runs[side, r, 2] = label
    return labels


@numba.njit(cache=True, inline="always")
def _root(parent, label):  # type: ignore[no-untyped-def]
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label
