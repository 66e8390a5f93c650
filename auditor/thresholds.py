"""The exact quantile of every channel over a whole data set, in one stream, whatever the batches or their order.

The quantile is near 1, so only the largest values of a channel can matter: of n values K = n - floor((1 - q)(n - 1)) are
kept, and a value not above the running K-th largest is passed over (docs/methods.md A.6). No sketch, no approximation.

This module imports numba; import it inside the function that needs it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numba
import numpy as np
import numpy.typing as npt

from .errors import PluginError
from .tally import Tally

if TYPE_CHECKING:
    from torch import Tensor

SPARE = 256
SAMPLE = 512


def planes(features: Tensor) -> npt.NDArray[np.float32]:
    """Features [N, C, h, w] from any device and memory format as one contiguous float32 array: one copy per batch."""
    return features.detach().float().contiguous().cpu().numpy()


def linear(values: int, share: float) -> tuple[int, float]:
    """(k, t): the (1 - share) quantile of n values lies t of the way from the k-th largest to the next larger one.

    As `numpy.quantile(values, 1 - share)` with linear interpolation.
    """
    place = (values - 1) * (1.0 - share)
    return values - math.floor(place), place - math.floor(place)


class ChannelTops(Tally):
    """The largest values of each channel, enough of them for the (1 - share) quantile.

    `expected_images` is the most images that will be added to this and the tallies merged with it; it bounds what must be
    kept. 0 means unknown: then every value is kept.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.expected_images = 0
        self.images = 0
        self.positions = 0
        self.values = np.zeros((0, 0), np.float32)
        self.filled = np.zeros(0, np.int64)
        self.bound = np.zeros(0, np.float32)
        self.tied = np.zeros(0, np.int64)
        self.low = np.zeros(0, np.float32)
        self.high = np.zeros(0, np.float32)
        self.ready = np.zeros(0)

    def add(self, values: Any) -> None:
        """Take in feature maps [N, C, h, w], float32, numpy; raises PluginError for NaN or infinite values."""
        maps = np.ascontiguousarray(values, np.float32)
        images, channels, height, width = maps.shape
        self._begin(channels, height * width)
        self.images += images
        if self.expected_images and self.images > self.expected_images:
            raise PluginError(f"{self.images} images were added where {self.expected_images} were expected")
        flat = maps.reshape(images, channels, height * width)
        low, high = flat.min(2).min(0), flat.max(2).max(0)  # NaN goes through
        broken = channels - int((np.isfinite(low) & np.isfinite(high)).sum())
        if broken:
            raise PluginError(f"features of {broken} of {channels} channels are NaN or infinite")
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self._take(flat, np.full(channels, height * width), True)

    def merge(self, other: Self) -> None:
        """Take in everything another tally of the same share and expectation has seen."""
        if not other.images:
            return
        self._begin(len(other.filled), other.positions)
        self.images += other.images
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.tied = np.where(self.bound > other.bound, self.tied, np.where(self.bound < other.bound, 0, self.tied) + other.tied)
        self.bound = np.maximum(self.bound, other.bound)
        self._take(other.values[None], other.filled, False)

    def thresholds(self) -> npt.NDArray[np.float64]:
        """The (1 - share) quantile of each channel [C], bit-equal to numpy.quantile in float64."""
        if not self.images:
            raise PluginError("no image has been seen, so there is no threshold")
        if not len(self.ready):
            rank, part = linear(self.images * self.positions, self.share)
            pairs = _ranked(self.values, self.filled, rank)
            lower, upper = pairs[:, 0], pairs[:, 1]
            step = upper - lower
            self.ready = upper - step * (1 - part) if part >= 0.5 else lower + step * part
        return self.ready

    def active_fraction(self, ties: bool = False) -> npt.NDArray[np.float64]:
        """Share of each channel's values above its threshold [C]; at or above it with `ties`."""
        limits = self.thresholds()
        count = _count_above(self.values, self.filled, np.nextafter(limits, -np.inf) if ties else limits)
        if ties:
            count = count + np.where(self.bound == limits, self.tied, 0)
        return np.asarray(count / (self.images * self.positions))

    def floor(self) -> npt.NDArray[np.float32]:
        """What a value must exceed to matter from now on [C]: raised to it, smaller ones leave the thresholds, the values above
        them and the dead channels what they are."""
        return np.where((self.bound < self.high) | (self.low == self.high), self.bound, np.float32(-np.inf))

    def dead(self) -> npt.NDArray[np.bool_]:
        """Channels that never change [C]."""
        return np.asarray(self.low == self.high)

    def _begin(self, channels: int, positions: int) -> None:
        if not self.images:
            self.positions = positions
            self.values = np.zeros((channels, 0), np.float32)
            self.filled, self.tied = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
            self.bound, self.high = np.full(channels, -np.inf, np.float32), np.full(channels, -np.inf, np.float32)
            self.low = np.full(channels, np.inf, np.float32)
        if (channels, positions) != (len(self.filled), self.positions):
            seen = f"{len(self.filled)} channels of {self.positions} positions"
            raise PluginError(f"features have {channels} channels of {positions} positions; before there were {seen}")
        self.ready = np.zeros(0)

    def _take(self, flat: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], passing: bool) -> None:
        longest = int(lengths.max(initial=0))
        keep = needed = int(self.filled.max(initial=0)) + len(flat) * longest
        most = None
        if self.expected_images:
            keep = linear(self.expected_images * self.positions, self.share)[0]
            most = keep + max(keep // 2, SPARE, 3 * self.positions)
            needed = min(needed, most)
        if needed > self.values.shape[1]:
            room = max(needed, 2 * self.values.shape[1])
            wider = np.zeros((len(self.values), room if most is None else min(room, most)), np.float32)
            wider[:, : self.values.shape[1]] = self.values
            self.values = wider
        _absorb(flat, lengths, self.values, self.filled, self.bound, self.tied, keep, passing)


@numba.njit(cache=True, parallel=True)
def _absorb(flat, lengths, values, filled, bound, tied, keep, passing):  # type: ignore[no-untyped-def]
    """Put values [N, C, L] into the buffers; with `passing` those not above the bound are passed over.

    A plane that is sure to fit is appended without a branch: each value is written, and the next one overwrites it if it
    was not above the bound.
    """
    room = values.shape[1]
    for c in numba.prange(flat.shape[1]):
        own = values[c]
        for n in range(flat.shape[0]):
            plane = flat[n, c, : lengths[c]]
            if filled[c] + len(plane) > room and filled[c] > keep:
                _tidy(own, filled, bound, tied, c, keep)
            if not passing or filled[c] + len(plane) > room:
                _absorb_slowly(plane, own, filled, bound, tied, c, keep, passing)
                continue
            limit, count, ties = bound[c], np.uint64(filled[c]), 0
            for i in range(len(plane)):
                own[count] = plane[i]
                count += np.uint64(plane[i] > limit)
            for i in range(len(plane)):
                ties += plane[i] == limit
            filled[c] = count
            tied[c] += ties


@numba.njit(cache=True)
def _absorb_slowly(plane, own, filled, bound, tied, c, keep, passing):  # type: ignore[no-untyped-def]
    """One value after the other, making room whenever there is none."""
    for i in range(len(plane)):
        value = plane[i]
        if passing and value <= bound[c]:
            tied[c] += value == bound[c]
            continue
        if filled[c] == len(own):
            _raise_bound(bound, tied, c, *_keep_largest(own, filled[c], keep))
            filled[c] = keep
            if passing and value <= bound[c]:
                tied[c] += value == bound[c]
                continue
        own[filled[c]] = value
        filled[c] += 1


@numba.njit(cache=True)
def _raise_bound(bound, tied, c, least, dropped):  # type: ignore[no-untyped-def]
    """`dropped` values equal to `least` were not kept, nor was anything below it."""
    if least > bound[c]:
        bound[c], tied[c] = least, dropped
    elif least == bound[c]:
        tied[c] += dropped


@numba.njit(cache=True)
def _tidy(own, filled, bound, tied, c, keep):  # type: ignore[no-untyped-def]
    """Drop the smaller values of a buffer, down to a little more than `keep`.

    The cut is guessed from a sample and the values above it are counted; a guess that would drop too many or too few is not
    taken, and the exact selection, which is several times slower, cuts instead.
    """
    count = filled[c]
    cut = _guess(own, count, keep)
    above, equal = 0, 0
    for i in range(count):
        above += own[i] > cut
        equal += own[i] == cut
    same = max(0, keep - above)
    if same > equal or above + same > keep + (len(own) - keep) // 2:
        _raise_bound(bound, tied, c, *_keep_largest(own, count, keep))
        filled[c] = keep
        return
    kept = 0
    for i in range(count):
        value = own[i]
        own[kept] = value
        kept += value > cut
    own[kept : kept + same] = cut
    filled[c] = kept + same
    _raise_bound(bound, tied, c, cut, equal - same)


@numba.njit(cache=True)
def _guess(own, count, keep):  # type: ignore[no-untyped-def]
    """A value that a little more than `keep` of the values most likely reach."""
    step = max(1, count // SAMPLE)
    sample = own[:count:step].copy()
    share = keep / count
    rank = len(sample) * share + 2 * np.sqrt(len(sample) * share * (1 - share))
    return _keep_largest(sample, len(sample), min(np.int64(rank) + 1, len(sample)))[0]


@numba.njit(cache=True)
def _keep_largest(values, count, keep):  # type: ignore[no-untyped-def]
    """Move the `keep` largest to the front; (the least of them, how many equal to it were not kept).

    Selection with a three-way split: a channel of nothing but zeros costs one sweep.
    """
    first, last = 0, count - 1
    while True:
        a, b, c = values[first], values[(first + last) // 2], values[last]
        pivot = max(min(a, b), min(max(a, b), c))
        greater, here, less = first, first, last
        while here <= less:
            value = values[here]
            if value > pivot:
                values[here], values[greater] = values[greater], value
                greater += 1
                here += 1
            elif value < pivot:
                values[here], values[less] = values[less], value
                less -= 1
            else:
                here += 1
        if keep - 1 < greater:
            last = greater - 1
        elif keep - 1 > less:
            first = less + 1
        else:
            return pivot, less + 1 - keep


@numba.njit(cache=True, parallel=True)
def _ranked(values, filled, rank):  # type: ignore[no-untyped-def]
    """The rank-th and the (rank - 1)-th largest value of each channel, [C, 2] float64; rank 1 gives the largest twice."""
    found = np.empty((len(filled), 2))
    for c in numba.prange(len(filled)):
        own = values[c, : filled[c]].copy()
        least, _ = _keep_largest(own, len(own), rank)
        above, equal = np.float32(np.inf), 0
        for i in range(rank):
            if own[i] > least:
                above = min(above, own[i])
            else:
                equal += 1
        found[c, 0] = least
        found[c, 1] = least if equal > 1 or rank == 1 else above
    return found


@numba.njit(cache=True, parallel=True)
def _count_above(values, filled, limits):  # type: ignore[no-untyped-def]
    found = np.zeros(len(filled), np.int64)
    for c in numba.prange(len(filled)):
        for i in range(filled[c]):
            found[c] += values[c, i] > limits[c]
    return found
