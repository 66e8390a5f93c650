"""What one batch tells of an explanation method, on maps worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from auditor.probes import SAME, differences, exchanged, rank_correlation, repeated, unlike_grey

IMAGES = torch.arange(2 * 1 * 2 * 3, dtype=torch.float32).reshape(2, 1, 2, 3) / 12
ROWS = torch.tensor([0, 1])


def explain(images: Tensor) -> Tensor:
    """The image itself."""
    return images[ROWS, 0]


def test_the_difference_of_two_maps_is_the_largest_as_a_share_of_both() -> None:
    one = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]], [[3.0, -1.0]], [[0.0, 0.0]]])
    other = torch.tensor([[[1.0, 1.0]], [[0.0, 4.0]], [[-3.0, 1.0]], [[0.0, 0.0]]])
    assert differences(one, other).tolist() == pytest.approx([1 / 3, 1, 1, 0])


def test_a_number_against_none_is_as_different_as_can_be_and_none_against_none_is_the_same() -> None:
    one = torch.tensor([[[1.0, math.nan]], [[1.0, math.nan]]])
    other = torch.tensor([[[1.0, 2.0]], [[1.0, math.nan]]])
    assert differences(one, other).tolist() == [1.0, 0.0]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=8))
def test_the_difference_lies_between_0_and_1_and_has_no_order(values: list[float]) -> None:
    one, other = torch.tensor(values).reshape(2, 1, 2, 2).unbind()
    (forth,), (back,) = differences(one, other), differences(other, one)
    assert 0 <= forth <= 1
    assert forth == back


def test_a_map_that_knows_its_own_image_alone_is_not_moved_and_one_that_knows_the_batch_is() -> None:
    assert exchanged(explain(IMAGES), explain, IMAGES, ROWS) == 0.0

    def coupled(images: Tensor) -> Tensor:
        return explain(images) + images.mean()

    assert exchanged(coupled(IMAGES), coupled, IMAGES, ROWS) > SAME


def test_a_single_image_has_no_companion() -> None:
    assert math.isnan(exchanged(explain(IMAGES)[:1], explain, IMAGES, ROWS[:1]))


def test_a_method_that_counts_its_calls_does_not_repeat_itself() -> None:
    calls: list[int] = []

    def counting(images: Tensor) -> Tensor:
        calls.append(1)
        return explain(images) + 0.1 * len(calls)

    assert repeated(explain(IMAGES), explain, IMAGES) == 0.0
    assert repeated(counting(IMAGES), counting, IMAGES) > SAME


def test_a_map_of_the_image_differs_from_grey_and_one_of_nothing_does_not_however_strong_it_is() -> None:
    grey = torch.full((1, 2, 3), 0.5)
    assert unlike_grey(explain(IMAGES), explain, IMAGES, grey) == (1.0, 1.0)

    def bump(images: Tensor) -> Tensor:
        return torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) * images.mean((1, 2, 3))[ROWS, None, None]

    assert unlike_grey(bump(IMAGES), bump, IMAGES, grey) == (1.0, 0.0)


def test_maps_that_are_all_constant_tell_nothing_and_maps_that_are_not_finite_are_counted() -> None:
    grey = torch.full((1, 2, 3), 0.5)

    def empty(images: Tensor) -> Tensor:
        return images.new_zeros((2, 2, 3))

    finite, differs = unlike_grey(empty(IMAGES), empty, IMAGES, grey)
    assert (finite, math.isnan(differs)) == (1.0, True)

    def divided(images: Tensor) -> Tensor:
        shown = explain(images)
        return shown / (shown.amax((1, 2), keepdim=True) - shown.amin((1, 2), keepdim=True))

    assert unlike_grey(divided(IMAGES), divided, IMAGES, grey) == (0.0, 1.0)


def test_the_rank_correlation_is_spearmans_of_the_magnitudes() -> None:
    draw = torch.Generator().manual_seed(1)
    one, other = torch.randn(3, 5, 4, generator=draw), torch.randn(3, 5, 4, generator=draw).round(decimals=1)
    expected = np.mean([spearmanr(a.abs().ravel(), b.abs().ravel()).statistic for a, b in zip(one, other, strict=True)])
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, -3 * one) == pytest.approx(1.0)
    assert math.isnan(rank_correlation(one, torch.zeros_like(one)))
