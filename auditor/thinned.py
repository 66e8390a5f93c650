"""Feature maps without what lies at or below a floor: packed, they take a quarter to a tenth of the room.

What a map is between two nodes depends on both, so a node is kept as it is if it or one of its 8 neighbours is above the
floor of its channel; the others come back as the floor itself. A floor of minus infinity keeps everything.

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt


class Packed(NamedTuple):
    """n images of C channels and h x w nodes.

    `marks` uint8 [n, C, bytes]: a bit per node, set where it is kept; `values` float32: those nodes in order; `lengths`
    int64 [n]: how many of them belong to each image; `floor` float32 [C].
    """

    marks: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64]
    floor: npt.NDArray[np.float32]


def pack(maps: npt.NDArray[np.float32], floor: npt.NDArray[np.float32]) -> Packed:
    """Pack maps [n, C, h, w] over a floor [C]."""
    images, channels, height, width = maps.shape
    marks = np.empty((images, channels, height * width), np.uint8)
    values = np.empty((images, channels * height * width), np.float32)
    lengths = np.empty(images, np.int64)
    _pack(np.ascontiguousarray(maps), floor, marks, values, lengths)
    kept = [own[:length] for own, length in zip(values, lengths, strict=True)]
    return Packed(np.packbits(marks, axis=2), np.concatenate(kept), lengths, floor)


def unpack(packed: Packed, height: int, width: int) -> npt.NDArray[np.float32]:
    """The maps [n, C, h, w], raised to the floor wherever they were not kept."""
    images, channels = packed.marks.shape[:2]
    maps = np.empty((images, channels, height, width), np.float32)
    values = packed.values if len(packed.values) else np.zeros(1, np.float32)
    marks = np.unpackbits(packed.marks, axis=2, count=height * width)
    _unpack(marks, values, np.cumsum(packed.lengths) - packed.lengths, packed.floor, maps.reshape(marks.shape))
    return maps


@numba.njit(cache=True, parallel=True)
def _pack(maps, floor, marks, values, lengths):  # type: ignore[no-untyped-def]
    """Neighbours are views of one array, shifted: an index that is a sum keeps the compiler from taking many nodes at a time."""
    images, channels, height, width = maps.shape
    size = height * width
    for n in numba.prange(images):
        hot, wide = np.zeros(size + 2, np.uint8), np.zeros(size + 2 * width, np.uint8)
        west, here, east = hot[:size], hot[1 : size + 1], hot[2:]
        north, middle, south = wide[:size], wide[width : size + width], wide[2 * width :]
        at, own = np.uint64(0), values[n]
        for c in range(channels):
            plane, near, least = maps[n, c].reshape(-1), marks[n, c], floor[c]
            some = np.uint8(0)
            for i in range(size):
                here[i] = not plane[i] <= least  # so written, NaN is above any floor
            for i in range(size):
                some |= here[i]
            if not some:
                near[:] = 0
                continue
            for i in range(size):
                middle[i] = west[i] | here[i] | east[i]
            for y in range(0, size, width):  # the ends of a row are no neighbours of the next row's
                middle[y] = here[y] | (here[y + 1] if width > 1 else 0)
                middle[y + width - 1] = here[y + width - 1] | (here[y + width - 2] if width > 1 else 0)
            for i in range(size):
                near[i] = north[i] | middle[i] | south[i]
            for i in range(size):  # without a branch: what is not kept is overwritten by the next one
                own[at] = plane[i]
                at += np.uint64(near[i])
        lengths[n] = at


@numba.njit(cache=True, parallel=True)
def _unpack(marks, values, starts, floor, maps):  # type: ignore[no-untyped-def]
    last = np.uint64(len(values) - 1)
    for n in numba.prange(len(marks)):
        at = np.uint64(starts[n])
        for c in range(marks.shape[1]):
            near, plane, least = marks[n, c], maps[n, c], floor[c]
            some = np.uint8(0)
            for i in range(len(near)):
                some |= near[i]
            if not some:
                plane[:] = least
                continue
            for i in range(len(near)):
                value = values[min(at, last)]
                plane[i] = value if near[i] else least
                at += np.uint64(near[i])
