"""Masks are cut and scaled exactly as the image is, and never mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import Preprocessing
from auditor.imaging import prepare
from auditor.masks import on_grid, prepare_mask
from auditor.registry import Registry


def planted(**options: Any) -> Any:
    return Registry().get("datasets", "planted")(**options)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_a_mask_is_scaled_to_the_pixel_whose_area_holds_each_centre(height: int, width: int, size: int) -> None:
    mask = np.random.default_rng(height * 41 + width).integers(0, 2, (1, height, width)).astype(np.uint8)
    found, frame = prepare_mask(mask, Preprocessing(size=size))
    for row in range(size):
        for column in range(size):
            down, across = (2 * row + 1) * height // (2 * size), (2 * column + 1) * width // (2 * size)
            assert found[0, row, column] == mask[0, down, across]
    assert tuple(frame) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    "lens", [Preprocessing(size=48), Preprocessing(size=40, fit="crop", resize=48), Preprocessing(size=96)]
)
@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (100, 64)])
def test_a_mask_lies_on_the_image_wherever_that_is_cut_and_scaled(lens: Preprocessing, shape: tuple[int, int]) -> None:
    """The image is its own mask: bright where the mask is, so the two must agree but on its blurred border."""
    mask = np.zeros((1, *shape), np.uint8)
    mask[0, shape[0] // 4 : shape[0] // 2, shape[1] // 3 : 2 * shape[1] // 3] = 1
    pixels, seen = prepare(mask.astype(np.float32), lens)
    found, frame = prepare_mask(mask, lens)
    assert frame == seen
    shade = pixels[0] / 65535
    assert (found[0][shade > 0.9] == 1).all()
    assert (found[0][shade < 0.1] == 0).all()
    assert (shade > 0.9).sum() > 60


def test_a_coarse_grid_shows_the_middle_of_each_cell() -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    assert on_grid(mask, 8, 8) is not None
    np.testing.assert_array_equal(on_grid(mask, 8, 8), mask)
    np.testing.assert_array_equal(on_grid(mask, 2, 2), [[[18, 22], [50, 54]]])


@pytest.mark.parametrize("size", [64, (64, 96)])
@pytest.mark.parametrize("task", ["multilabel", "binary"])
def test_planted_masks_are_where_the_boxes_and_the_labels_say(size: Any, task: str) -> None:
    data = planted(images=60, size=size, task=task)
    height, width = data.read(data.index()[0]).shape[1:]
    seen = 0
    for sample in data.index():
        mask = data.mask(sample)
        assert mask.shape == (len(data.classes()), height, width)
        for number, name in enumerate(data.classes()):
            assert bool(mask[number].any()) == bool(sample.labels[number])
            boxes = [box for box in sample.boxes if box.label == name]
            if boxes:
                rows, columns = np.nonzero(mask[number])
                assert columns.min() == pytest.approx(min(box.left for box in boxes) * width)
                assert rows.max() + 1 == pytest.approx(max(box.bottom for box in boxes) * height)
                seen += 1
    assert seen > 20
