"""Counts concepts: connected bright regions of upsampled feature maps that touch a region of the image (docs/methods.md A.6).

A map is upsampled bilinearly row by row, pixels strictly above the channel's threshold are joined into 8-connected
components, whole components are labelled first, and those with a pixel in the region count. Nothing of the size
channels x height x width is ever built: rows live in registers and runs, as in run-length labelling with union-find.

This module imports numba; import it inside the function that counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from .bilinear import steps

REGIONS_AT_ONCE = 64
BLOCK = 32
"""Channels that one worker takes at a time."""


class Counts(NamedTuple):
    """Per region: components over all channels, and channels that have at least one; both int64 [P]."""

    disjoint: npt.NDArray[np.int64]
    unique: npt.NDArray[np.int64]


def count_concepts(
    maps: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.float64],
    image: npt.NDArray[np.int64],
    regions: npt.NDArray[np.bool_],
    *,
    crop: bool = False,
    holes: bool = False,
) -> Counts:
    """Concepts of maps [N, C, h, w] in P regions [P, H, W], region p being one of image `image[p]`.

    `thresholds` [C] or [N, C]; a pixel is active when it is greater. Each map is labelled once however many regions its
    image has. With `crop` the map is cut to the region before it is labelled; with `holes` each hole in a component counts
    as one more, as the contours of cv2.findContours(RETR_TREE) do (docs/methods.md A.7 rows 2 and 3).
    """
    found = Counts(np.zeros(len(image), np.int64), np.zeros(len(image), np.int64))
    place = _place_in_image(image)
    limits = np.ascontiguousarray(np.broadcast_to(np.asarray(thresholds, np.float64), maps.shape[:2]))
    for first in range(0, int(place.max(initial=-1)) + 1, REGIONS_AT_ONCE):
        rows = np.flatnonzero((place >= first) & (place < first + REGIONS_AT_ONCE))
        each = _count(maps, limits, image[rows], place[rows] - first, regions[rows], crop, holes)
        found.disjoint[rows], found.unique[rows] = each.disjoint, each.unique
    return found


def _place_in_image(image: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 for the first region of an image, 1 for its second ..."""
    order = np.argsort(image, kind="stable")
    ranked = image[order]
    place = np.empty_like(image)
    place[order] = np.arange(len(image)) - np.searchsorted(ranked, ranked)
    return place


def _count(
    maps: npt.NDArray[np.float32],
    limits: npt.NDArray[np.float64],
    image: npt.NDArray[np.int64],
    bit: npt.NDArray[np.int64],
    regions: npt.NDArray[np.bool_],
    crop: bool,
    holes: bool,
) -> Counts:
    used, row = np.unique(image, return_inverse=True)
    height, width = regions.shape[1:]
    down, across = steps(maps.shape[2], height), steps(maps.shape[3], width)
    starts = np.searchsorted(across.lower, np.arange(maps.shape[3] + 1))
    tops = np.searchsorted(down.lower, np.arange(maps.shape[2] + 1))
    members = np.zeros((len(used), height, width), np.uint64)
    rows = np.zeros((len(used), height), np.uint64)
    support = np.zeros((len(used), *maps.shape[2:]), np.bool_)
    _mark(members, rows, support, row, bit, regions, regions.any(2), down.lower, down.upper, across.lower, across.upper)
    parts = _count_blocks(
        maps if len(used) == len(maps) else maps[used], limits[used], members, rows, support, int(bit.max()) + 1,
        down.lower, down.upper, down.weight, across.weight, tops, starts, crop, holes,
    )  # fmt: skip
    totals = parts.sum(1)
    return Counts(totals[row, 0, bit], totals[row, 1, bit])


@numba.njit(cache=True)
def _mark(members, rows, support, row, bit, regions, filled, top, bottom, left, right):  # type: ignore[no-untyped-def]
    """Set bit `bit[p]` of every pixel of image `row[p]` in region p, and of its pixel row; mark the nodes it is mixed from."""
    for p in range(len(row)):
        flag = np.uint64(1) << np.uint64(bit[p])
        for y in range(regions.shape[1]):
            if not filled[p, y]:
                continue
            rows[row[p], y] |= flag
            nodes = support[row[p]]
            for x in range(regions.shape[2]):
                if regions[p, y, x]:
                    members[row[p], y, x] |= flag
                    nodes[top[y], left[x]] = nodes[top[y], right[x]] = True
                    nodes[bottom[y], left[x]] = nodes[bottom[y], right[x]] = True


@numba.njit(cache=True, parallel=True)
def _count_blocks(maps, limits, members, rows, support, bits, lower, upper, down, across, tops, starts, crop, holes):  # type: ignore[no-untyped-def]
    """Counts [N, blocks, 2, bits]: disjoint and unique of each block of channels of each image."""
    images, channels = maps.shape[:2]
    height, width = members.shape[1:]
    blocks = (channels + BLOCK - 1) // BLOCK
    counts = np.zeros((images, blocks, 2, bits), np.int64)
    for job in numba.prange(images * blocks):
        image, block = job // blocks, job % blocks
        room = height * ((width + 1) // 2)
        parent, holed, seen = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint64)
        runs = np.empty((2, (width + 1) // 2, 3), np.int32)
        row, here = np.empty(maps.shape[3], np.float64), np.zeros(bits, np.int64)
        near, queue = np.empty(maps.shape[2:], np.bool_), np.empty((maps.shape[2] * maps.shape[3], 2), np.int32)
        for channel in range(block * BLOCK, min(channels, (block + 1) * BLOCK)):
            plane, limit = maps[image, channel], limits[image, channel]
            if not _reach(plane, limit, support[image], near, queue, maps.shape[2] / height, maps.shape[3] / width):
                continue
            here[:] = 0
            for turn in range(bits if crop else 1):
                only = np.uint64(1) << np.uint64(turn) if crop else np.uint64(0)
                _components(
                    plane, limit, members[image], rows[image], only, lower, upper, down, across, tops, starts,
                    row, near, runs, parent, holed, seen, holes, here,
                )  # fmt: skip
            for region in range(bits):
                counts[image, block, 0, region] += here[region]
                counts[image, block, 1, region] += here[region] > 0
    return counts


@numba.njit(cache=True)
def _reach(plane, limit, support, near, queue, step_down, step_across):  # type: ignore[no-untyped-def]
    """Mark in `near` the nodes whose surroundings can belong to a component that touches a region; whether there are any.

    An active pixel has a node above the limit within one node spacing, since a mix never exceeds its nodes. So a component
    starts at such nodes under a region, and goes on only to such nodes at most two spacings away (pixels that touch lie at
    most one pixel apart, and a pixel is never wider than a spacing), two only where the nodes between are nearly as high.
    Everything else need not be looked at. `step_down` and `step_across` are the width of a pixel in node spacings.
    """
    height, width = plane.shape
    found = 0
    for y in range(height):
        for x in range(width):
            near[y, x] = support[y, x] and plane[y, x] > limit
            if near[y, x]:
                queue[found, 0], queue[found, 1] = y, x
                found += 1
    done = 0
    while done < found:
        row, column = queue[done, 0], queue[done, 1]
        done += 1
        for y in range(max(row - 2, 0), min(row + 3, height)):
            for x in range(max(column - 2, 0), min(column + 3, width)):
                if near[y, x] or not plane[y, x] > limit:
                    continue
                if abs(y - row) == 2 and not _bridged(plane, (y + row) // 2, min(x, column), max(x, column), limit, step_down):
                    continue
                if abs(x - column) == 2 and not _bridged(
                    plane.T, (x + column) // 2, min(y, row), max(y, row), limit, step_across
                ):
                    continue
                near[y, x] = True
                queue[found, 0], queue[found, 1] = y, x
                found += 1
    return found > 0


@numba.njit(cache=True)
def _bridged(plane, between, low, high, limit, step):  # type: ignore[no-untyped-def]
    """Whether pixels on both sides of node row `between`, around node columns low to high, can be active and touch.

    Such pixels lie at most one pixel from that row, so they are at most `step` of the way to the row beyond it.
    """
    first, end = max(low - 1, 0), min(high + 2, plane.shape[1])
    here = plane[between, first]
    above, below = plane[between - 1, first], plane[between + 1, first]
    for x in range(first, end):
        here = max(here, plane[between, x])
        above, below = max(above, plane[between - 1, x]), max(below, plane[between + 1, x])
    margin = 1e-6 * (abs(above) + abs(below) + abs(here))
    weaker = min(above, below)
    return max(here, here + step * (weaker - here)) + margin > limit


@numba.njit(cache=True)
def _components(  # type: ignore[no-untyped-def]
    plane, limit, members, rows, only, lower, upper, down, across, tops, starts,
    row, near, runs, parent, holed, seen, holes, counts,
):  # fmt: skip
    """Add to `counts` [bits] the components of one map that touch each region; `only` cuts the map to one region first."""
    labels = np.int32(0)
    above = 0
    height, width = near.shape
    first, last, low, high = 0, 0, -1, -1
    top, bottom = height, 0
    for y in range(height):
        for x in range(width):
            if near[y, x]:
                top, bottom = min(top, max(y - 1, 0)), y + 1
    for y in range(tops[top], tops[bottom]):
        side, here = y % 2, 0
        if lower[y] != low or upper[y] != high:
            low, high = lower[y], upper[y]
            first, last = width, 0
            for x in range(width):
                if near[low, x] or near[high, x]:
                    first, last = min(first, max(x - 1, 0)), x + 1
        if first < last and _mix_row(plane, low, high, down[y], row, limit, first, min(last + 1, width)):
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
def _mix_row(plane, low, high, weight, row, limit, first, end):  # type: ignore[no-untyped-def]
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
