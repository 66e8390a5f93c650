"""Features kept without what cannot matter: packing is exact near what is above the floor, and no number notices it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from auditor_plugins.analyses.dissection import Dissection
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from auditor import Box, ExitCode, Sample
from auditor.batch import Batch
from auditor.concepts import count_concepts
from auditor.kept_features import Keeper, read
from auditor.run import run
from auditor.thinned import pack, unpack
from auditor.thresholds import ChannelTops

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of tiny calls: waking a second thread would cost more than it saves."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def smooth_maps(count: int, channels: int, nodes: tuple[int, int], seed: int) -> Array:
    noise = np.random.default_rng(seed).normal(size=(count, channels, *nodes))
    return ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7)).astype(np.float32)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_nodes_above_the_floor_and_their_neighbours_come_back_and_the_others_as_the_floor(
    count: int, channels: int, h: int, w: int, seed: int
) -> None:
    maps = smooth_maps(count, channels, (h, w), seed)
    floor = np.random.default_rng(seed).choice([-np.inf, 0.0, 0.3, 9.0], channels).astype(np.float32)
    near = ndimage.binary_dilation(maps > floor[:, None, None], np.ones((1, 1, 3, 3)))
    found = unpack(pack(maps, floor), h, w)
    np.testing.assert_array_equal(found, np.where(near, maps, floor[:, None, None]))


def test_a_floor_of_minus_infinity_keeps_everything_even_what_is_not_a_number() -> None:
    maps = smooth_maps(2, 3, (4, 5), 0)
    maps[0, 1, 2, 2], maps[1, 2, 0, 0] = np.nan, -np.inf
    np.testing.assert_array_equal(unpack(pack(maps, np.full(3, -np.inf, np.float32)), 4, 5), maps)


def awkward_maps(count: int, seed: int) -> Array:
    """Channels that are dead, mostly zero, cut off at the top, or below zero everywhere."""
    maps = smooth_maps(count, 6, (5, 6), seed)
    maps[:, 1] = np.maximum(maps[:, 1] - 0.4, 0).round(1)
    maps[:, 2] = np.minimum(maps[:, 2], 0.1)
    maps[:, 3] = -0.5
    maps[:, 4] -= 7
    maps[:, 5] = 0
    maps[0, 5, 0, 0] = 1
    return maps


def thresholds_of(maps: Array, share: float, batch: int) -> tuple[ChannelTops, Array]:
    """The tally of all maps, and the maps as they are kept while it runs."""
    tally, kept = ChannelTops(share), []
    tally.expected_images = len(maps)
    for first in range(0, len(maps), batch):
        part = maps[first : first + batch]
        tally.add(part)
        kept.append(unpack(pack(part, tally.floor()), *maps.shape[2:]))
    return tally, np.concatenate(kept)


@given(st.integers(2, 90), st.sampled_from([0.01, 0.04, 0.2, 0.6]), st.integers(1, 20), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_thresholds_and_counts_of_what_is_kept_are_those_of_the_whole(count: int, share: float, batch: int, seed: int) -> None:
    maps = awkward_maps(count, seed)
    tally, kept = thresholds_of(maps, share, batch)
    again, _ = thresholds_of(kept, share, batch + 1)
    values = maps.transpose(1, 0, 2, 3).reshape(6, -1).astype(np.float64)
    np.testing.assert_array_equal(tally.thresholds(), [np.quantile(channel, 1 - share) for channel in values])
    for one in (tally, again):
        np.testing.assert_array_equal(one.thresholds(), tally.thresholds())
        np.testing.assert_array_equal(one.active_fraction(), (values > tally.thresholds()[:, None]).mean(1))
        np.testing.assert_array_equal(one.dead(), values.min(1) == values.max(1))
    regions = np.zeros((count, 30, 33), bool)
    regions[:, 4:20, 9:25] = True
    for option in ({}, {"crop": True, "holes": True}):
        whole, thin = (count_concepts(each, tally.thresholds(), np.arange(count), regions, **option) for each in (maps, kept))
        np.testing.assert_array_equal(whole, thin)


def test_ties_that_count_keep_everything() -> None:
    tallies = Dissection(ties="ge").tallies()
    tallies["top"].add(smooth_maps(2, 3, (4, 4), 0))
    assert Dissection(ties="ge").floor(tallies) is None


@pytest.mark.parametrize(("quantile", "most"), [(0.01, 0.20), (0.04, 0.40)])
def test_an_image_takes_a_fraction_of_its_features_on_disk(tmp_path: Path, quantile: float, most: float) -> None:
    import torch

    analysis, maps = Dissection(quantile=quantile), np.maximum(smooth_maps(256, 8, (28, 28), 1), 0)
    samples = [Sample(f"i{n}", f"p{n}", (1,), (Box("Mass", 0.1, 0.1, 0.5, 0.5),)) for n in range(256)]
    tallies: Any = analysis.tallies()
    tallies["top"].expected_images = 256
    for chunk in range(4):
        with Keeper(tmp_path, chunk, [analysis]) as keeper:
            for first in range(64 * chunk, 64 * chunk + 64, 16):
                part = slice(first, first + 16)
                batch = Batch(samples[part], ("Mass",), size=(224, 224), features=torch.from_numpy(maps[part]))
                tallies["top"].add(maps[part])
                keeper.add(batch, list(range(first, first + 16)), analysis.floor(tallies))
            keeper.finish({})
    last = read(tmp_path, 3)
    assert last.data.stat().st_size < most * maps[192:].nbytes
    assert [part for part, _ in last.parts()] == [slice(first, first + 16) for first in range(0, 64, 16)]


STUMBLES = """
from dataclasses import dataclass
from auditor import Analysis, Metric, Tally, hookimpl

class Seen(Tally):
    def __init__(self): self.images = 0
    def merge(self, other): self.images += other.images

@dataclass(frozen=True)
class Stumbles(Analysis):
    name = "stumbles"
    needs = frozenset({"features", "box"})
    metrics = (Metric("stumble", "Nothing.", statistic="none"),)
    def tallies(self): return {"seen": Seen()}
    def observe(self, tallies, batch):
        tallies["seen"].images += 1
        if tallies["seen"].images > 2:
            raise RuntimeError("stumbled")

@hookimpl
def register_analyses(): return [Stumbles]
"""


def test_an_analysis_that_fails_on_its_first_look_leaves_the_other_its_numbers(write_audit: Any, tmp_path: Path) -> None:
    import json

    (tmp_path / "stumbles.py").write_text(STUMBLES)
    lines = {"attributions": "[]"}
    run(write_audit(analyses="[dissection]", **lines), tmp_path / "alone", device="cpu")
    plugins = write_audit(**lines).read_text().split("plugins: ")[1].splitlines()[0].strip("[]")
    audit = write_audit(analyses="[stumbles, dissection]", plugins=f"[{plugins}, stumbles.py]", **lines)
    assert run(audit, tmp_path / "both", device="cpu").exit_code == ExitCode.INCOMPLETE
    alone, both = (json.loads((tmp_path / out / "results.json").read_text())["summaries"] for out in ("alone", "both"))
    assert alone == [row for row in both if row["metric"] != "stumble"]
