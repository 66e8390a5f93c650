"""Boxes on the pixel grid a network sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .dataset import Box

Rounding = Literal["outward", "trunc"]

GRAIN = 1e-6
"""Edges this close to a pixel border, in pixels, lie on it: 14/48 of an image need not come out as whole pixels."""


class Edges(NamedTuple):
    """Pixel columns left..right-1 and rows top..bottom-1."""

    left: int
    top: int
    right: int
    bottom: int


class Frame(NamedTuple):
    """The part of an image that the network sees, as fractions of its width and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0


def usable(box: Box) -> Box | str:
    """The box clipped to the image, or the reason why it cannot be used."""
    edges = (box.left, box.top, box.right, box.bottom)
    if not all(math.isfinite(edge) for edge in edges):
        return "box edge is not a number"
    if box.right <= box.left or box.bottom <= box.top:
        return "box has no area"
    clipped = Box(box.label, *(min(max(edge, 0.0), 1.0) for edge in edges))
    if clipped.right <= clipped.left or clipped.bottom <= clipped.top:
        return "box outside the image"
    return clipped


def resized(box: Box, scale: float) -> Box:
    """The box about its own centre with its sides `scale` times as long, clipped to the image.

    >>> resized(Box("Mass", 0.25, 0.5, 0.75, 1.0), 0.5)
    Box(label='Mass', left=0.375, top=0.625, right=0.625, bottom=0.875)
    """
    if scale == 1:
        return box
    across, down = (scale - 1) * (box.right - box.left) / 2, (scale - 1) * (box.bottom - box.top) / 2
    edges = (box.left - across, box.top - down, box.right + across, box.bottom + down)
    return Box(box.label, *(min(max(edge, 0.0), 1.0) for edge in edges))


def within(box: Box, frame: Frame) -> Box | None:
    """The box in fractions of the frame, clipped to it; None when nothing of it is left."""
    width, height = frame.right - frame.left, frame.bottom - frame.top
    left, right = (box.left - frame.left) / width, (box.right - frame.left) / width
    top, bottom = (box.top - frame.top) / height, (box.bottom - frame.top) / height
    moved = usable(Box(box.label, left, top, right, bottom))
    return moved if isinstance(moved, Box) else None


def pixel_edges(box: Box, height: int, width: int, rounding: Rounding = "outward") -> Edges:
    """Whole pixels of a box: `outward` is floor of left/top and ceil of right/bottom, at least one pixel (methods A.7
    row 11); `trunc` truncates all four, as the repository of the paper does, and may leave nothing.

    >>> nih = Box("Nodule", 225.084746 / 1024, 547.019217 / 1024, 311.864407 / 1024, 626.205658 / 1024)
    >>> pixel_edges(nih, 224, 224)
    Edges(left=49, top=119, right=69, bottom=137)
    """
    sides = (box.left * width, box.right * width, box.top * height, box.bottom * height)
    left, right, top, bottom = (round(side) if abs(side - round(side)) < GRAIN else side for side in sides)
    if rounding == "trunc":
        return Edges(int(left), int(top), int(right), int(bottom))
    x, y = min(math.floor(left), width - 1), min(math.floor(top), height - 1)
    return Edges(x, y, min(max(math.ceil(right), x + 1), width), min(max(math.ceil(bottom), y + 1), height))


def union_mask(edges: Iterable[Edges], height: int, width: int) -> npt.NDArray[np.bool_]:
    """True [height, width] on every pixel of any box."""
    mask = np.zeros((height, width), bool)
    for box in edges:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def union_masks(cases: Sequence[Iterable[Edges]], height: int, width: int) -> npt.NDArray[np.bool_]:
    """`union_mask` of every case, [P, height, width]."""
    return np.stack([union_mask(edges, height, width) for edges in cases]) if cases else np.zeros((0, height, width), bool)
