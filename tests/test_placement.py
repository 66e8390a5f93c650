"""A map against regions: the algebra of chance correction as laws, and slow twins pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from auditor.boxes import Edges, union_mask
from auditor.placement import Regions, apart, effective_support, joined, placed, regions, sizes, sums

Array = npt.NDArray[np.float64]
HEIGHT, WIDTH = 9, 13


@st.composite
def boxes(draw: st.DrawFn) -> list[Edges]:
    """One to three boxes on the grid."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        found.append(Edges(left, top, draw(st.integers(left + 1, WIDTH)), draw(st.integers(top + 1, HEIGHT))))
    return found


maps = arrays(np.float64, (HEIGHT, WIDTH), elements=st.integers(0, 40).map(lambda level: level / 8))


def cbl_twin(pixels: Array, mask: npt.NDArray[np.bool_]) -> float:
    """The definition as it is written, with the k largest pixels counted out."""
    if pixels.min() == pixels.max():
        return 0.0
    k, n = int(mask.sum()), pixels.size
    inside = sum(float(pixels[y, x]) for y, x in zip(*np.nonzero(mask), strict=True))
    best = sum(sorted(pixels.ravel().tolist())[-k:])
    chance = float(pixels.sum()) * k / n
    return (inside - chance) / (best - chance)


def auc_twin(pixels: Array, mask: npt.NDArray[np.bool_]) -> float:
    """Every pixel inside against every pixel outside."""
    pairs = [(a > b) + 0.5 * (a == b) for a in pixels[mask] for b in pixels[~mask]]
    return float(np.mean(pairs))


@given(maps, st.lists(boxes(), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_every_score_of_every_region_equals_its_slow_twin(pixels: Array, cases: list[list[Edges]]) -> None:
    found = placed(pixels, regions(cases))
    peaks = pixels == pixels.max()
    for number, edges in enumerate(cases):
        mask = union_mask(edges, HEIGHT, WIDTH)
        if mask.all():
            assert math.isnan(found.cbl[number])
            assert math.isnan(found.pixel_auc[number])
            assert math.isnan(found.pointing[number])
            continue
        assert found.cbl[number] == pytest.approx(cbl_twin(pixels, mask), abs=1e-12)
        assert found.pixel_auc[number] == pytest.approx(auc_twin(pixels, mask), abs=1e-12)
        assert found.pixel_auc[number] == pytest.approx(roc_auc_score(mask.ravel(), pixels.ravel()), abs=1e-12)
        assert found.pointing[number] == pytest.approx((peaks & mask).sum() / peaks.sum(), abs=1e-12)


def corrected(score: float, chance: float, best: float) -> float:
    return (score - chance) / (best - chance)


@given(maps, boxes(), st.floats(0.01, 100), st.floats(0, 100))
@settings(deadline=None, max_examples=100)
def test_scaling_and_shifting_a_map_leaves_its_chance_corrected_localisation_alone(
    pixels: Array, edges: list[Edges], scale: float, shift: float
) -> None:
    own = regions([edges])
    assume(sizes(own)[0] < pixels.size)
    assert placed(scale * pixels + shift, own).cbl[0] == pytest.approx(placed(pixels, own).cbl[0], abs=1e-9)


@given(maps, boxes())
@settings(deadline=None, max_examples=100)
def test_iobb_and_ior_corrected_for_chance_are_both_the_same_number(pixels: Array, edges: list[Edges]) -> None:
    own = regions([edges])
    k, n, total = int(sizes(own)[0]), pixels.size, float(pixels.sum())
    assume(k < n and pixels.min() < pixels.max())
    inside, best = sums(pixels, own)[0], float(np.sort(pixels, axis=None)[-k:].sum())
    found = placed(pixels, own).cbl[0]
    assert corrected(inside / k, total / n, best / k) == pytest.approx(found, abs=1e-10)
    assert corrected(inside / total, k / n, best / total) == pytest.approx(found, abs=1e-10)


@given(boxes(), st.floats(0, 10))
@settings(deadline=None)
def test_a_constant_map_scores_nothing_and_an_ideal_one_everything(edges: list[Edges], level: float) -> None:
    own = regions([edges])
    assume(sizes(own)[0] < HEIGHT * WIDTH)
    flat = placed(np.full((HEIGHT, WIDTH), level), own)
    assert (flat.cbl[0], flat.pixel_auc[0]) == (0, 0.5)
    assert flat.pointing[0] == pytest.approx(sizes(own)[0] / (HEIGHT * WIDTH), abs=1e-12)
    ideal = placed(union_mask(edges, HEIGHT, WIDTH) * 3.0, own)
    assert ideal.cbl[0] == ideal.pixel_auc[0] == ideal.pointing[0] == pytest.approx(1, abs=1e-12)


@given(maps, boxes(), st.sampled_from([np.sqrt, np.square, np.expm1]))
@settings(deadline=None, max_examples=60)
def test_pixel_auc_depends_on_the_order_of_the_pixels_only(
    pixels: Array, edges: list[Edges], rising: Callable[[Array], Array]
) -> None:
    own = regions([edges])
    assume(sizes(own)[0] < pixels.size)
    assert placed(rising(pixels), own).pixel_auc[0] == pytest.approx(placed(pixels, own).pixel_auc[0], abs=1e-12)


@given(boxes())
@settings(deadline=None)
def test_overlapping_boxes_become_rectangles_of_the_same_pixels_that_do_not_overlap(edges: list[Edges]) -> None:
    painted = np.zeros((HEIGHT, WIDTH), int)
    for left, top, right, bottom in apart(edges):
        painted[top:bottom, left:right] += 1
    np.testing.assert_array_equal(painted, union_mask(edges, HEIGHT, WIDTH))


def test_moving_the_box_around_a_torus_gives_the_chance_level_exactly() -> None:
    pixels = np.random.default_rng(0).random((HEIGHT, WIDTH)) ** 4
    mask = union_mask([Edges(2, 3, 6, 5)], HEIGHT, WIDTH)
    everywhere = [np.roll(mask, (y, x), (0, 1)) for y in range(HEIGHT) for x in range(WIDTH)]
    assert np.mean([pixels[place].mean() for place in everywhere]) == pytest.approx(pixels.mean(), abs=1e-12)
    assert np.mean([pixels[place].sum() / pixels.sum() for place in everywhere]) == pytest.approx(mask.mean(), abs=1e-12)


def test_a_region_outside_the_grid_has_no_score_and_spoils_no_other() -> None:
    pixels = np.arange(12.0).reshape(3, 4)
    found = placed(pixels, regions([[], [Edges(2, 1, 4, 3)], []]))
    assert np.isnan(found.cbl).tolist() == np.isnan(found.pixel_auc).tolist() == [True, False, True]
    assert np.isnan(found.pointing).tolist() == [True, False, True]


def test_regions_that_are_joined_keep_their_order() -> None:
    first, second = regions([[Edges(0, 0, 1, 1)]]), regions([[], [Edges(0, 0, 2, 3)]])
    both = joined(first, second)
    assert isinstance(both, Regions)
    np.testing.assert_array_equal(sizes(both), [1, 0, 6])


@pytest.mark.parametrize(("spread", "expected"), [(1, 1 / 20), (5, 5 / 20), (20, 1.0)])
def test_effective_support_is_the_share_of_an_evenly_lit_patch(spread: int, expected: float) -> None:
    pixels = np.zeros(20)
    pixels[:spread] = 0.7
    assert effective_support(pixels.reshape(4, 5)) == pytest.approx(expected)


def test_an_empty_map_has_no_support() -> None:
    assert math.isnan(effective_support(np.zeros((3, 3))))


def test_a_wider_bump_trades_iobb_for_ior_and_keeps_its_chance_corrected_localisation() -> None:
    """The trade-off of the paper is map mass: docs/methods.md A.10."""
    y, x = np.mgrid[0:64, 0:64]
    own = regions([[Edges(20, 24, 36, 40)]])
    found = []
    for width in (2.0, 8.0, 32.0):
        pixels = np.exp(-((x - 27.5) ** 2 + (y - 31.5) ** 2) / (2 * width**2))
        found.append((sums(pixels, own)[0] / 256, sums(pixels, own)[0] / pixels.sum(), placed(pixels, own).cbl[0]))
    iobb, ior, cbl = zip(*found, strict=True)
    assert iobb[0] < 0.2 < 0.9 < iobb[2]
    assert ior[0] > 0.9 > 0.2 > ior[2]
    assert min(cbl) > 0.93
