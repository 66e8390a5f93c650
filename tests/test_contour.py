"""The line around what exceeds a level: worked example, OpenCV as oracle, and laws."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.bilinear import matrix
from auditor.contour import GRID, contours

Array = np.ndarray[Any, Any]


def area(line: list[tuple[float, float]]) -> float:
    """Twice-signed shoelace, in fractions of the map."""
    x, y = np.array(line).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def pixels(raw: Array, size: int) -> Array:
    fine = matrix(raw.shape[0], size) @ raw.astype(np.float64) @ matrix(raw.shape[1], size).T
    return np.asarray(fine)


def test_one_bright_node_gives_one_closed_line_around_it() -> None:
    """Node (1, 2) of 4 x 4 is 1, its neighbours 0: halfway to each neighbour the map is 0.5."""
    raw = np.zeros((4, 4))
    raw[1, 2] = 1
    (line,) = contours(raw, 0.5)
    points = np.array(line)
    assert points[:, 0].min() == pytest.approx((2.5 - 0.5) / 4, abs=0.006)
    assert points[:, 0].max() == pytest.approx((2.5 + 0.5) / 4, abs=0.006)
    assert points[:, 1].min() == pytest.approx((1.5 - 0.5) / 4, abs=0.006)
    assert points[:, 1].max() == pytest.approx((1.5 + 0.5) / 4, abs=0.006)


def test_a_place_at_the_edge_is_closed_along_it_and_nothing_has_no_line() -> None:
    raw = np.zeros((2, 2))
    raw[:, 0] = 1
    (line,) = contours(raw, 0.5)
    points = np.array(line)
    assert points.min() == 0
    assert points[:, 1].max() == 1
    assert points[:, 0].max() == pytest.approx(0.5, abs=0.01)
    assert contours(np.ones((3, 3)), 1.0) == []
    assert abs(area(contours(np.ones((3, 3)), 0.5)[0])) == pytest.approx(1, abs=1e-3)


def test_values_at_the_level_itself_do_not_break_the_line() -> None:
    """Features that were thinned rest at one value over wide places; the level can be that value."""
    raw = np.array([[0.0, 0.5, 0.5, 0.0], [0.5, 1.0, 0.5, 0.0], [0.0, 0.5, 1.0, 0.5], [0.0, 0.0, 0.5, 0.0]])
    lines = contours(raw, 0.5)
    assert sum(abs(area(line)) for line in lines) == pytest.approx((pixels(raw, 512) > 0.5).mean(), abs=0.01)


@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(2, 9), st.floats(0.2, 0.8))
@settings(deadline=None, max_examples=40)
def test_the_lines_hold_the_area_above_the_level(seed: int, height: int, width: int, level: float) -> None:
    """Signed areas, holes taken off, against counted pixels; and as many outer lines as OpenCV finds on the same grid."""
    raw = np.random.default_rng(seed).random((height, width))
    lines = contours(raw, level)
    assert -sum(area(line) for line in lines) == pytest.approx((pixels(raw, 640) > level).mean(), abs=0.006)
    mask = (pixels(raw, GRID) > level).astype(np.uint8)
    _, labels = cv2.connectedComponents(mask, connectivity=4)
    assert sum(area(line) < 0 for line in lines) == labels.max()
    assert all(0 <= x <= 1 and 0 <= y <= 1 for line in lines for x, y in line)
