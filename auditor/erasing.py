"""Taking something out of an image: what was there is filled in from what lies around it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


def filled(image: npt.NDArray[np.floating], mask: Mask) -> npt.NDArray[np.floating]:
    """The image [C, H, W] with every pixel of the mask [H, W] replaced by what lies around it; ValueError where nothing does.

    A pixel becomes the mean of the nearest pixels outside the mask to its left and right, above and below it, each weighted by
    one over its distance: an even or evenly sloping surface is restored exactly. Where there is none in any direction, as in the
    corners of a border, those filled in before take their place.
    """
    known, found = ~mask, image.copy()
    if not known.any():
        raise ValueError("the mask covers the whole image")
    while not known.all():
        down, across = np.nonzero(~known)
        total, weights = np.zeros((len(image), len(down)), image.dtype), np.zeros(len(down), image.dtype)
        for rows, columns in _nearest(known, down, across):
            there = (rows >= 0) & (columns >= 0)
            distance = np.abs(rows - down) + np.abs(columns - across)
            weight = np.where(there, 1 / np.maximum(distance, 1), 0).astype(image.dtype)
            total += weight * found[:, np.maximum(rows, 0), np.maximum(columns, 0)]
            weights += weight
        seen = weights > 0
        found[:, down[seen], across[seen]] = total[:, seen] / weights[seen]
        known = known.copy()
        known[down[seen], across[seen]] = True
    return found


def _nearest(known: Mask, down: Indices, across: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Row and column of the nearest known pixel to the left, to the right, above and below; -1 where there is none."""
    height, width = known.shape
    yield down, _before(known)[down, across]
    yield down, _turned(_before(known[:, ::-1])[down, width - 1 - across], width)
    yield _before(known.T)[across, down], across
    yield _turned(_before(known.T[:, ::-1])[across, height - 1 - down], height), across


def _before(known: Mask) -> Indices:
    """For every pixel the last known column up to it, -1 where there is none."""
    return np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)


def _turned(place: Indices, length: int) -> Indices:
    """A place counted from the other end; -1 stays."""
    return np.where(place >= 0, length - 1 - place, -1)
