"""What a simulation starts from, and how its curves are contrasted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from auditor.errors import DatasetError
from auditor.selection.paired import MEAN, differences, interval
from auditor.selection.start import Groups, binary, draw, long_tail, sizes


def test_a_binary_imbalance_sets_apart_the_images_with_any_rare_class() -> None:
    labels = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1], [-1, 0, 0], [0, -1, 0], [-1, 1, 0]], np.int8)
    assert binary(labels, [0, 1]).of.tolist() == [0, 1, 1, 1, -1, -1, 1]


def test_a_long_tail_counts_an_image_as_its_rarest_finding() -> None:
    labels = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0, -1], [-1, 1]], np.int8)
    groups = long_tail(labels, ("common", "rare"), [0, 1])
    assert groups.names == ("no finding", "common", "rare")
    assert groups.of.tolist() == [0, 1, 2, 2, -1, 2]


def test_the_sizes_fall_in_equal_proportions() -> None:
    assert sizes(100, 2, 20) == [100, 5]
    assert sizes(800, 4, 8) == [800, 400, 200, 100]
    assert sizes(10, 3, 1000) == [10, 1, 1]
    assert sizes(10, 3, 1) == [10, 10, 10]


def groups(common: int, rare: int) -> Groups:
    return Groups(("without", "with"), np.array([0] * common + [1] * rare + [-1] * 7))


def test_a_start_holds_what_was_asked_for_and_no_image_twice() -> None:
    found = draw(groups(100, 20), groups(30, 4), [40, 2], [50, 10], 6, seed=0)
    assert [len(part) for part in found] == [42, 60, 10]
    assert not set(found.labelled) & set(found.pool)
    assert (found.labelled >= 100).sum() == 2
    assert (found.pool >= 100).sum() == 10
    assert (found.query >= 30).sum() == 4
    again, other = (draw(groups(100, 20), groups(30, 4), [40, 2], [50, 10], 6, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(found.pool, again.pool)
    assert found.pool.tolist() != other.pool.tolist()


def test_too_few_images_of_a_group_are_told() -> None:
    with pytest.raises(
        DatasetError, match="found 20 images of the group 'with'; needed: 25, labelled and in the pool together"
    ):
        draw(groups(100, 20), groups(30, 4), [40, 5], [50, 20], 6, seed=0)


def test_a_difference_is_paired_by_seed_as_a_t_test_of_two_related_samples_does() -> None:
    rng = np.random.default_rng(0)
    mine, theirs = rng.normal(0.8, 0.05, (5, 4)), rng.normal(0.7, 0.05, (5, 4))
    curves = {(seed, "flqmi"): list(mine[seed]) for seed in range(5)} | {
        (seed, "random"): list(theirs[seed]) for seed in range(5)
    }
    found = {row.round: row for row in differences(curves, "auroc", ["flqmi"], ["random"])}
    assert list(found) == ["1", "2", "3", MEAN]
    for place in (1, 2, 3):
        wanted = stats.ttest_rel(mine[:, place], theirs[:, place])
        low, high = wanted.confidence_interval()
        assert found[str(place)].value == pytest.approx((mine - theirs)[:, place].mean())
        assert (found[str(place)].low, found[str(place)].high) == pytest.approx((low, high))
    assert found[MEAN].value == pytest.approx((mine - theirs)[:, 1:].mean())


def test_one_seed_has_no_interval_and_none_has_no_value() -> None:
    assert interval([0.25]) == (0.25, None, None, 1, "one seed has no spread")
    assert interval([None, None]) == (None, None, None, 0, "no seed has a value for both")
    assert interval([0.1, None, 0.3])[:1] == (pytest.approx(0.2),)


def test_a_seed_that_lacks_a_side_is_left_out_of_the_pair() -> None:
    curves = {(0, "flqmi"): [0.0, 0.5], (1, "flqmi"): [0.0, 0.9], (0, "random"): [0.0, 0.4]}
    (first, _) = differences(curves, "auroc", ["flqmi"], ["random"])
    assert (first.value, first.seeds, first.missing) == (pytest.approx(0.1), 1, "one seed has no spread")
