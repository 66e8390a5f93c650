"""A laterality marker as it is burned into a film: a block letter in the upper corner of the side it names."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Letter = Literal["L", "R"]

_LETTERS = {
    "L": ("#....", "#....", "#....", "#....", "#....", "#####"),
    "R": ("####.", "#...#", "####.", "#.#..", "#..#.", "#...#"),
}


@lru_cache(maxsize=64)
def letter(name: Letter, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Its pixels [height, width]: 6 % of the width, 8.5 % of the height. L stands at the patient's left, the right of the picture."""
    glyph = np.array([[cell == "#" for cell in line] for line in _LETTERS[name]])
    column = np.floor((_centres(width) - (0.915 if name == "L" else 0.025)) / 0.06 * 5).astype(int)
    row = np.floor((_centres(height) - 0.03) / 0.085 * 6).astype(int)
    inside = ((row >= 0) & (row < 6))[:, None] & ((column >= 0) & (column < 5))
    mask: npt.NDArray[np.bool_] = inside & glyph[row.clip(0, 5)[:, None], column.clip(0, 4)]
    mask.setflags(write=False)
    return mask


@lru_cache(maxsize=64)
def letter_bounds(name: Letter, height: int, width: int) -> tuple[int, int, int, int] | None:
    """The tight box (left, top, right, bottom) of its pixels, right and bottom exclusive; None where the grid is too coarse for it."""
    rows, columns = np.nonzero(letter(name, height, width))
    if not len(rows):
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def _centres(count: int) -> npt.NDArray[np.float32]:
    """Centres of the pixels along a side as fractions of it."""
    return (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
