"""Bilinear upsampling as two small steps: rows first, then columns (half-pixel centres, clamped at the border).

The same as `torch.nn.functional.interpolate(..., mode="bilinear", align_corners=False)` for any pair of sizes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Steps(NamedTuple):
    """Pixel i of `pixels` lies between node `lower[i]` and `upper[i]`, the share `weight[i]` of the way to the upper one."""

    lower: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]


@lru_cache(64)
def steps(nodes: int, pixels: int) -> Steps:
    """How `nodes` values are spread over `pixels` pixels along one axis.

    Beyond the outermost node the weight is exactly 0, so that a pixel never exceeds the nodes it is mixed from.
    """
    place = np.clip((np.arange(pixels) + 0.5) * (nodes / pixels) - 0.5, 0.0, nodes - 1.0)
    lower = np.floor(place).astype(np.int64)
    found = Steps(lower, np.minimum(lower + 1, nodes - 1), place - lower)
    for array in found:
        array.setflags(write=False)
    return found


@lru_cache(64)
def matrix(nodes: int, pixels: int) -> npt.NDArray[np.float64]:
    """The same as a matrix U [pixels, nodes]: a map M becomes Uy @ M @ Ux.T."""
    spread = steps(nodes, pixels)
    found = np.zeros((pixels, nodes))
    every = np.arange(pixels)
    np.add.at(found, (every, spread.lower), 1.0 - spread.weight)
    np.add.at(found, (every, spread.upper), spread.weight)
    found.setflags(write=False)
    return found
