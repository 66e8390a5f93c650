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
from .concept_cells import cells_in_regions, corners
from .concept_cells import components as by_cells
from .concept_pixels import components as by_pixels
from .concept_reach import reach

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
    members = np.zeros((len(used), height, width), np.uint64)
    rows = np.zeros((len(used), height), np.uint64)
    _mark(members, rows, row, bit, regions)
    places = _places(members, rows, maps.shape[2], maps.shape[3], down.lower, across.lower)
    parts = _count_blocks(
        maps if len(used) == len(maps) else maps[used], limits[used], members, rows, *places, int(bit.max()) + 1, tuple(down),
        tuple(across), tuple(corners(down, maps.shape[2])), tuple(corners(across, maps.shape[3])), crop, holes,
    )  # fmt: skip
    totals = parts.sum(1)
    return Counts(totals[row, 0, bit], totals[row, 1, bit])


@numba.njit(cache=True)
def _mark(members, rows, row, bit, regions):  # type: ignore[no-untyped-def]
    """Set bit `bit[p]` of every pixel of image `row[p]` in region p, and of its pixel row."""
    for p in range(len(row)):
        flag = np.uint64(1) << np.uint64(bit[p])
        for y in range(regions.shape[1]):
            some = np.uint8(0)
            for x in range(regions.shape[2]):
                some |= np.uint8(regions[p, y, x])
            if some:
                rows[row[p], y] |= flag
                for x in range(regions.shape[2]):
                    members[row[p], y, x] |= flag if regions[p, y, x] else np.uint64(0)


@numba.njit(cache=True)
def _places(members, rows, tall, wide, lower_y, lower_x):  # type: ignore[no-untyped-def]
    """The nodes that pixels of a region are mixed from, of each image, and how many [N] there are; of each cell the regions that
    hold all or some of it."""
    images = len(members)
    under, known = np.empty((images, tall * wide, 2), np.int64), np.zeros(images, np.int64)
    whole, some = np.empty((images, tall, wide), np.uint64), np.empty((images, tall, wide), np.uint64)
    for n in range(images):
        cells_in_regions(members[n], rows[n], lower_y, lower_x, whole[n], some[n])
        for y in range(tall):
            for x in range(wide):
                up, left = max(y - 1, 0), max(x - 1, 0)
                if some[n, y, x] | some[n, up, x] | some[n, y, left] | some[n, up, left] != 0:
                    under[n, known[n], 0], under[n, known[n], 1] = y, x
                    known[n] += 1
    return under, whole, some, known


@numba.njit(cache=True, parallel=True)
def _count_blocks(  # type: ignore[no-untyped-def]
    maps, limits, members, rows, under, whole, some, known, bits, down, across, corners_y, corners_x, crop, holes
):
    """Counts [N, blocks, 2, bits]: disjoint and unique of each block of channels of each image."""
    images, channels, tall, wide = maps.shape
    height, width = members.shape[1:]
    blocks = (channels + BLOCK - 1) // BLOCK
    counts = np.zeros((images, blocks, 2, bits), np.int64)
    lower_y, upper_y, weight_y = down
    lower_x, _, weight_x = across
    pixel_y, first_y, last_y = corners_y
    pixel_x, first_x, last_x = corners_x
    tops, starts = np.searchsorted(lower_y, np.arange(tall + 1)), np.searchsorted(lower_x, np.arange(wide + 1))
    for job in numba.prange(images * blocks):
        image, block = job // blocks, job % blocks
        room = height * ((width + 1) // 2)
        parent, holed, seen = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.uint64)
        runs = np.empty((2, (width + 1) // 2, 3), np.int32)
        row, here = np.empty(wide, np.float64), np.zeros(bits, np.int64)
        near, queue, extent = (
            np.empty((tall, wide), np.bool_),
            np.empty((tall * wide, 2), np.int32),
            np.empty((tall, 2), np.int64),
        )
        spots = len(pixel_y) * len(pixel_x)
        labels = np.zeros((len(pixel_y) + 1, len(pixel_x) + 2), np.int32)
        above, touched = np.empty(spots + 1, np.int32), np.empty(spots + 1, np.uint64)
        hot = np.empty((tall * wide + 1, 2), np.int64)
        for channel in range(block * BLOCK, min(channels, (block + 1) * BLOCK)):
            plane, limit = maps[image, channel], limits[image, channel]
            reached = reach(plane, limit, under[image, : known[image]], near, queue, extent, tall / height, wide / width)
            if reached[1] < 0:
                continue
            here[:] = 0
            done = not (crop or holes) and by_cells(
                plane, limit, near, reached, members[image], whole[image], some[image], lower_y, weight_y, lower_x, weight_x,
                pixel_y, first_y, last_y, pixel_x, first_x, last_x, labels, above, touched, hot, here,
            )  # fmt: skip
            for turn in range(0 if done else bits if crop else 1):
                only = np.uint64(1) << np.uint64(turn) if crop else np.uint64(0)
                by_pixels(
                    plane, limit, members[image], rows[image], only, lower_y, upper_y, weight_y, weight_x, tops, starts,
                    row, near, reached, extent, runs, parent, holed, seen, holes, here,
                )  # fmt: skip
            for region in range(bits):
                counts[image, block, 0, region] += here[region]
                counts[image, block, 1, region] += here[region] > 0
    return counts
