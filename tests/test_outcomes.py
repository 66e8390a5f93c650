"""Outcomes at matched specificity: worked examples, loops as slow twins, scikit-learn as an oracle, and a sum that must come out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.outcomes import Outcomes
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from auditor import ConfigError, Sample
from auditor.batch import Batch
from auditor.statistics import estimates
from auditor.statistics.columns import Columns
from auditor.statistics.influence import Influence, averaged, interval, share
from auditor.statistics.operating import BOTH, NOTHING_TO_CHOOSE_ON, Called, called, rate, threshold
from auditor.statistics.rows import MACRO, Cohort, Values


def operated(scores: list[float], labels: list[int], patients: list[int], specificity: float = 0.8) -> Called:
    found = called(np.array(scores), np.array(labels) == 1, np.array(patients), np.full(len(scores), BOTH), specificity)
    assert isinstance(found, Called)
    return found


def test_the_threshold_is_the_lowest_score_that_the_share_of_negatives_does_not_exceed() -> None:
    assert threshold(np.arange(10.0), 0.9) == 8
    assert threshold(np.arange(10.0), 0.7) == 6  # 0.7 x 10 is a little more than 7 in binary
    assert threshold(np.array([1.0, 1.0, 1.0, 5.0]), 0.5) == 1
    assert threshold(np.array([3.0]), 0.01) == 3


def test_outcomes_of_a_worked_example() -> None:
    found = operated([-2, -1, 0, 1, 4, 2, 1, 3], [0, 0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7])
    assert found.threshold == 1
    assert found.outcome.tolist() == [3, 3, 3, 3, 2, 0, 1, 0]  # a positive at the threshold is not called
    sensitivity, specificity = rate("sensitivity", found), rate("specificity", found)
    assert isinstance(sensitivity, Influence)
    assert isinstance(specificity, Influence)
    assert (sensitivity.value, sensitivity.cases) == (pytest.approx(2 / 3), 3)
    assert (specificity.value, specificity.cases) == (pytest.approx(4 / 5), 5)


@pytest.mark.parametrize(("found", "of"), [(22, 22), (0, 12), (7, 40)])
def test_the_interval_of_a_share_of_single_films_is_wilsons(found: int, of: int) -> None:
    """With a t instead of 1.96; scipy's for a share that is neither 0 nor 1 differs by the factor G/(G - 1) in the variance alone."""
    values = np.array([1.0] * found + [0.0] * (of - found))
    part = share(values, np.arange(of))
    assert isinstance(part, Influence)
    low, high = interval(part)
    wilson = binomtest(found, of).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.05)
    assert low <= wilson.low
    assert high >= wilson.high
    assert high - low > 0.1, "where no patient deviates there is still no certainty"


def test_a_share_in_few_patients_is_worth_as_many_cases_as_patients() -> None:
    alike = share(np.ones(40), np.repeat(np.arange(4), 10))
    alone = share(np.ones(4), np.arange(4))
    assert isinstance(alike, Influence)
    assert isinstance(alone, Influence)
    assert interval(alike) == interval(alone)


def test_the_mean_of_shares_is_as_uncertain_as_its_parts() -> None:
    sure = share(np.ones(20), np.arange(20))
    half = share(np.tile([0.0, 1.0], 10), np.arange(20, 40))
    assert isinstance(sure, Influence)
    assert isinstance(half, Influence)
    low, high = interval(averaged([sure, half]))
    below = [sure.value - interval(sure)[0], half.value - interval(half)[0]]
    assert low == pytest.approx(0.75 - np.hypot(*below) / 2)
    assert 0.75 < high < 1
    together = averaged([half, half])
    assert np.diff(interval(together)) >= np.diff(interval(half)) * 0.9, "the same patients twice are no more patients"


def test_shares_are_covered_as_often_as_they_should_be() -> None:
    """Two films a patient, alike in half of the patients; 95 of 100 intervals hold a share of 0.9, within the error of 400 trials."""
    random = np.random.default_rng(4)
    covered = 0
    for _ in range(400):
        first, again = random.random(40) < 0.9, random.random(40) < 0.9
        second = np.where(random.random(40) < 0.5, first, again)
        part = share(np.concatenate([first, second]).astype(float), np.tile(np.arange(40), 2))
        assert isinstance(part, Influence)
        low, high = interval(part)
        covered += low <= 0.9 <= high
    assert 0.92 < covered / 400 < 0.99


def test_the_interval_of_a_rate_is_clustered_by_patient() -> None:
    """Ten films of one patient that are all found say no more than one."""
    alone = rate("sensitivity", operated([0, *[1] * 10, *[-1] * 10], [0, *[1] * 20], list(range(21))))
    alike = rate(
        "sensitivity", operated([0, *[1] * 10, *[-1] * 10], [0, *[1] * 20], [0, *[1] * 5, *[2] * 5, *[3] * 5, *[4] * 5])
    )
    assert isinstance(alone, Influence)
    assert isinstance(alike, Influence)
    assert alone.value == alike.value == 0.5
    assert np.diff(interval(alike)) > 2 * np.diff(interval(alone))


cases = st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=40)


@given(cases, st.floats(0.05, 0.95))
def test_outcomes_equal_a_loop_over_the_cases(rows: list[tuple[int, bool, float]], specificity: float) -> None:
    scores, labels, roles = (np.array(column) for column in zip(*rows, strict=True))
    found = called(scores.astype(float), labels, np.arange(len(rows)), roles, specificity)
    choosing = sorted(score for score, positive, role in rows if role > 0 and not positive)
    if not choosing:
        assert found == NOTHING_TO_CHOOSE_ON
        return
    assert isinstance(found, Called)
    limit = next(t for t in choosing if sum(score <= t for score in choosing) >= specificity * len(choosing) - 1e-9)
    expected = [
        {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}[bool(positive), bool(score > limit)]
        for score, positive, role in rows
        if role != 1
    ]
    assert found.threshold == limit
    assert found.outcome.tolist() == expected
    if expected:
        (tn, fp), (fn, tp) = confusion_matrix(found.positive, found.margin > 0, labels=[False, True])
        assert [expected.count(number) for number in range(4)] == [tp, fn, fp, tn]


@given(cases, st.floats(0.05, 0.95))
def test_the_same_outcomes_come_from_scores_on_any_rising_scale(
    rows: list[tuple[int, bool, float]], specificity: float
) -> None:
    scores, labels, roles = (np.array(column) for column in zip(*rows, strict=True))
    one = called(scores.astype(float), labels, np.arange(len(rows)), roles, specificity)
    other = called(np.exp(scores / 3.0), labels, np.arange(len(rows)), roles, specificity)
    assert isinstance(one, str) == isinstance(other, str)
    if isinstance(one, Called) and isinstance(other, Called):
        np.testing.assert_array_equal(one.outcome, other.outcome)


def cohort_of(labels: list[list[int]]) -> Cohort:
    return Cohort(("one", "two"), np.arange(len(labels)), np.array(labels, np.int8))


def columns(scores: list[list[float]], role: float = BOTH) -> Columns:
    table = np.array(scores)
    sample, target = (part.ravel() for part in np.indices(table.shape))
    values = {
        "outcome_log_odds": Values(sample, target, table.ravel()),
        "outcome_role": Values(sample, target, np.full(table.size, role)),
    }
    return Columns(values, {})


def test_levels_and_contrasts_have_a_row_per_class_and_one_over_them() -> None:
    sensitivity, specificity, *_ = Outcomes(specificity=0.5).metrics
    cohort = cohort_of([[0, 0], [0, 0], [1, 0], [1, 0], [1, 0]])
    network = columns([[0, 0], [2, 1], [1, 2], [0, 3], [5, 4]])
    rows = {row["class_name"]: row for row in estimates.levels(sensitivity, network, cohort)}
    assert rows["one"]["value"] == pytest.approx(2 / 3)
    assert 0 < rows["one"]["low"] < 2 / 3 < rows["one"]["high"] < 1
    assert rows["two"]["missing"] == "not estimable (0 positives)"
    assert rows[MACRO]["value"] == rows["one"]["value"]
    (row, *_) = estimates.levels(specificity, network, cohort)
    assert row["value"] == 0.5
    same, *_ = estimates.contrasts(sensitivity, [network], [network], cohort)
    assert same["difference"] == 0
    assert -1 < same["low"] == -same["high"] < 0, "that no patient differs does not mean that none would"


def test_without_a_negative_to_choose_on_there_is_no_threshold() -> None:
    sensitivity, *_ = Outcomes().metrics
    rows = estimates.levels(sensitivity, columns([[1, 1], [2, 2]]), cohort_of([[1, 0], [1, 1]]))
    assert rows[0]["missing"] == NOTHING_TO_CHOOSE_ON
    rows = estimates.levels(sensitivity, columns([[1, 1], [2, 2]], role=0.0), cohort_of([[1, 0], [1, 1]]))
    assert rows[1]["missing"] == NOTHING_TO_CHOOSE_ON


@pytest.mark.parametrize(("fit", "roles"), [(None, {2.0}), (0.5, {0.0, 1.0})])
def test_patients_either_choose_the_threshold_or_are_counted(fit: float | None, roles: set[float]) -> None:
    samples = [Sample(f"s{n}", f"p{n // 2}", (n % 2,)) for n in range(40)]
    batch = Batch(samples, ["one"], scores=torch.arange(40.0, dtype=torch.float64)[:, None])
    analysis = Outcomes(fit=fit)
    found = analysis.measure(batch.view(analysis.needs, batch.cases(analysis.needs)[0]))
    assert set(found["outcome_role"]) == roles
    np.testing.assert_array_equal(found["outcome_role"][::2], found["outcome_role"][1::2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"specificity": 1.0}, r"specificity: 1.0 is not between 0 and 1: it is the share of negatives not called positive"),
        ({"fit": 0.0}, r"fit: 0.0 is not between 0 and 1: it is the share of patients to choose thresholds on"),
    ],
)
def test_an_impossible_operating_point_is_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Outcomes(**options)
