"""Summaries per class, and paired differences with intervals over patients."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from auditor import Metric
from auditor.statistics.clustered import Group, cluster_t
from auditor.statistics.compare import compare
from auditor.statistics.effect import Linear
from auditor.statistics.pairing import pair
from auditor.statistics.resampling import every_network, patient_counts, resample
from auditor.statistics.rows import IMAGE, MACRO, Cohort, Values
from auditor.statistics.summarise import summarise

MEAN = Metric("share", "A share.", undefined="empty map")
AUROC = Metric("auroc", "Ranks.", statistic="auroc", of="logit", undefined="score not finite")
PRECISION = Metric("average_precision", "Ranks.", statistic="average_precision", of="logit")


def values(rows: dict[tuple[int, int], float]) -> Values:
    """Values from {(sample, target): value}."""
    sample, target = zip(*rows, strict=True) if rows else ((), ())
    return Values(np.array(sample, np.int64), np.array(target, np.int64), np.array(list(rows.values()), np.float64))


def grid(scores: np.ndarray) -> Values:
    """Values for every sample and class of [S, K]."""
    sample, target = np.indices(scores.shape).reshape(2, -1)
    return Values(sample, target, scores.ravel())


def by_class(rows: list[Any]) -> dict[str, Any]:
    return {row["class_name"] if isinstance(row, dict) else row.class_name: row for row in rows}


def plain(rows: list[Any]) -> list[Any]:
    """Rows whose effects are numbers, so that two lists can be held against each other to the last bit."""
    return [{**row, "effect": row["effect"] and (row["effect"].error, row["effect"].p)} for row in rows]


COHORT = Cohort(("Mass", "Hernia"), np.array([5, 5, 9, 2]), np.array([[1, 0], [1, 0], [0, 0], [-1, 0]], np.int8))


# A mean and its interval


def estimate(groups: list[Group]) -> tuple[float, float, float]:
    found = cluster_t(groups)
    assert isinstance(found, Linear)
    return found.value, *found.interval(0.95)


def test_cluster_t_worked_by_hand() -> None:
    # Patient sums of residuals / n: ((1-3)+(2-3))/4, (3-3)/4, (6-3)/4 = -.75, 0, .75; SE^2 = 3/2 * 1.125. One patient moves
    # nothing, the others move as much as two would: 2 - 1 = 1 degree of freedom.
    half = float(stats.t.ppf(0.975, 1)) * math.sqrt(1.6875)
    found = estimate([Group(np.array([1.0, 2, 3, 6]), np.array([7, 7, 8, 9]))])
    assert found == pytest.approx((3.0, 3 - half, 3 + half), abs=1e-12)


def test_with_one_case_per_patient_the_standard_error_is_that_of_the_mean() -> None:
    value = np.random.default_rng(0).normal(size=25)
    found = cluster_t([Group(value, np.arange(25))])
    assert isinstance(found, Linear)
    assert (found.value, found.error) == pytest.approx((value.mean(), stats.sem(value)), abs=1e-12)


@given(st.integers(2, 40))
def test_patients_that_move_the_mean_alike_all_count_and_no_patient_counts_twice(half: int) -> None:
    value = np.tile([-1.0, 1.0], half)
    found = cluster_t([Group(value, np.arange(2 * half))])
    assert isinstance(found, Linear)
    assert found.freedom == pytest.approx(2 * half - 1)
    twice = cluster_t([Group(np.tile(value, 3), np.tile(np.arange(2 * half), 3))])
    assert isinstance(twice, Linear)
    assert twice.freedom == pytest.approx(2 * half - 1)


def test_one_patient_who_carries_the_whole_difference_leaves_one_degree_of_freedom() -> None:
    found = cluster_t([Group(np.eye(300)[7], np.arange(300))])
    assert isinstance(found, Linear)
    assert found.freedom == 1.0
    assert found.p == 1.0  # one patient's sign says nothing


def test_repeating_every_case_of_a_patient_does_not_narrow_the_interval() -> None:
    value, patient = np.random.default_rng(1).normal(size=30), np.arange(30)
    once = estimate([Group(value, patient)])
    assert estimate([Group(np.tile(value, 5), np.tile(patient, 5))]) == pytest.approx(once, abs=1e-12)


def test_two_classes_of_the_same_patients_are_not_twice_the_evidence() -> None:
    value, patient = np.random.default_rng(2).normal(size=30), np.arange(30)
    group = Group(value, patient)
    assert estimate([group, group]) == pytest.approx(estimate([group]), abs=1e-12)
    apart = cluster_t([group, Group(value, patient + 100)])
    assert isinstance(apart, Linear)
    assert apart.error == pytest.approx(stats.sem(value) / math.sqrt(2), abs=1e-12)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_cases_within_a_patient_changes_no_bit(random: Random) -> None:
    rng = np.random.default_rng(4)
    value, patient = rng.normal(size=300) * 10.0 ** rng.integers(-6, 6, 300), rng.integers(0, 2, 300)
    order = list(range(300))
    random.shuffle(order)
    assert estimate([Group(value[order], patient[order])]) == estimate([Group(value, patient)])


def test_a_class_of_two_patients_widens_the_mean_over_classes() -> None:
    rng = np.random.default_rng(3)
    large = Group(rng.normal(size=200), np.arange(200))
    small = Group(np.array([-1.0, 1.0]), np.array([500, 501]))
    value, _, high = estimate([large, small])
    error = math.sqrt(large.value.var(ddof=1) / 200 + 1.0) / 2
    assert high - value > 8 * error  # nearly the 12.7 of one degree of freedom, not the 1.97 of 201


@pytest.mark.parametrize(
    "groups", [[], [Group(np.array([1.0, 2.0]), np.array([4, 4]))], [Group(np.empty(0), np.empty(0, np.int64))]]
)
def test_one_patient_gives_no_interval(groups: list[Group]) -> None:
    assert cluster_t(groups) == "fewer than 2 patients"


# Summaries


def test_a_mean_is_per_class_then_over_the_classes_that_have_one() -> None:
    rows = by_class(summarise(MEAN, values({(0, 0): 0.2, (1, 0): 0.4, (2, 0): math.nan, (3, 1): math.nan}), COHORT))
    assert rows["Mass"][:4] == ("Mass", pytest.approx(0.3), None, 2)
    assert rows["Hernia"][:4] == ("Hernia", None, "empty map", 0)
    assert rows[MACRO][:4] == (MACRO, pytest.approx(0.3), None, 1)
    assert IMAGE not in rows


def test_values_of_whole_images_have_a_row_of_their_own() -> None:
    (row,) = summarise(MEAN, values({(0, -1): 3.0, (1, -1): 6.0}), COHORT)
    assert row[:4] == (IMAGE, 4.5, None, 2)
    rows = by_class(summarise(MEAN, values({(0, -1): 3.0, (0, 0): 1.0}), COHORT))
    assert rows[IMAGE].value == 3.0
    assert rows[MACRO][:4] == (MACRO, 1.0, None, 1)
    assert rows["Hernia"].missing == "no case measured"


def test_nothing_measured_is_said_and_never_a_number() -> None:
    assert {row[1:4] for row in summarise(MEAN, values({}), COHORT)} == {(None, "no case measured", 0)}
    assert {row[1:] for row in compared(MEAN, [values({})], [values({})])} == {(None, "no case measured", 0)}


def compared(metric: Metric, mine: list[Values], reference: list[Values]) -> list[tuple[object, ...]]:
    return [
        (r["class_name"], r["difference"], r["missing"], r["n_cases"]) for r in compare(metric, mine, reference, COHORT, 0, 64)
    ]


def test_ranking_metrics_use_known_labels_and_leave_undefined_classes_out_of_the_mean() -> None:
    scores = grid(np.array([[2.0, 0], [1.0, 0], [1.0, 1], [9.0, 2]]))
    rows = by_class(summarise(AUROC, scores, COHORT))
    assert rows["Mass"][:4] == ("Mass", 0.75, None, 3)
    assert rows["Hernia"][:4] == ("Hernia", None, "not estimable (0 positives)", 4)
    assert rows[MACRO][:4] == (MACRO, 0.75, None, 1)
    assert by_class(summarise(PRECISION, scores, COHORT))["Mass"].value == pytest.approx(5 / 6)


def test_scores_that_are_not_finite_are_never_ranked() -> None:
    rows = by_class(summarise(AUROC, grid(np.full((4, 2), np.nan)), COHORT))
    assert rows["Mass"][:4] == ("Mass", None, "score not finite", 0)
    assert rows[MACRO][:4] == (MACRO, None, "score not finite", 0)


def test_a_metric_without_a_statistic_has_no_summary_and_no_comparison() -> None:
    kept = Metric("logit", "Kept.", statistic="none")
    assert summarise(kept, values({(0, 0): 1.0}), COHORT) == []
    assert compare(kept, [values({(0, 0): 1.0})], [values({(0, 0): 1.0})], COHORT, 0) == []


# Comparisons


@pytest.fixture(scope="module")
def study() -> tuple[Cohort, np.ndarray, np.ndarray]:
    """300 images of 120 patients, three classes of which the last has four positives, and the scores of two networks."""
    rng = np.random.default_rng(11)
    patients = np.sort(rng.integers(0, 120, 300))
    labels = (rng.random((300, 3)) < [0.3, 0.4, 0.0]).astype(np.int8)
    labels[[10, 90, 170, 250], 2] = 1
    shared = rng.normal(size=(300, 3)) + labels
    return (
        Cohort(("A", "B", "C"), patients, labels),
        shared + rng.normal(size=(300, 3)),
        shared + 0.3 * rng.normal(size=(300, 3)),
    )


@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION])
def test_a_network_against_itself_differs_by_exactly_nothing(
    metric: Metric, study: tuple[Cohort, np.ndarray, np.ndarray]
) -> None:
    cohort, a, b = study
    for row in compare(metric, [grid(a)], [grid(a)], cohort, seed=1, replicates=100):
        assert row["difference"] == 0
        if metric is AUROC:
            assert row["low"] == -row["high"] < 0  # type: ignore[operator]
            assert row["effect"] is None or row["effect"].p == 1.0
        else:
            assert (row["low"], row["high"], row["effect"]) == (None, None, None), "without bounds there is no interval"
            assert "no patient differs: no interval" in str(row["note"])
    for row in compare(metric, [grid(a), grid(b)], [grid(b), grid(a)], cohort, seed=1, replicates=100):
        assert row["difference"] == 0
        assert row["low"] == pytest.approx(-row["high"])  # type: ignore[operator]


@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION])
def test_exchanging_the_sides_turns_every_number_around(metric: Metric, study: tuple[Cohort, np.ndarray, np.ndarray]) -> None:
    cohort, a, b = study
    there = compare(metric, [grid(a)], [grid(b)], cohort, seed=1, replicates=100)
    back = compare(metric, [grid(b)], [grid(a)], cohort, seed=1, replicates=100)
    for one, other in zip(there, back, strict=True):
        assert one["difference"] == pytest.approx(-other["difference"], abs=1e-15)  # type: ignore[operator]
        assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]), abs=1e-14)  # type: ignore[operator]


@settings(max_examples=20, deadline=None)
@given(random=st.randoms(use_true_random=False))
@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION])
def test_the_order_of_the_samples_changes_no_bit(
    metric: Metric, study: tuple[Cohort, np.ndarray, np.ndarray], random: Random
) -> None:
    cohort, a, b = study
    order = list(range(300))
    random.shuffle(order)
    shuffled = Cohort(cohort.classes, cohort.patients[order], cohort.labels[order])
    expected = compare(metric, [grid(a)], [grid(b)], cohort, seed=5, replicates=70)
    found = compare(metric, [grid(a[order])], [grid(b[order])], shuffled, seed=5, replicates=70)
    assert plain(found) == plain(expected)
    assert summarise(metric, grid(a[order]), shuffled) == summarise(metric, grid(a), cohort)


@pytest.mark.parametrize(
    ("metric", "oracle"), [(AUROC, roc_auc_score), (PRECISION, average_precision_score)], ids=["auroc", "average precision"]
)
def test_ranking_intervals_are_those_of_resamples_written_out(
    metric: Metric, oracle: Any, study: tuple[Cohort, np.ndarray, np.ndarray]
) -> None:
    cohort, a, b = study
    found = by_class(compare(metric, [grid(a)], [grid(b)], cohort, seed=9, replicates=64))
    people, patient = np.unique(cohort.patients, return_inverse=True)
    counts = patient_counts(len(people), 9, "whole patients", 0)
    drawn = np.full((3, 64), np.nan)
    for replicate in range(64):
        rows = np.repeat(np.arange(300), counts[patient, replicate])
        for number in range(3):
            label = cohort.labels[rows, number]
            if label.any():
                drawn[number, replicate] = oracle(label, a[rows, number]) - oracle(label, b[rows, number])
    by_resampling = [*zip("ABC", drawn, strict=True), (MACRO, drawn.mean(0))]
    for name, replicates in by_resampling if metric is PRECISION else by_resampling[-1:]:
        kept = replicates[~np.isnan(replicates)]
        assert (found[name]["low"], found[name]["high"]) == pytest.approx(np.quantile(kept, [0.025, 0.975]), abs=1e-12)
        lost = 64 - len(kept)
        assert (f"{lost} of 64 resamples dropped" in (found[name]["note"] or "")) == (lost > 0)
    assert np.isnan(drawn[2]).any()
    alone = [oracle(cohort.labels[:, k], a[:, k]) - oracle(cohort.labels[:, k], b[:, k]) for k in range(3)]
    assert [found[name]["difference"] for name in "ABC"] == pytest.approx(alone, abs=1e-12)
    assert found[MACRO]["difference"] == pytest.approx(np.mean(alone), abs=1e-12)
    assert (found[MACRO]["n_cases"], found[MACRO]["n_patients"]) == (900, len(people))


def test_few_positive_patients_are_pointed_out(study: tuple[Cohort, np.ndarray, np.ndarray]) -> None:
    cohort, a, b = study
    found = by_class(compare(AUROC, [grid(a)], [grid(b)], cohort, seed=9, replicates=64))
    assert "fewer than 20 positive patients: interval not reliable" in found["C"]["note"]
    assert found["A"]["note"] is None
    assert "fewer than 20 positive or negative patients: C" in found[MACRO]["note"]


def test_a_class_without_positives_is_not_estimable_and_left_out_with_the_count(
    study: tuple[Cohort, np.ndarray, np.ndarray],
) -> None:
    cohort, a, b = study
    empty = Cohort(cohort.classes, cohort.patients, cohort.labels * np.array([1, 1, 0], np.int8))
    found = by_class(compare(AUROC, [grid(a)], [grid(b)], empty, seed=9, replicates=64))
    assert (found["C"]["difference"], found["C"]["missing"], found["C"]["n_cases"]) == (
        None,
        "not estimable (0 positives)",
        300,
    )
    assert found[MACRO]["difference"] == pytest.approx((found["A"]["difference"] + found["B"]["difference"]) / 2, abs=1e-15)
    assert found[MACRO]["note"] == "1 of 3 classes left out: C"
    nothing = Cohort(cohort.classes, cohort.patients, np.zeros_like(cohort.labels))
    rows = compare(AUROC, [grid(a)], [grid(b)], nothing, seed=9, replicates=64)
    assert {row["missing"] for row in rows} == {"not estimable (0 positives)"}


def test_the_first_replicates_are_the_same_however_many_are_asked_for(study: tuple[Cohort, np.ndarray, np.ndarray]) -> None:
    cohort, a, b = study
    pairs = list(pair([grid(a)], [grid(b)], cohort, labelled=True).values())
    networks, patients = every_network("auroc", pairs, np.unique(cohort.patients)), len(np.unique(cohort.patients))
    many = resample(networks, patients, 9, 130)
    assert many.shape == (3, 2, 130)
    np.testing.assert_array_equal(resample(networks, patients, 9, 70), many[..., :70])
    assert (resample(networks, patients, 10, 70) != many[..., :70]).any()


def test_several_networks_are_ranked_one_by_one_and_not_as_an_ensemble(study: tuple[Cohort, np.ndarray, np.ndarray]) -> None:
    cohort, a, b = study
    found = compare(AUROC, [grid(a), grid(b)], [grid(b)], cohort, seed=9, replicates=64)[0]
    label = cohort.labels[:, 0]
    expected = (roc_auc_score(label, a[:, 0]) - roc_auc_score(label, b[:, 0])) / 2
    assert found["difference"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION])
def test_the_order_of_the_networks_of_a_side_changes_no_bit(
    metric: Metric, study: tuple[Cohort, np.ndarray, np.ndarray]
) -> None:
    cohort, a, b = study
    three = [grid(a), grid(b), grid(a * b)]
    for reference in ([grid(b)], [grid(b), grid(-a)]):
        expected = compare(metric, three, reference, cohort, seed=9, replicates=64)
        found = compare(metric, [three[2], three[0], three[1]], reference[::-1], cohort, seed=9, replicates=64)
        assert plain(found) == plain(expected)


def test_cases_whose_label_is_unknown_are_not_ranked_but_do_count_in_means() -> None:
    a, b = (grid(np.array([[2.0, 0], [1.0, 0], [x, 1], [9.0, 2]])) for x in (0.0, 3.0))
    ranked = compare(AUROC, [a], [b], COHORT, seed=0, replicates=64)[0]
    assert (ranked["n_cases"], ranked["n_patients"], ranked["difference"]) == (3, 2, 1.0)
    assert compare(MEAN, [a], [b], COHORT, seed=0)[0]["n_cases"] == 4


def test_only_cases_with_a_value_in_every_network_are_contrasted() -> None:
    mine = values({(0, 0): 1.0, (1, 0): 2.0, (2, 0): 5.0, (3, 0): 7.0})
    again = values({(3, 0): 9.0, (1, 0): 4.0, (0, 0): 1.0})
    reference = values({(0, 0): math.nan, (1, 0): 1.0, (2, 0): 5.0, (3, 0): 2.0})
    row = compare(MEAN, [mine, again], [reference], COHORT, seed=0)[0]
    expected = estimate([Group(np.array([2.0, 6.0]), np.array([5, 2]))])
    assert (row["difference"], row["low"], row["high"]) == expected
    assert (row["n_cases"], row["n_patients"]) == (2, 2)
    assert row["note"] == "2 of 4 cases left out: no value in every network; fewer than 20 patients: interval not reliable"
    assert row["effect"] is None


def test_the_mean_over_classes_uses_each_class_once_and_each_patient_as_a_whole() -> None:
    mine = values({(0, 0): 1.0, (2, 0): 3.0, (3, 0): 5.0, (0, 1): 2.0, (2, 1): 0.0, (3, 1): 1.0, (0, -1): 4.0, (2, -1): 6.0})
    reference = Values(mine.sample, mine.target, np.zeros(8))
    found = by_class(compare(MEAN, [mine], [reference], COHORT, seed=0))
    assert (found["Mass"]["difference"], found["Hernia"]["difference"], found[MACRO]["difference"]) == (3, 1, 2)
    # Per patient (5, 9, 2): (residual/3 of Mass + residual/3 of Hernia) / 2 = -1/6, -1/6, 1/3; SE^2 = 3/2 * 1/6.
    # Effective patients: (1/36 + 1/36 + 1/9)^2 / (1/1296 + 1/1296 + 1/81) = 2, so that 1 degree of freedom is left.
    half = found[MACRO]["high"] - 2
    assert half == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(0.25), abs=1e-9)
    assert (found[MACRO]["n_cases"], found[MACRO]["n_patients"]) == (6, 3)
    assert (found[IMAGE]["difference"], found[IMAGE]["n_cases"]) == (5, 2)


def test_a_class_seen_in_one_patient_only_is_left_out_of_the_mean_over_classes() -> None:
    mine = values({(0, 0): 1.0, (2, 0): 3.0, (0, 1): 2.0, (1, 1): 0.0})
    reference = Values(mine.sample, mine.target, np.zeros(4))
    found = by_class(compare(MEAN, [mine], [reference], COHORT, seed=0))
    assert (found["Hernia"]["missing"], found["Hernia"]["n_cases"]) == ("fewer than 2 patients", 2)
    few = "fewer than 20 patients: interval not reliable"
    assert (found[MACRO]["difference"], found[MACRO]["note"]) == (2.0, f"1 of 2 classes left out: Hernia; {few}")


def test_values_undefined_everywhere_keep_the_reason_of_the_metric() -> None:
    nothing = values({(0, 0): math.nan, (2, 0): math.nan})
    rows = compared(MEAN, [nothing], [nothing])
    assert rows[0] == ("Mass", None, "empty map", 0)
    assert rows[1] == ("Hernia", None, "no case measured", 0)
    assert rows[2] == (MACRO, None, "not estimable in any class", 0)


def test_two_values_for_one_case_and_a_side_without_networks_are_refused() -> None:
    twice = Values(np.array([0, 0]), np.array([0, 0]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="two values for one case"):
        compare(MEAN, [twice], [twice], COHORT, seed=0)
    with pytest.raises(ValueError, match="at least one network"):
        compare(MEAN, [], [twice], COHORT, seed=0)
