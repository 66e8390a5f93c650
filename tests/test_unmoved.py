"""Where no patient moves a number it is not certain: its interval has a width, holds what it promises, and says why it is there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.metric import Metric
from auditor.statistics.compare import compare
from auditor.statistics.effect import Linear
from auditor.statistics.influence import Influence, averaged, interval, mean, share, times
from auditor.statistics.rows import MACRO, Cohort, Values
from auditor.statistics.summarise import summarise
from auditor.statistics.unmoved import NO_PATIENT_DIFFERS, Unmoved, settled, still, unseen, with_ends

SHARE = Metric("hit", "A hit.", better="higher", low=0, high=1)
BARE = Metric("size", "A size.")
AUROC = Metric("auroc", "Ranks.", low=0, high=1, statistic="auroc", of="logit")
PRECISION = Metric("ap", "Ranks.", low=0, high=1, statistic="average_precision", of="logit")


def cohort(labels: list[list[int]], patients: Any = None) -> Cohort:
    names = tuple("ABC"[: len(labels[0])])
    return Cohort(names, np.arange(len(labels)) if patients is None else np.asarray(patients), np.array(labels, np.int8))


def column(rows: list[list[float]]) -> Values:
    table = np.array(rows)
    sample, target = (axis.ravel() for axis in np.indices(table.shape))
    return Values(sample, target, table.ravel())


@given(st.integers(2, 5_000), st.floats(0.5, 0.9999))
def test_the_unseen_share_is_never_below_the_exact_bound(patients: int, level: float) -> None:
    """Clopper and Pearson: with a share pi of patients who differ, G are alike with probability (1 - pi)^G."""
    assert unseen(patients, level) >= 1 - ((1 - level) / 2) ** (1 / patients) - 1e-12


def test_the_rule_of_three() -> None:
    for patients in (50, 500):
        assert 3 / patients < unseen(patients) < 4.1 / patients


@pytest.mark.parametrize(("patients", "pi"), [(10, 0.1), (10, 0.3), (30, 0.05), (30, 0.12), (100, 0.02)])
def test_it_covers_however_large_the_share_is_that_was_not_seen(patients: int, pi: float) -> None:
    """Exact, not simulated: all are alike with probability (1 - pi)^G; the interval may then miss pi in at most 2.5 % of studies."""
    missed = (1 - pi) ** patients if unseen(patients) < pi else 0.0
    assert missed <= 0.025


@given(st.integers(2, 400), st.floats(-1, 1).filter(lambda v: abs(v) > 1e-3))
def test_the_p_value_is_that_of_the_interval(patients: int, value: float) -> None:
    effect = Unmoved(value, patients, -1.0, 1.0)
    for level in (1 - effect.p - 1e-6, 1 - effect.p + 1e-6):
        if 0 < level < 1 - 1e-9:
            low, high = effect.interval(level)
            assert (low <= 0 <= high) == (level > 1 - effect.p)
    assert Unmoved(0.0, patients, -1.0, 1.0).p == 1


def test_ten_of_ten_get_the_interval_of_a_sensitivity_of_ten_of_ten() -> None:
    ones, who = np.ones(10), np.arange(10)
    found = mean(ones, who)
    assert isinstance(found, Influence)
    wilson = share(ones, who)
    assert isinstance(wilson, Influence)
    assert interval(with_ends(found, 0, 1)) == pytest.approx(interval(wilson))
    assert interval(with_ends(found, 0, 1))[0] == pytest.approx(10 / (10 + 2.2621571627**2))


def test_a_number_that_a_patient_moves_is_left_as_it_is() -> None:
    moved = mean(np.array([1.0, 1.0, 0.0]), np.arange(3))
    assert isinstance(moved, Influence)
    assert with_ends(moved, 0, 1) is moved
    effect = Linear(0.2, np.arange(3), np.array([0.1, -0.1, 0.0]))
    assert settled(effect, 1.0, 3) is effect
    alone = Influence(1.0, np.arange(1), np.array([np.nan]), 4)
    assert not still(alone), "how far another patient would move it is not known"


def test_a_level_of_all_patients_alike_has_a_width_and_one_without_bounds_has_no_interval() -> None:
    rows = {metric.name: summarise(metric, column([[1.0]] * 30), cohort([[1]] * 30)) for metric in (SHARE, BARE)}
    hit, size = (next(row for row in rows[name] if row.class_name == "A") for name in ("hit", "size"))
    assert (hit.value, hit.high) == (1, 1)
    assert hit.low == pytest.approx(1 - unseen(30))
    assert hit.note is None
    assert (size.value, size.low, size.high, size.note) == (1, None, None, NO_PATIENT_DIFFERS)


def test_a_perfect_ranking_is_as_sure_as_its_rarer_kind_and_average_precision_has_no_interval() -> None:
    """Disjoint pairs of a positive and a negative, all in order: their number is that of the rarer kind."""
    labels = [[1]] * 25 + [[0]] * 75
    scores = column([[float(label[0])] for label in labels])
    row, precision = (summarise(metric, scores, cohort(labels))[0] for metric in (AUROC, PRECISION))
    assert row.low == pytest.approx(1 - unseen(25))
    assert (precision.low, precision.note) == (None, NO_PATIENT_DIFFERS)
    one, *_ = summarise(AUROC, scores, cohort(labels, [0] * 25 + list(range(1, 76))))
    assert (one.low, one.note) == (None, "fewer than 2 positive or negative patients: no interval")


def test_a_mean_over_classes_keeps_the_width_of_a_class_in_which_no_patient_differs() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([np.ones(30), (rng.random(30) < 0.5).astype(float)], 1)
    rows = {row.class_name: row for row in summarise(SHARE, column(values.tolist()), cohort([[1, 1]] * 30))}
    a, b, over = rows["A"], rows["B"], rows[MACRO]
    below = [row.value - row.low for row in (a, b)]  # type: ignore[operator]
    assert over.value - over.low == pytest.approx(math.hypot(*below) / 2)  # type: ignore[operator]
    both = with_ends(Influence(1.0, np.arange(9), np.zeros(9), 9), 0, 1)
    assert interval(averaged([both, both])) == pytest.approx(interval(both)), "the same patients twice are no more patients"


def test_a_difference_in_which_no_patient_differs_is_not_certain() -> None:
    everyone = cohort([[1]] * 30)
    (row, *_) = compare(SHARE, [column([[1.0]] * 30)], [column([[0.0]] * 30)], everyone, seed=0, replicates=50)
    assert row["difference"] == 1
    assert row["low"] == pytest.approx(1 - 2 * unseen(30))
    assert row["effect"] is not None
    assert 0 < row["effect"].p < 0.001
    assert str(row["note"]).startswith("no patient differs")
    (same, *_) = compare(SHARE, [column([[1.0]] * 30)], [column([[1.0]] * 30)], everyone, seed=0, replicates=50)
    assert (same["low"], same["high"]) == pytest.approx((-unseen(30), unseen(30)))


def test_a_factor_stretches_the_ends_too() -> None:
    found = with_ends(Influence(1.0, np.arange(9), np.zeros(9), 9), 0, 1)
    assert interval(times(found, 2.0)) == pytest.approx((2 * interval(found)[0], 2.0))
