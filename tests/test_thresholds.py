"""Exact thresholds: bit-equal to numpy.quantile however the stream is cut, and on upsampled maps to sorting every pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import PluginError, Tally
from auditor.tally import dump, load
from auditor.thresholds import ChannelTops
from auditor.upsampled import KeptMaps

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of tiny counts: waking a second thread would cost more than it saves."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def upsample(plane: Array, size: tuple[int, int]) -> Array:
    values = torch.from_numpy(np.asarray(plane, np.float64))[None, None]
    return torch.nn.functional.interpolate(values, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def quantiles(maps: Array, share: float) -> Array:
    values = maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1).astype(np.float64)
    return np.array([np.quantile(channel, 1 - share) for channel in values])


def filled(maps: Array, share: float, batch: int, order: Array, expected: int) -> list[ChannelTops]:
    parts = []
    for first in range(0, len(order), batch):
        part = ChannelTops(share)
        part.expected_images = expected
        part.add(maps[order[first : first + batch]])
        parts.append(part)
    return parts


def some_maps(count: int, nodes: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    maps = random.normal(size=(count, 6, 2, nodes)).astype(np.float32)
    maps[:, 1] = np.maximum(maps[:, 1], 0).round(1)
    maps[:, 2] = random.random((count, 2, nodes)) < 0.01
    maps[:, 3] = -0.5
    maps[:, 4] = np.minimum(maps[:, 4], 0.25)
    return maps


@given(
    st.integers(1, 60), st.integers(1, 40), st.sampled_from([0.005, 0.01, 0.04, 0.3, 0.5, 0.99]), st.integers(1, 64),
    st.sampled_from(["unknown", "exact", "more"]), st.integers(0, 2**31),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_thresholds_of_parts_merged_in_any_order_are_bit_equal_to_numpy_quantile(
    count: int, nodes: int, share: float, batch: int, expected: str, seed: int
) -> None:
    maps = some_maps(count, nodes, seed)
    order = np.random.default_rng(seed).permutation(count)
    parts = filled(maps, share, batch, order, {"unknown": 0, "exact": count, "more": count + 7}[expected])
    whole = parts.pop()
    for part in parts:
        whole.merge(part)
    limits, flat = quantiles(maps, share), maps.transpose(1, 0, 2, 3).reshape(6, -1)
    np.testing.assert_array_equal(whole.thresholds(), limits)
    np.testing.assert_array_equal(whole.active_fraction(), (flat > limits[:, None]).mean(1))
    np.testing.assert_allclose(whole.active_fraction(ties=True), (flat >= limits[:, None]).mean(1))
    np.testing.assert_array_equal(whole.dead(), flat.min(1) == flat.max(1))


def test_only_the_largest_values_are_kept_when_the_number_of_images_is_known() -> None:
    maps = np.maximum(np.random.default_rng(0).normal(size=(400, 3, 14, 14)), 0).astype(np.float32)
    (one,) = filled(maps, 0.01, 400, np.arange(400), 400)
    assert one.values.shape[1] < 0.02 * 400 * 196
    np.testing.assert_array_equal(one.thresholds(), quantiles(maps, 0.01))


def test_tallies_survive_being_written_and_read() -> None:
    maps = some_maps(30, 5, 1)
    first, second = filled(maps, 0.04, 15, np.arange(30), 30)
    kept = KeptMaps(0.04, True, 7)
    kept.add(([f"i{n:02d}" for n in range(15)], maps[:15], (9, 20)))
    fresh: dict[str, Tally] = {"top": ChannelTops(0.04), "kept": KeptMaps(0.04, True, 7)}
    load(fresh, dump({"top": first, "kept": kept}))
    top, again = fresh["top"], fresh["kept"]
    assert isinstance(top, ChannelTops)
    assert isinstance(again, KeptMaps)
    top.merge(second)
    np.testing.assert_array_equal(top.thresholds(), quantiles(maps, 0.04))
    for tally in (kept, again):
        tally.add(([f"i{n:02d}" for n in range(15, 30)], maps[15:], (9, 20)))
    np.testing.assert_array_equal(again.thresholds(), kept.thresholds())


def test_a_tally_refuses_what_it_cannot_count() -> None:
    tally = ChannelTops(0.01)
    with pytest.raises(PluginError, match="no image has been seen"):
        tally.thresholds()
    tally.add(np.ones((1, 2, 3, 3)))
    with pytest.raises(PluginError, match="features have 2 channels of 4 positions; before there were 2 channels of 9"):
        tally.add(np.ones((1, 2, 2, 2)))
    with pytest.raises(PluginError, match="features of 1 of 2 channels are NaN or infinite"):
        tally.add(np.array([[[[1.0] * 9], [[np.nan] * 9]]]).reshape(1, 2, 3, 3))
    tally.expected_images = 2
    with pytest.raises(PluginError, match="4 images were added where 2 were expected"):
        tally.add(np.ones((2, 2, 3, 3)))


@pytest.mark.parametrize("share", [0.01, 0.04, 0.4])
@pytest.mark.parametrize("batch", [0, 4])
def test_thresholds_on_upsampled_maps_equal_sorting_every_pixel(share: float, batch: int) -> None:
    maps = some_maps(10, 6, 2)
    maps[:, 5, :, :3] = 0
    size, ids = (40, 70), [f"i{n}" for n in range(10)]
    tally = KeptMaps(share, True, batch)
    for row in np.random.default_rng(0).permutation(10):
        tally.add(([ids[row]], maps[row : row + 1], size))
    pixels = np.array([[upsample(plane, size) for plane in own] for own in maps])
    groups = [pixels[first : first + (batch or 10)] for first in range(0, 10, batch or 10)]
    np.testing.assert_allclose(tally.thresholds(), [quantiles(group, share) for group in groups], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(tally.thresholds_of(["i9", "i0"]), tally.thresholds()[[-1, 0]])
