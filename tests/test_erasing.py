"""Filling in, borders and places elsewhere: exact on even slopes, slow twins by loops, laws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from auditor_plugins.datasets.planted import Planted
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import Edges, planted
from auditor.boxes import union_mask
from auditor.erasing import filled
from auditor.letter import letter, letter_bounds
from auditor.other_places import border, elsewhere, frame_inside

SIDES = st.integers(6, 24)


def twin(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixel by pixel: the nearest known pixel in each of four directions, weighted by one over its distance; then again."""
    found, known = image.copy(), ~mask
    while not known.all():
        new = known.copy()
        before = found.copy()
        for y, x in zip(*np.nonzero(~known), strict=True):
            total, weights = np.zeros(len(image)), 0.0
            for down, across in ((0, -1), (0, 1), (-1, 0), (1, 0)):
                step = 1
                while 0 <= y + down * step < mask.shape[0] and 0 <= x + across * step < mask.shape[1]:
                    if known[y + down * step, x + across * step]:
                        total += before[:, y + down * step, x + across * step] / step
                        weights += 1 / step
                        break
                    step += 1
            if weights:
                found[:, y, x], new[y, x] = total / weights, True
        known = new
    return found


@given(st.data(), SIDES, SIDES)
@settings(max_examples=60, deadline=None)
def test_filling_in_is_its_slow_twin_and_stays_within_what_is_around(data: st.DataObject, height: int, width: int) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    image, mask = random.normal(size=(2, height, width)), random.random((height, width)) < data.draw(st.floats(0, 0.9))
    mask[random.integers(height), random.integers(width)] = False
    result = filled(image, mask)
    np.testing.assert_allclose(result, twin(image, mask), atol=1e-12)
    assert np.array_equal(result[:, ~mask], image[:, ~mask])
    for channel in range(2):
        around = image[channel][~mask]
        assert result[channel].min() >= around.min() - 1e-12
        assert result[channel].max() <= around.max() + 1e-12


@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 9), st.integers(1, 9))
def test_an_even_slope_is_restored_exactly(down: float, across: float, top: int, left: int) -> None:
    slope = np.add.outer(down * np.arange(16.0), across * np.arange(20.0))[None]
    mask = union_mask([Edges(left, top, left + 5, top + 4)], 16, 20)
    spoilt = np.where(mask, 99.0, slope)
    np.testing.assert_allclose(filled(spoilt, mask), slope, atol=1e-12)


def test_a_mask_over_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="covers the whole image"):
        filled(np.zeros((1, 3, 3)), np.ones((3, 3), bool))


def test_a_border_worked_by_hand() -> None:
    assert border(20, 40, 0.05).sum() == 2 * 40 + 2 * 18  # one pixel: 5 % of 20
    assert border(100, 200, 0.05).sum() == 100 * 200 - 90 * 190
    assert border(6, 6, 0.05).sum() == 20  # never less than a pixel


@given(st.integers(16, 64), st.integers(16, 64), st.floats(0.001, 0.125))
def test_the_frame_inside_is_as_large_as_the_border_and_no_thicker_than_it_must_be(
    height: int, width: int, share: float
) -> None:
    outer, inner = border(height, width, share), frame_inside(height, width, share)
    assert not (outer & inner).any()
    assert inner.sum() >= outer.sum()
    depth = np.add.outer(np.zeros(height), np.zeros(width))
    for y in range(height):
        for x in range(width):
            depth[y, x] = min(y, x, height - 1 - y, width - 1 - x)
    thickness = int(depth[inner].max() - depth[outer].max())
    assert (inner == ((depth > depth[outer].max()) & (depth <= depth[inner].max()))).all()
    assert (inner & (depth < depth[outer].max() + thickness)).sum() < outer.sum()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_boxes_elsewhere_have_their_sizes_and_touch_nothing(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    taken = random.random((20, 30)) < data.draw(st.floats(0, 0.3))
    boxes = [Edges(0, 0, int(w), int(h)) for w, h in random.integers(1, 7, (data.draw(st.integers(1, 3)), 2))]
    found = elsewhere(boxes, taken, np.random.default_rng(0))
    if found is None:
        return
    assert found == elsewhere(boxes, taken, np.random.default_rng(0))
    assert [(b.right - b.left, b.bottom - b.top) for b in found] == [(b.right, b.bottom) for b in boxes]
    assert union_mask(found, 20, 30).sum() == sum(b.right * b.bottom for b in boxes)
    assert not (union_mask(found, 20, 30) & taken).any()


def test_places_elsewhere_are_drawn_evenly_and_none_where_there_is_no_room() -> None:
    taken = np.zeros((3, 4), bool)
    taken[1, 1] = True
    found = Counter(elsewhere([Edges(0, 0, 1, 1)], taken, np.random.default_rng(n))[0] for n in range(2200))  # type: ignore[index]
    assert len(found) == 11
    assert all(140 < times < 260 for times in found.values())  # 200 expected, standard deviation 13
    assert elsewhere([Edges(0, 0, 3, 3)], taken, np.random.default_rng(0)) is None
    assert elsewhere([Edges(0, 0, 2, 3)] * 2, taken, np.random.default_rng(0)) is None


@pytest.mark.parametrize("size", [32, 128, (200, 150)])
def test_the_planted_markers_box_holds_exactly_what_was_drawn(size: int | tuple[int, int]) -> None:
    dataset = Planted(images=30, size=size)
    height, width = (size, size) if isinstance(size, int) else size
    seen = Counter()
    for sample in dataset.index():
        patient, number = map(int, sample.source.split("/"))
        mask = planted.draw(dataset.film(patient, number), height, width).marker
        seen[sample.metadata["marker"]] += 1
        assert len(sample.objects) == int(mask.any())
        for box in sample.objects:
            rows, columns = np.nonzero(mask)
            edges = (box.left * width, box.top * height, box.right * width, box.bottom * height)
            assert edges == pytest.approx((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
            assert box.label == "marker"
    assert set(seen) == {"L", "R", "none"}


def test_a_grid_too_coarse_for_a_letter_has_none() -> None:
    assert letter_bounds("R", 4, 4) is None
    assert not letter("R", 4, 4).any()
