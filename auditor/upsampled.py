"""Exact thresholds of feature maps that are kept whole: upsampled to the image's grid, or batch by batch.

Both are options that exist to reproduce published numbers (docs/methods.md A.7 row 1). They keep every map in memory, and the
upsampled quantile searches channels x images x height x width values, without ever holding them: it is much slower than
`auditor.thresholds`.

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

from typing import Any, Self

import numba
import numpy as np
import numpy.typing as npt

from .bilinear import steps
from .concept_pixels import mix_row
from .errors import PluginError
from .tally import Tally
from .thresholds import _keep_largest, linear


class KeptMaps(Tally):
    """Feature maps [n, C, h, w] with the ids of their images.

    The (1 - share) quantile of each channel is taken over groups of `batch` images in the order of their ids (0: all of
    them in one group); of the maps upsampled to the image's grid when `upsampled`, else of the native values.
    """

    def __init__(self, share: float, upsampled: bool, batch: int) -> None:
        self.share, self.upsampled, self.batch = share, upsampled, batch
        self.expected_images = 0
        self.images = 0
        self.height, self.width = 0, 0
        self.ids = np.zeros(0, "<U1")
        self.maps = np.zeros((0, 0, 0, 0), np.float32)
        self.ready = np.zeros((0, 0))

    def add(self, values: Any) -> None:
        """Take in (ids, maps [N, C, h, w], (height, width) of the image's grid)."""
        ids, maps, (self.height, self.width) = values
        if not np.isfinite(maps).all():
            raise PluginError("features are NaN or infinite")
        self._take(np.array(ids, dtype=np.str_), maps)

    def merge(self, other: Self) -> None:
        """Take in the maps that another tally of the same options keeps."""
        if other.images:
            self.height, self.width = other.height, other.width
            self._take(other.ids, other.maps[: other.images])

    def thresholds(self) -> npt.NDArray[np.float64]:
        """The (1 - share) quantile of each group and channel [G, C]."""
        if not self.images:
            raise PluginError("no image has been seen, so there is no threshold")
        if not len(self.ready):
            take = self._upsampled if self.upsampled else self._native
            self.ready = np.stack([take(self.maps[rows]) for rows in self._groups()])
        return self.ready

    def thresholds_of(self, ids: list[str]) -> npt.NDArray[np.float64]:
        """The thresholds that hold for these images [N, C]."""
        group = {str(self.ids[row]): number for number, rows in enumerate(self._groups()) for row in rows}
        return self.thresholds()[[group[each] for each in ids]]

    def active_fraction(self, ties: bool = False) -> npt.NDArray[np.float64]:
        """Share of each channel's values above the threshold of its group [C]; at or above it with `ties`."""
        found = np.zeros(self.maps.shape[1])
        for rows, limits in zip(self._groups(), self.thresholds(), strict=True):
            at = np.nextafter(limits, -np.inf) if ties else limits
            if self.upsampled:
                found += _counts(self.maps[rows], at, *self._spread())
            else:
                found += (self.maps[rows] > at[:, None, None]).sum((0, 2, 3))
        return found / (self.images * self._positions())

    def dead(self) -> npt.NDArray[np.bool_]:
        """Channels that never change [C]."""
        maps = self.maps[: self.images]
        return np.asarray(maps.min((0, 2, 3)) == maps.max((0, 2, 3)))

    def _take(self, ids: npt.NDArray[np.str_], maps: npt.NDArray[np.float32]) -> None:
        if not self.images:
            self.maps = np.zeros((max(self.expected_images, len(maps)), *maps.shape[1:]), np.float32)
        total = self.images + len(maps)
        if total > len(self.maps):
            wider = np.zeros((max(total, 2 * len(self.maps)), *self.maps.shape[1:]), np.float32)
            wider[: self.images] = self.maps[: self.images]
            self.maps = wider
        self.maps[self.images : total] = maps
        self.ids = np.concatenate([self.ids, ids])
        self.images = total
        self.ready = np.zeros((0, 0))

    def _groups(self) -> list[npt.NDArray[np.int64]]:
        order = np.argsort(self.ids, kind="stable")
        size = self.batch or len(order)
        return [order[first : first + size] for first in range(0, len(order), size)]

    def _positions(self) -> int:
        return self.height * self.width if self.upsampled else self.maps.shape[2] * self.maps.shape[3]

    def _native(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        values = maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1).astype(np.float64)
        return np.asarray(np.quantile(values, 1.0 - self.share, axis=1))

    def _upsampled(self, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        rank, part = linear(len(maps) * self.height * self.width, self.share)
        pairs = _ranked_pixels(maps, rank, *self._spread())
        return np.asarray(pairs[:, 0] + (pairs[:, 1] - pairs[:, 0]) * part)

    def _spread(self) -> tuple[npt.NDArray[Any], ...]:
        down, across = steps(self.maps.shape[2], self.height), steps(self.maps.shape[3], self.width)
        starts = np.searchsorted(across.lower, np.arange(self.maps.shape[3] + 1))
        return down.lower, down.upper, down.weight, across.weight, starts


@numba.njit(cache=True, parallel=True)
def _counts(maps, limits, lower, upper, down, across, starts):  # type: ignore[no-untyped-def]
    """Pixels of each channel's upsampled maps above its limit [C]."""
    found = np.zeros(maps.shape[1], np.int64)
    for c in numba.prange(maps.shape[1]):
        found[c] = _above(maps[:, c], limits[c], lower, upper, down, across, starts)
    return found


@numba.njit(cache=True)
def _above(maps, limit, lower, upper, down, across, starts):  # type: ignore[no-untyped-def]
    found, nodes = 0, maps.shape[2]
    row = np.empty(nodes, np.float64)
    for n in range(maps.shape[0]):
        for y in range(len(lower)):
            if not mix_row(maps[n], lower[y], upper[y], down[y], row, limit, 0, nodes):
                continue
            for cell in range(nodes):
                a, b = row[cell], row[min(cell + 1, nodes - 1)]
                if a > limit and b > limit:
                    found += starts[cell + 1] - starts[cell]
                elif a > limit or b > limit:
                    for x in range(starts[cell], starts[cell + 1]):
                        found += a + across[x] * (b - a) > limit
    return found


@numba.njit(cache=True)
def _between(maps, low, high, into, lower, upper, down, across, starts):  # type: ignore[no-untyped-def]
    """Write every pixel in (low, high] to `into`; (how many, the least pixel above high)."""
    count, nodes, above = 0, maps.shape[2], np.inf
    row = np.empty(nodes, np.float64)
    for n in range(maps.shape[0]):
        for y in range(len(lower)):
            if not mix_row(maps[n], lower[y], upper[y], down[y], row, low, 0, nodes):
                continue
            for cell in range(nodes):
                a, b = row[cell], row[min(cell + 1, nodes - 1)]
                if max(a, b) <= low:
                    continue
                for x in range(starts[cell], starts[cell + 1]):
                    value = a + across[x] * (b - a)
                    if value > high:
                        above = min(above, value)
                    elif value > low:
                        into[count] = value
                        count += 1
    return count, above


@numba.njit(cache=True, parallel=True)
def _ranked_pixels(maps, rank, lower, upper, down, across, starts):  # type: ignore[no-untyped-def]
    """The rank-th and (rank - 1)-th largest pixel of each channel [C, 2]; rank 1 gives the largest twice.

    Bisection on the number of pixels above a value until few are left between; those are then collected and ranked.
    """
    found = np.empty((maps.shape[1], 2))
    few = max(4096, maps.shape[0] * len(lower) * len(across) // 64)
    for c in numba.prange(maps.shape[1]):
        own = maps[:, c].copy()
        low, high = np.nextafter(np.float64(own.min()), -np.inf), np.float64(own.max())
        over_low, over_high = maps.shape[0] * len(lower) * len(across), 0
        tried = 0
        while over_low - over_high > few:
            middle = low + (high - low) / 2
            if tried == 0:
                middle = np.float64(own.min())  # a channel that rests at its least value, or at 0, is found at once
            elif tried == 1 and low < 0.0 and high > 0.0:
                middle = 0.0
            elif tried == 2 and low < 0.0 and high >= 0.0:
                middle = -5e-324
            tried += 1
            if tried > 3 and (middle <= low or middle >= high):
                break
            over = _above(own, middle, lower, upper, down, across, starts)
            if over >= rank:
                low, over_low = max(low, middle), over
            else:
                high, over_high = middle, over
        pixels = np.empty(over_low - over_high, np.float64)
        count, above = _between(own, low, high, pixels, lower, upper, down, across, starts)
        wanted = rank - over_high
        least, _ = _keep_largest(pixels, count, wanted)
        found[c, 0], found[c, 1] = least, least
        if rank > 1:
            following, equal = above, 0
            for i in range(wanted):
                if pixels[i] > least:
                    following = min(following, pixels[i])
                else:
                    equal += 1
            found[c, 1] = least if equal > 1 else following
    return found
