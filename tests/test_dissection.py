"""Concept counts: the worked examples of docs/methods.md, plain twins in scipy and OpenCV, and independence of the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numba
import numpy as np
import pytest
import torch
from auditor_plugins.analyses.dissection import Dissection
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from auditor import Box, ConfigError, Sample
from auditor.batch import Batch, View
from auditor.bilinear import steps
from auditor.concepts import count_concepts
from auditor.elsewhere import Elsewhere
from auditor.statistics import estimates
from auditor.statistics.columns import Columns
from auditor.statistics.rows import MACRO, Cohort, Values

CLASSES = ("Mass", "Nodule", "Effusion")
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of tiny counts: waking a second thread would cost more than it saves."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


# Slow twins, written from docs/methods.md A.6 and A.7


def upsample(plane: Array, size: tuple[int, int]) -> Array:
    values = torch.from_numpy(np.asarray(plane, np.float64))[None, None]
    return torch.nn.functional.interpolate(values, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def concepts_in(active: Array, region: Array, crop: bool = False) -> int:
    labels, _ = ndimage.label(active & region if crop else active, np.ones((3, 3)))
    return len(np.unique(labels[region & (labels > 0)]))


def contours_in(active: Array, region: Array) -> int:
    return len(cv2.findContours((active & region).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0])


def twin_counts(maps: Array, limits: Array, image: Array, regions: Array, crop: bool = False, contours: bool = False) -> Array:
    found = []
    for row, region in zip(image, regions, strict=True):
        actives = [upsample(plane, region.shape) > limit for plane, limit in zip(maps[row], limits, strict=True)]
        each = [contours_in(active, region) if contours else concepts_in(active, region, crop) for active in actives]
        found.append((sum(each), sum(count > 0 for count in each)))
    return np.array(found).T


def quantiles(maps: Array, share: float) -> Array:
    values = maps.transpose(1, 0, 2, 3).reshape(maps.shape[1], -1).astype(np.float64)
    return np.array([np.quantile(channel, 1 - share) for channel in values])


def smooth_maps(count: int, channels: int, nodes: tuple[int, int], seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).normal(size=(count, channels, *nodes))
    return np.maximum(ndimage.gaussian_filter(noise, (0, 0, 0.7, 0.7)), 0).astype(np.float32)


def random_regions(count: int, size: tuple[int, int], seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    regions = np.zeros((count, *size), bool)
    for region in regions:
        for _ in range(random.integers(1, 3)):
            (y0, y1), (x0, x1) = (np.sort(random.choice(side + 1, 2, False)) for side in size)
            region[y0:y1, x0:x1] = True
    return regions


# The kernel


PICTURE = """\
............
.##.....###.
.##.....#.#.
........###.
............
..###.......
....#.......
..###.......
............
.....####...
............
..........##"""
T_A4 = np.array([[mark == "#" for mark in line] for line in PICTURE.splitlines()])


def box_region(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> Array:
    region = np.zeros((1, *size), bool)
    region[0, top:bottom, left:right] = True
    return region


@pytest.mark.parametrize(("box", "paper", "repository"), [((0, 0, 4, 12), 2, 3), ((7, 0, 12, 5), 1, 2), ((0, 0, 12, 12), 5, 6)])
def test_worked_example_t_a4(box: tuple[int, int, int, int], paper: int, repository: int) -> None:
    maps, region = T_A4[None, None].astype(np.float32), box_region((12, 12), *box)
    image, limit = np.zeros(1, np.int64), np.array([0.5])
    found = count_concepts(maps, limit, image, region)
    assert (found.disjoint[0], found.unique[0]) == (paper, 1)
    found = count_concepts(maps, limit, image, region, crop=True, holes=True)
    assert (found.disjoint[0], found.unique[0]) == (repository, 1)


def test_worked_example_t_a4_all_ones_is_a_dead_channel_and_holds_no_concept() -> None:
    maps, region = np.ones((1, 1, 12, 12), np.float32), box_region((12, 12), 2, 2, 6, 6)
    assert count_concepts(maps, np.array([1.0]), np.zeros(1, np.int64), region).disjoint[0] == 0
    at_least = np.nextafter(np.array([1.0]), -np.inf)
    assert count_concepts(maps, at_least, np.zeros(1, np.int64), region, crop=True, holes=True).disjoint[0] == 1


@pytest.mark.parametrize(
    ("nodes", "size"), [((7, 7), (64, 64)), ((5, 9), (33, 47)), ((14, 14), (56, 56)), ((1, 4), (10, 16)), ((12, 12), (9, 7))]
)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.6])
def test_counts_equal_scipy_on_every_region(nodes: tuple[int, int], size: tuple[int, int], share: float) -> None:
    maps, image = smooth_maps(3, 8, nodes), np.array([0, 2, 2, 1, 0, 2])
    regions, limits = random_regions(6, size), quantiles(maps, share)
    for crop in (False, True):
        found = count_concepts(maps, limits, image, regions, crop=crop)
        np.testing.assert_array_equal(found, twin_counts(maps, limits, image, regions, crop))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_cropped_counts_with_holes_equal_the_contours_of_opencv(share: float) -> None:
    maps, image = smooth_maps(2, 12, (16, 16), 4), np.array([0, 1, 1])
    regions, limits = random_regions(3, (40, 48), 1), quantiles(maps, share)
    found = count_concepts(maps, limits, image, regions, crop=True, holes=True)
    np.testing.assert_array_equal(found, twin_counts(maps, limits, image, regions, contours=True))


@given(arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))), st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_fuzz_any_pattern_equals_scipy_and_opencv(pattern: Array, seed: int) -> None:
    region = random_regions(1, pattern.shape, seed)
    maps, limit, image = pattern[None, None].astype(np.float32), np.array([0.5]), np.zeros(1, np.int64)
    assert count_concepts(maps, limit, image, region).disjoint[0] == concepts_in(pattern, region[0])
    assert count_concepts(maps, limit, image, region, crop=True).disjoint[0] == concepts_in(pattern, region[0], True)
    both = count_concepts(maps, limit, image, region, crop=True, holes=True)
    assert both.disjoint[0] == contours_in(pattern, region[0])


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_fuzz_upsampled_maps_equal_scipy(seed: int, h: int, w: int, height: int, width: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(1, 3, h, w)).astype(np.float32)
    limits = np.random.default_rng(seed + 1).normal(size=3)
    image, regions = np.zeros(2, np.int64), random_regions(2, (height, width), seed)
    np.testing.assert_array_equal(count_concepts(maps, limits, image, regions), twin_counts(maps, limits, image, regions))


KINDS = {
    "smooth": lambda random, shape: random.normal(size=shape),
    "plateaus and exact ties": lambda random, shape: random.integers(0, 3, size=shape),
    "mostly zero": lambda random, shape: np.maximum(random.normal(size=shape), 0),
    "checkered": lambda random, shape: (random.random(shape) < 0.5) + 0.3 * random.random(shape),
}


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 2**31), *[st.integers(1, 8)] * 2, *[st.integers(1, 50)] * 2)
@settings(deadline=None, max_examples=60)
def test_fuzz_counts_by_cells_equal_counts_by_pixels(kind: str, seed: int, h: int, w: int, height: int, width: int) -> None:
    """Limits are often a node's own value or the middle of two: what is decided from the corners of cells alone."""
    random = np.random.default_rng(seed)
    maps = KINDS[kind](random, (1, 6, h, w)).astype(np.float32)
    pairs = [random.choice(channel.ravel(), 2) for channel in maps[0]]
    limits = np.array([random.choice([one, (float(one) + float(other)) / 2, random.normal()]) for one, other in pairs])
    limits = np.where(random.random(6) < 0.2, np.nextafter(limits, -np.inf), limits)
    regions = np.concatenate([random_regions(2, (height, width), seed), random.random((1, height, width)) < 0.2])
    found = count_concepts(maps, limits, np.zeros(3, np.int64), regions)
    np.testing.assert_array_equal(found.disjoint, [pixel_by_pixel(maps[0], limits, region) for region in regions])


def pixel_by_pixel(maps: Array, limits: Array, region: Array) -> int:
    """Rows mixed first and then columns, in the order of rounding that the kernel promises."""
    down, across = steps(maps.shape[1], region.shape[0]), steps(maps.shape[2], region.shape[1])
    above, below = maps.astype(np.float64)[:, down.lower], maps.astype(np.float64)[:, down.upper]
    rows = above + down.weight[:, None] * (below - above)
    left, right = rows[:, :, across.lower], rows[:, :, across.upper]
    active = left + across.weight * (right - left) > limits[:, None, None]
    return sum(concepts_in(each, region) for each in active)


@given(st.floats(2**-20, 2**20, width=32), st.sampled_from([(7, 7), (3, 5), (20, 20)]), st.integers(20, 224))
@settings(deadline=None, max_examples=50)
def test_a_threshold_equal_to_a_border_node_or_a_plateau_is_never_exceeded_by_rounding(
    value: float, nodes: tuple[int, int], side: int
) -> None:
    maps = np.zeros((1, 1, *nodes), np.float32)
    maps[0, 0, 0] = value
    maps[0, 0, -1, -2:] = value
    whole = np.ones((1, side, side), bool)
    image, limit = np.zeros(1, np.int64), np.array([np.float64(np.float32(value))])
    assert count_concepts(maps, limit, image, whole).disjoint[0] == 0
    assert count_concepts(maps, np.nextafter(limit, 0), image, whole).disjoint[0] == 2


def test_many_regions_of_one_image_are_counted_as_if_each_were_alone() -> None:
    maps, regions = smooth_maps(2, 5, (7, 7)), random_regions(150, (32, 32))
    image, limits = np.arange(150) % 2, quantiles(maps, 0.1)
    together = count_concepts(maps, limits, image, regions)
    alone = [count_concepts(maps, limits, image[p : p + 1], regions[p : p + 1]) for p in range(150)]
    np.testing.assert_array_equal(together.disjoint, [each.disjoint[0] for each in alone])
    np.testing.assert_array_equal(together.unique, [each.unique[0] for each in alone])


def test_an_empty_region_holds_nothing_and_no_region_gives_nothing() -> None:
    maps = smooth_maps(1, 4, (7, 7))
    none = count_concepts(maps, np.zeros(4), np.zeros(1, np.int64), np.zeros((1, 20, 20), bool))
    assert (none.disjoint[0], none.unique[0]) == (0, 0)
    assert len(count_concepts(maps, np.zeros(4), np.zeros(0, np.int64), np.zeros((0, 20, 20), bool)).disjoint) == 0


# The analysis


def sample(number: int, boxes: tuple[Box, ...]) -> Sample:
    return Sample(f"image{number:03d}", f"patient{number}", (1, 1, 1), boxes)


def boxed_samples(count: int, seed: int = 0) -> list[Sample]:
    random = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        corners = random.uniform(0.0, 0.6, (random.integers(1, 4), 2))
        boxes = tuple(Box(CLASSES[random.integers(3)], x, y, x + random.uniform(0.05, 0.4), y + 0.3) for x, y in corners)
        samples.append(sample(number, boxes))
    return samples


def views(
    analysis: Dissection, samples: list[Sample], maps: Array, size: tuple[int, int], batch: int, tallies: Any, needs: Any
) -> list[View]:
    found, boxed = [], Elsewhere(samples, CLASSES)
    for first in range(0, len(samples), batch):
        part = slice(first, first + batch)
        features = torch.from_numpy(maps[part])
        one = Batch(samples[part], CLASSES, size=size, features=features, seed=11, elsewhere=boxed)
        cases, _ = one.cases(needs)
        if cases:
            found.append(one.view(needs, cases, None, tallies))
    return found


Rows = dict[tuple[str, int], dict[str, Any]]


def dissect(
    analysis: Dissection, samples: list[Sample], maps: Array, size: tuple[int, int] = (48, 48), batch: int = 16
) -> tuple[Rows, dict[str, float]]:
    """({(image, class): values}, per model) by two looks, as a pass takes them; what was found in the boxes of others by image."""
    tallies = analysis.tallies()
    for tally in tallies.values():
        if hasattr(tally, "expected_images"):
            tally.expected_images = len(samples)
    for view in views(analysis, samples, maps, size, batch, tallies, analysis.observes):
        analysis.observe(tallies, view)
    rows: Rows = {}
    boxed = [[samples[number].id for number in of] for of in Elsewhere(samples, CLASSES).cases]
    for view in views(analysis, samples, maps, size, batch, tallies, analysis.needs):
        values = analysis.measure(view)
        for p, (image, target) in enumerate(zip(view.cases.image.tolist(), view.cases.target.tolist(), strict=True)):
            rows[view.samples[image].id, target] = {
                name: {who: count for who, count in zip(boxed[target], each[p].tolist(), strict=True) if count == count}
                if name.endswith("elsewhere") and target >= 0
                else float(np.sum(each[p]))
                for name, each in values.items()
            }
    return rows, dict(analysis.summarise(tallies))


def region_of(boxes: list[Box], size: tuple[int, int], rounding: str = "outward") -> Array:
    region = np.zeros(size, bool)
    for box in boxes:
        edges = np.array([box.left, box.top, box.right, box.bottom]) * [size[1], size[0], size[1], size[0]]
        low, high = (np.floor, np.ceil) if rounding == "outward" else (np.trunc, np.trunc)
        x0, y0 = low(edges[:2]).astype(int)
        x1, y1 = high(edges[2:]).astype(int)
        region[y0:y1, x0:x1] = True
    return region


def test_the_whole_analysis_equals_its_plain_twin() -> None:
    samples, maps, size = boxed_samples(12), smooth_maps(12, 9, (7, 6)), (48, 40)
    rows, model = dissect(Dissection(quantile=0.05), samples, maps, size)
    limits = quantiles(maps, 0.05)
    for number, each in enumerate(samples):
        for target in (-1, 0, 1, 2):
            boxes = [box for box in each.boxes if target in (-1, CLASSES.index(box.label))]
            assert ((each.id, target) in rows) is bool(boxes)
            if boxes:
                disjoint, unique = twin_counts(maps, limits, np.array([number]), region_of(boxes, size)[None])
                assert rows[each.id, target]["disjoint_concepts"] == disjoint[0]
                assert rows[each.id, target]["unique_concepts"] == unique[0]
    assert model["dead_channels"] == 0
    assert model["active_fraction"] == pytest.approx(0.05, abs=0.002)


def test_counts_are_bit_equal_for_any_batch_size_and_order() -> None:
    samples, maps = boxed_samples(70), smooth_maps(70, 16, (7, 7))
    shuffled = np.random.default_rng(1).permutation(70)
    expected = dissect(Dissection(), samples, maps, batch=64)
    assert any(row["disjoint_concepts"] > 0 for row in expected[0].values())
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for batch in (1, 7):
        assert dissect(Dissection(), samples, maps, batch=batch) == expected
    assert dissect(Dissection(), [samples[n] for n in shuffled], maps[shuffled], batch=7) == expected


def test_a_dead_network_holds_no_concepts() -> None:
    samples, maps = boxed_samples(5), np.zeros((5, 32, 7, 7), np.float32)
    rows, model = dissect(Dissection(), samples, maps)
    assert {value for row in rows.values() for value in row.values() if isinstance(value, float)} == {0.0}
    dead = {"active_channels": 0, "inactive_channels": 32, "dead_channels": 32}
    assert model == dead | {"active_fraction": 0}
    rows, model = dissect(Dissection(ties="ge"), samples, maps)
    assert all(row["unique_concepts"] == 32 for row in rows.values())
    assert model == dead | {"active_fraction": 1}


def one_channel(values: Array) -> Array:
    return np.asarray(values, np.float32).reshape(len(values), 1, 10, 10)


def test_worked_example_t_a2_thresholds_per_batch_and_over_the_data_set() -> None:
    values = np.stack([np.arange(1, 101), np.arange(1, 101) / 100])
    whole = (Box("Mass", 0, 0, 1, 1),)
    samples, maps = [sample(0, whole), sample(1, whole)], one_channel(values)
    for scope, limits, active in (("dataset", [92.04, 92.04], 8 / 200), ("batch", [96.04, 0.9604], 8 / 200)):
        analysis = Dissection(quantile=0.04, tau_scope=scope, batch=1 if scope == "batch" else 64)  # type: ignore[arg-type]
        tallies = analysis.tallies()
        (view,) = views(analysis, samples, maps, (10, 10), 16, tallies, analysis.needs)
        analysis.observe(tallies, view)
        found = np.broadcast_to(analysis._limits(view).reshape(-1), 2)
        np.testing.assert_allclose(found, limits, rtol=1e-6)
        assert (values > found[:, None]).sum(1).tolist() == ([8, 0] if scope == "dataset" else [4, 4])
        assert analysis.summarise(tallies)["active_fraction"] == active


def test_worked_example_t_a3_ties_at_zero() -> None:
    values = np.zeros((10, 100))
    values[0, :5] = [1, 2, 3, 4, 5]
    samples = [sample(n, (Box("Mass", 0, 0, 1, 1),)) for n in range(10)]
    _, strict = dissect(Dissection(), samples, one_channel(values), (10, 10))
    _, ties = dissect(Dissection(ties="ge"), samples, one_channel(values), (10, 10))
    assert strict["active_fraction"] == 5 / 1000
    assert ties["active_fraction"] == 1


def test_the_imba_explain_preset_equals_a_plain_twin_of_the_repositorys_procedure() -> None:
    samples, maps, size = boxed_samples(11, 3), smooth_maps(11, 6, (7, 7)), (40, 40)
    rows, _ = dissect(Dissection(quantile=0.04, preset="imba-explain", batch=4), samples, maps, size, batch=3)
    pairs: list[int] = []
    for first in range(0, 11, 4):
        batch = slice(first, first + 4)
        pixels = np.array([[upsample(plane, size) for plane in own] for own in maps[batch]])
        limits = quantiles(pixels, 0.04) - 1e-12
        for own, each in zip(pixels, samples[batch], strict=True):
            region = region_of(list(each.boxes), size, "trunc")
            count = sum(contours_in(plane >= limit, region) for plane, limit in zip(own, limits, strict=True))
            labels = {CLASSES.index(box.label) for box in each.boxes}
            assert all(rows[each.id, label]["disjoint_concepts"] == count for label in labels)
            pairs += [count] * len(labels)
    overall = [row["disjoint_concepts"] for (_, target), row in rows.items() if target == -1]
    assert np.mean(overall) == pytest.approx(np.mean(pairs))


def test_the_preset_is_nothing_but_its_options() -> None:
    resolved = Dissection(preset="imba-explain", batch=128).resolved()
    assert resolved == Dissection(
        tau_scope="batch", quantile_on="upsampled", crop_before_label=True, count_holes=True, ties="ge",
        per_class_region="union", unit="label", box_rounding="trunc", batch=128, others=0,
    )  # fmt: skip


def test_upsampled_thresholds_over_the_data_set_do_not_depend_on_the_batches() -> None:
    samples, maps = boxed_samples(9), smooth_maps(9, 5, (5, 5))
    analysis = Dissection(quantile=0.05, quantile_on="upsampled")
    expected = dissect(analysis, samples, maps, batch=9)
    assert expected[1]["active_fraction"] == pytest.approx(0.05, abs=1e-3)
    assert dissect(analysis, samples, maps, batch=2) == expected
    assert expected[0] != dissect(Dissection(quantile=0.05), samples, maps)[0]


def test_thresholds_over_all_images_look_at_images_without_boxes_too() -> None:
    samples, maps = boxed_samples(8), smooth_maps(8, 5, (7, 7))
    maps[4:] *= 10
    samples[4:] = [sample(n, ()) for n in range(4, 8)]
    annotated, _ = dissect(Dissection(quantile=0.05), samples, maps)
    every, model = dissect(Dissection(quantile=0.05, quantile_reference="all"), samples, maps)
    assert set(annotated) == set(every)
    assert sum(r["unique_concepts"] for r in every.values()) < sum(r["unique_concepts"] for r in annotated.values())
    assert model["active_fraction"] == pytest.approx(0.05, abs=0.01)


def test_chance_is_the_count_in_boxes_of_the_same_size_elsewhere() -> None:
    samples = [sample(n, (Box("Mass", 0.0, 0.0, 0.25, 0.25),)) for n in range(40)]
    maps = np.zeros((40, 1, 8, 8), np.float32)
    maps[:, 0, :2, :2] = 1 + np.random.default_rng(0).random((40, 2, 2))
    rows, _ = dissect(Dissection(quantile=0.04, draws=20), samples, maps)
    chance = np.mean([row["unique_chance"] for row in rows.values()])
    hit = np.mean([row["unique_concepts"] for row in rows.values()])
    assert hit > 0.8
    assert 0.02 < chance < 0.3
    full = [sample(n, (Box("Mass", 0.0, 0.0, 1.0, 1.0),)) for n in range(40)]
    for row in dissect(Dissection(quantile=0.04), full, maps)[0].values():
        assert row["unique_chance"] == row["unique_concepts"]


# Against the boxes of other patients


def test_counts_in_the_boxes_of_other_patients_equal_the_plain_twin() -> None:
    samples, maps, size = boxed_samples(30), smooth_maps(30, 9, (7, 6)), (48, 40)
    rows, _ = dissect(Dissection(quantile=0.05, others=3), samples, maps, size)
    limits, place = quantiles(maps, 0.05), {each.id: number for number, each in enumerate(samples)}
    met = 0
    for (name, target), row in rows.items():
        for other in row["disjoint_elsewhere"] if target >= 0 else ():
            boxes = [box for box in samples[place[other]].boxes if box.label == CLASSES[target]]
            disjoint, unique = twin_counts(maps, limits, np.array([place[name]]), region_of(boxes, size)[None])
            assert row["disjoint_elsewhere"][other] == disjoint[0]
            assert row["unique_elsewhere"][other] == unique[0]
            met += 1
    assert met == 3 * sum(target >= 0 for _, target in rows)


@given(st.integers(2, 60), st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_every_case_meets_and_is_met_by_equally_many_others(count: int, others: int) -> None:
    samples = [sample(number, (Box("Mass", 0, 0, 0.5, 0.5),)) for number in range(count)]
    boxed = Elsewhere(samples, CLASSES)
    met = [boxed.few(each, 0, others) for each in samples]
    assert {len(places) for places in met} == {min(others, count - 1)}
    assert set(np.bincount(np.concatenate(met), minlength=count).tolist()) == {min(others, count - 1)}
    assert all(number not in places and len(set(places)) == len(places) for number, places in enumerate(met))


def test_a_case_meets_no_box_of_its_own_patient_and_no_class_meets_another() -> None:
    samples = [replace(one, patient=f"patient{number // 3}") for number, one in enumerate(boxed_samples(60))]
    boxed = Elsewhere(samples, CLASSES)
    for each in samples:
        for target, name in enumerate(CLASSES):
            met = [samples[boxed.cases[target][place]] for place in boxed.few(each, target, 8)]
            assert all(other.patient != each.patient for other in met)
            assert all(name in {box.label for box in other.boxes} for other in met)


def test_without_others_nothing_is_measured_in_their_boxes() -> None:
    rows, _ = dissect(Dissection(others=0), boxed_samples(4), smooth_maps(4, 4, (7, 7)))
    assert not [name for row in rows.values() for name in row if name.endswith("elsewhere")]


def columns_of(samples: list[Sample], maps: Array, options: dict[str, Any]) -> tuple[Columns, Cohort]:
    """What a run would hand to statistics, from an analysis of these maps."""
    rows, whole = dissect(Dissection(**options), samples, maps)
    place, boxed = {each.id: number for number, each in enumerate(samples)}, Elsewhere(samples, CLASSES).cases
    cases = [(place[name], target, row) for (name, target), row in rows.items()]
    number, target = np.array([case[:2] for case in cases]).T
    values = {
        name: Values(number, target, np.array([row[name] for _, _, row in cases]))
        for name in ("disjoint_concepts", "unique_concepts")
    }
    elsewhere = {
        name: {
            (image, of): np.array([row[name].get(samples[other].id, np.nan) for other in boxed[of]])
            for image, of, row in cases
            if of >= 0
        }
        for name in ("disjoint_elsewhere", "unique_elsewhere")
    }
    labels = np.array([each.labels for each in samples], np.int8)
    return Columns(values, elsewhere, whole), Cohort(CLASSES, np.arange(len(samples)), labels, boxed=boxed)


def found_of(network: Columns, cohort: Cohort, class_name: str = MACRO) -> dict[str, dict[str, Any]]:
    """The rows of one class of every number that is held against the boxes of others."""
    return {
        metric.name: next(row for row in estimates.levels(metric, network, cohort) if row["class_name"] == class_name)
        for metric in Dissection.metrics
        if estimates.handles(metric)
    }


def test_worked_example_of_excess_and_lift_of_three_patients() -> None:
    """Each patient has a box in a corner of its own, and a channel that fires there. One more channel fires in the first corner
    on every film, and one in all three corners. So the own boxes hold 3, 2 and 2 concepts, and the six pairs of different
    patients 1, 1, 2, 1, 2, 1: 7/3 against 4/3, an excess of 1, a lift of log 7/4, and a fifth of 1 per channel.
    """
    corners = [(0, 0), (3, 3), (0, 3)]
    maps = np.full((3, 5, 4, 4), 0.5, np.float32)
    for number, (y, x) in enumerate(corners):
        maps[number, number, y, x] = 1.0
        maps[:, 4, y, x] = 1.0
    maps[:, 3, 0, 0] = 1.0
    samples = [sample(n, (Box("Mass", x / 4, y / 4, x / 4 + 0.25, y / 4 + 0.25),)) for n, (y, x) in enumerate(corners)]
    found = found_of(*columns_of(samples, maps, {"quantile": 0.2}), "Mass")
    assert found["disjoint_others"]["value"] == pytest.approx(4 / 3)
    assert found["disjoint_excess"]["value"] == pytest.approx(1)
    assert found["disjoint_excess"]["n"] == found["disjoint_excess"]["n_patients"] == 3
    assert found["disjoint_lift"]["value"] == pytest.approx(np.log(7 / 4))
    assert found["disjoint_excess_per_channel"]["value"] == pytest.approx(1 / 5)


def noise_maps(seed: int, patients: int, channels: int) -> tuple[list[Sample], Array]:
    """A box somewhere on every film, and smooth noise that knows nothing of it in every channel."""
    random = np.random.default_rng(seed)
    samples = []
    for number in range(patients):
        left, top = random.integers(0, 11, 2)
        samples.append(sample(number, (Box("Mass", left / 14, top / 14, (left + 3) / 14, (top + 3) / 14),)))
    return samples, smooth_maps(patients, channels, (14, 14), seed)


def strips(seed: int, patients: int, firing: int) -> tuple[list[Sample], Array]:
    """Films of seven upright strips: each of 32 channels is bright in one of them, the box is one of them, and the first `firing`
    channels are bright in the box's.
    """
    random = np.random.default_rng(seed)
    boxed, bright = random.integers(0, 7, patients), random.integers(0, 7, (patients, 32))
    bright[:, :firing] = boxed[:, None]
    maps = np.full((patients, 32, 3, 21), 0.5, np.float32)
    np.put_along_axis(maps, (3 * bright + 1)[:, :, None, None].repeat(3, 2), 1.0, 3)
    samples = [sample(n, (Box("Mass", strip / 7, 0, (strip + 1) / 7, 1),)) for n, strip in enumerate(boxed)]
    return samples, maps


def test_four_of_32_channels_that_fire_in_the_box_lift_the_counts_by_as_much_as_was_planted() -> None:
    """A seventh of the channels is bright in any box by chance: 32/7. In the own box the four are too: 4 + 28/7 = 8, so an excess of
    24/7 and a lift of log 7/4, .56.
    """
    found = found_of(*columns_of(*strips(1, 210, 4), {"quantile": 0.05}))
    for name in ("disjoint", "unique"):
        assert found[f"{name}_others"]["value"] == pytest.approx(32 / 7, abs=0.15)
        assert found[f"{name}_excess"]["value"] == pytest.approx(24 / 7, abs=0.2)
        assert found[f"{name}_lift"]["value"] == pytest.approx(np.log(7 / 4), abs=0.05)
        assert found[f"{name}_lift"]["low"] < np.log(7 / 4) < found[f"{name}_lift"]["high"]
        assert found[f"{name}_lift"]["low"] > 0.4
        assert found[f"{name}_excess_per_channel"]["value"] == pytest.approx(found[f"{name}_excess"]["value"] / 32)


def test_maps_that_know_nothing_of_the_box_have_no_excess_and_no_lift() -> None:
    found = found_of(*columns_of(*noise_maps(2, 70, 32), {}))
    for name in ("disjoint", "unique"):
        assert found[f"{name}_others"]["value"] > 1
        for number in ("excess", "lift", "excess_per_channel"):
            row = found[f"{name}_{number}"]
            assert row["low"] < 0 < row["high"]


def test_a_dead_network_has_an_excess_of_nothing_and_no_lift() -> None:
    samples, _ = noise_maps(3, 20, 4)
    found = found_of(*columns_of(samples, np.zeros((20, 4, 14, 14), np.float32), {}), "Mass")
    excess = found["disjoint_excess"]
    assert (excess["value"], excess["low"], excess["high"]) == (0, None, None)
    assert excess["note"] == "no patient differs: no interval"
    assert found["disjoint_lift"]["value"] is None
    assert found["disjoint_lift"]["missing"].startswith("not estimable: nothing")
    assert found["disjoint_excess_per_channel"]["missing"] == "not estimable: no active_channels"


# Inactive channels


def sparse_channels() -> Array:
    """Four channels over 10 images of 100 values: lively, silent but for 5 values, never above 0, dead."""
    random = np.random.default_rng(0)
    maps = np.zeros((10, 4, 10, 10), np.float32)
    maps[:, 0], maps[:, 2] = random.random((10, 10, 10)), -random.random((10, 10, 10))
    maps[0, 1].flat[:5] = [1, 2, 3, 4, 5]
    return maps


def test_channels_that_are_hardly_ever_on_are_told_and_left_out_if_asked() -> None:
    samples = [sample(number, (Box("Mass", 0, 0, 1, 1),)) for number in range(10)]
    counted, model = dissect(Dissection(), samples, sparse_channels(), (10, 10))
    assert (model["active_channels"], model["inactive_channels"], model["dead_channels"]) == (1, 3, 1)
    without, again = dissect(Dissection(inactive="excluded"), samples, sparse_channels(), (10, 10))
    assert again == model
    assert counted["image000", 0]["unique_concepts"] > without["image000", 0]["unique_concepts"]
    assert without == dissect(Dissection(), samples, sparse_channels()[:, :1], (10, 10))[0]


def test_thresholds_per_batch_tell_the_same_inactive_channels() -> None:
    samples = [sample(number, (Box("Mass", 0, 0, 1, 1),)) for number in range(10)]
    for options in ({"tau_scope": "batch", "batch": 10}, {"quantile_on": "upsampled"}):
        _, model = dissect(Dissection(**options), samples, sparse_channels(), (10, 10))  # type: ignore[arg-type]
        assert (model["active_channels"], model["inactive_channels"]) == (1, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 1.0}, "quantile: 1.0 is not between 0 and 1"),
        ({"draws": 0}, "draws: 0 is not 1 or more"),
        ({"batch": 0}, "batch: 0 is not 1 or more"),
        ({"others": -1}, "others: -1 is not 0 or more"),
        ({"per_class_region": "union"}, "with per_class_region: union add others: 0"),
        ({"preset": "imba-explain", "quantile_reference": "all"}, "use quantile_reference: annotated"),
        (
            {"preset": "imba-explain", "unit": "label", "per_class_region": "union", "tau_scope": "batch", "batch": 0},
            "1 or more",
        ),
        ({"batch": 128}, "does nothing while tau_scope is dataset"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Dissection(**options)


def test_every_declared_metric_is_returned() -> None:
    rows, model = dissect(Dissection(), boxed_samples(3), smooth_maps(3, 4, (7, 7)))
    assert {name for row in rows.values() for name in row} | set(model) == {m.name for m in Dissection.metrics if m.per_case}
