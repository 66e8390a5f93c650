"""Regions to change beside the one that is asked about: the border of an image, a frame inside it, same-size places elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .boxes import Edges, union_mask

Mask = npt.NDArray[np.bool_]


def border(height: int, width: int, share: float) -> Mask:
    """The pixels [height, width] of a band along the four edges, `share` of the shorter side wide, at least one pixel."""
    return _frame(height, width, 0, max(1, round(share * min(height, width))))


def frame_inside(height: int, width: int, share: float) -> Mask:
    """The thinnest frame right inside that band with at least as many pixels; ValueError where there is none."""
    outer, size = max(1, round(share * min(height, width))), border(height, width, share).sum()
    for inner in range(outer + 1, (min(height, width) + 1) // 2 + 1):
        found = _frame(height, width, outer, inner)
        if found.sum() >= size:
            return found
    raise ValueError(f"inside a border of {outer} pixels of {height} x {width} there are fewer pixels than in it")


def _frame(height: int, width: int, outer: int, inner: int) -> Mask:
    """What lies at least `outer` and less than `inner` pixels from the nearest edge."""
    rows, columns = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in (height, width))
    depth = np.minimum(rows[:, None], columns[None, :])
    return (depth >= outer) & (depth < inner)


def elsewhere(boxes: Sequence[Edges], taken: Mask, random: np.random.Generator) -> list[Edges] | None:
    """Boxes of the same sizes that touch neither what is taken [H, W] nor each other; None where there is no room.

    Each is drawn evenly from all the places that are left for it.
    """
    taken, found = taken.copy(), []
    for box in boxes:
        height, width = box.bottom - box.top, box.right - box.left
        tops, lefts = np.nonzero(_counts(taken, height, width) == 0)
        if not len(tops):
            return None
        place = random.integers(len(tops))
        moved = Edges(int(lefts[place]), int(tops[place]), int(lefts[place]) + width, int(tops[place]) + height)
        taken |= union_mask([moved], *taken.shape)
        found.append(moved)
    return found


def _counts(taken: Mask, height: int, width: int) -> npt.NDArray[np.int64]:
    """How many pixels are taken in the box of this size at every top and left."""
    sums = np.zeros((taken.shape[0] + 1, taken.shape[1] + 1), np.int64)
    sums[1:, 1:] = taken.cumsum(0, dtype=np.int64).cumsum(1)
    return sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
