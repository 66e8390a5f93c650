"""The step from training to audited images: numbers worked by hand, scipy as an oracle, patients left out one by one, planted truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.logit_shift import LogitShift
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor import ConfigError, Metric, Sample, run
from auditor.batch import Batch
from auditor.statistics.between_splits import (
    LOST,
    NO_TRAINING,
    NO_TRAINING_CASE,
    Side,
    asymmetry,
    between,
    histogram,
    kolmogorov_smirnov,
    pairwise,
    rank_correlation,
    slope,
    wasserstein,
)
from auditor.statistics.columns import Columns
from auditor.statistics.estimates import contrasts
from auditor.statistics.influence import Influence, interval
from auditor.statistics.rows import Cohort, Values

Write = Callable[..., Path]
POSITIVE = ([1, -0.5, 2, 0.2, -1.2], [3, 2.5, 4, 3.5, 2])
NEGATIVE = ([3.8, 3.2, 3.4, 4.6], [4, 3, 3.5, 5])
STATISTICS = ("shift", "standardised_shift", "retained", "crossing")


def side(values: Any, first: int = 0, films: int = 1) -> Side:
    """Values of as many patients, `films` of each."""
    found = np.asarray(values, float)
    return Side(found, first + np.arange(len(found)) // films)


def number(statistic: str, audited: Side, training: Side) -> Influence:
    found = between(statistic, audited, training)
    assert isinstance(found, Influence), found
    return found


@pytest.mark.parametrize(
    ("statistic", "positive", "negative"),
    [
        ("shift", -2.7, -0.125),
        ("standardised_shift", -2.577279, -0.167600),
        ("retained", 0.1, 3.75 / 3.875),
        ("crossing", 0.4, 0),
        ("wasserstein", 2.7, 0.225),
        ("kolmogorov_smirnov", 0.8, 0.25),
    ],
)
def test_the_worked_example_of_positives_that_cross_and_negatives_that_stay(
    statistic: str, positive: float, negative: float
) -> None:
    for (audited, training), right in ((POSITIVE, positive), (NEGATIVE, negative)):
        assert number(statistic, side(audited), side(training, 100)).value == pytest.approx(right, abs=5e-7)


def test_the_asymmetry_is_the_shift_of_the_positives_less_that_of_the_negatives() -> None:
    parts = [number("shift", side(a), side(t, 100)) for a, t in (POSITIVE, NEGATIVE)]
    assert asymmetry(*parts).value == pytest.approx(-2.575)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.lists(st.floats(-50, 50), min_size=1, max_size=30))
def test_the_distances_of_two_samples_are_scipys(first: list[float], second: list[float]) -> None:
    one, other = np.array(first), np.array(second)
    assert wasserstein(one, other) == pytest.approx(stats.wasserstein_distance(one, other), abs=1e-9)
    largest = max(abs(float((one <= x).mean() - (other <= x).mean())) for x in (*first, *second))
    assert kolmogorov_smirnov(one, other) == pytest.approx(largest, abs=1e-12)


def test_the_largest_gap_of_two_samples_is_scipys() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(0, 1, 40), random.normal(1, 1, 70)
    assert kolmogorov_smirnov(one, other) == pytest.approx(stats.ks_2samp(one, other).statistic, abs=1e-12)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_error_is_that_of_leaving_out_one_patient_after_the_other(statistic: str) -> None:
    random = np.random.default_rng(3)
    patient = np.repeat(np.arange(150), 3)
    audited = Side(np.repeat(random.normal(1, 1, 150), 3) + random.normal(0, 1, 450), patient)
    training = Side(np.repeat(random.normal(2, 1.5, 150), 3) + random.normal(0, 1, 450), 1000 + patient)
    found = number(statistic, audited, training)
    squares = 0.0
    for which, own in enumerate((audited, training)):
        without = []
        for left_out in np.unique(own.patient):
            kept = Side(own.value[own.patient != left_out], own.patient[own.patient != left_out])
            without.append(number(statistic, *((kept, training), (audited, kept))[which]).value)
        squares += (len(without) - 1) / len(without) * float(((np.array(without) - np.mean(without)) ** 2).sum())
    assert math.sqrt(math.fsum(found.influence**2)) == pytest.approx(math.sqrt(squares), rel=0.03)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_intervals_cover_the_truth_when_the_films_of_a_patient_are_alike(statistic: str) -> None:
    right = {"shift": -1.0, "standardised_shift": -1 / math.sqrt(2), "retained": 0.5, "crossing": 0.0}[statistic]
    if statistic == "crossing":
        spread = math.sqrt(2)
        right = float(stats.norm.cdf(-1 / spread) - stats.norm.cdf(-2 / spread))
    random, covered = np.random.default_rng(1), 0
    for _ in range(400):
        sides = [
            Side(np.repeat(random.normal(middle, 1, 60), 3) + random.normal(0, 1, 180), first + np.repeat(np.arange(60), 3))
            for middle, first in ((1, 0), (2, 100))
        ]
        low, high = interval(number(statistic, *sides))
        covered += low <= right <= high
    assert 0.915 <= covered / 400 <= 0.975


def test_a_patient_on_both_sides_counts_once_with_all_it_does() -> None:
    same = side([1.0, 2.0, 3.0, 4.0])
    assert interval(number("shift", same, same)) == (0.0, 0.0)
    low, high = interval(number("shift", same, side(same.value, 100)))
    assert low < 0 < high


def test_what_cannot_be_had_says_why() -> None:
    some, none = side([1.0, 2.0, 3.0]), side([])
    assert between("shift", some, none) == NO_TRAINING_CASE
    assert between("retained", some, side([-1.0, 0.5, -2.0], 100)) == LOST
    assert between("standardised_shift", side([1.0, 1.0]), side([1.0, 1.0], 9)) == "not estimable (all values alike)"
    assert between("shift", side([1.0]), some) == "fewer than 2 patients"


def test_the_slope_on_rarity_is_least_squares_and_its_error_that_of_the_classes() -> None:
    random = np.random.default_rng(0)
    parts = [
        (x, number("shift", side(random.normal(x, 1, 40), 40 * n), side(random.normal(0, 1, 40), 1000 + 40 * n)))
        for n, x in enumerate((-3.0, -2.0, -1.5, -0.5))
    ]
    found = slope(parts)
    assert isinstance(found, Influence)
    x, y = np.array([at for at, _ in parts]), np.array([part.value for _, part in parts])
    assert found.value == pytest.approx(np.polyfit(x, y, 1)[0])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    variance = sum(w**2 * math.fsum(part.influence**2) for w, (_, part) in zip(weights, parts, strict=True))
    assert math.fsum(found.influence**2) == pytest.approx(variance)
    assert "fewer than 3 classes" in str(slope(parts[:2]))


def test_the_rank_correlation_is_scipys() -> None:
    first, second = np.array([3.0, 1.0, 2.0, 2.0, 9.0]), np.array([1.0, 5.0, 2.0, 2.5, 0.0])
    assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert "fewer than 4" in str(rank_correlation(first[:3], second[:3]))


def test_a_mean_over_pairs_has_twice_the_error_of_the_mean_over_cases() -> None:
    """Leaving out one case after the other, as a slow twin with nested loops."""
    points = np.random.default_rng(2).normal(0, 1, 60)
    apart = np.abs(points[:, None] - points[None])
    own = apart.sum(1) / 59
    found = pairwise(Side(own, np.arange(60)))
    assert isinstance(found, Influence)
    assert found.value == pytest.approx(np.mean([apart[i, j] for i in range(60) for j in range(60) if i != j]))
    without = [np.delete(np.delete(apart, i, 0), i, 1).sum() / (59 * 58) for i in range(60)]
    squares = 59 / 60 * ((np.array(without) - np.mean(without)) ** 2).sum()
    assert math.fsum(found.influence**2) == pytest.approx(squares, rel=0.05)


def test_a_histogram_shares_its_bins_and_loses_no_case() -> None:
    random = np.random.default_rng(0)
    audited, training = random.normal(0, 1, 500), random.normal(2, 1, 300)
    low, high, now, then = histogram(audited, training)
    assert (sum(now), sum(then)) == (500, 300)
    assert (low, high) == tuple(np.quantile(np.concatenate((audited, training)), (0.001, 0.999)))
    low, high, now, then = histogram(np.ones(3), np.ones(2))
    assert high - low == pytest.approx(1)
    assert (sum(now), sum(then)) == (3, 2)


def measured(logits: list[list[float]], labels: list[tuple[int, ...]], softmax: bool = False, **options: Any) -> Any:
    names = ("a", "b", "c")[: len(labels[0])]
    samples = [Sample(str(n), str(n), row) for n, row in enumerate(labels)]
    batch = Batch(samples, names, scores=torch.tensor(logits, dtype=torch.float64), softmax=softmax)
    cases, _ = batch.cases(LogitShift.needs)
    found = LogitShift(**options).measure(batch.view(LogitShift.needs, cases))
    return np.stack([found["margin_positive"], found["margin_negative"]])


def test_the_margin_is_the_log_odds_beyond_the_threshold_on_the_side_of_the_label() -> None:
    found = measured([[2.0, -1.0], [0.5, 3.0]], [(1, 0), (0, 1)])
    np.testing.assert_allclose(found, [[2, np.nan, np.nan, 3], [np.nan, 1, -0.5, np.nan]])
    shifted = measured([[2.0, -1.0]], [(1, 0)], threshold=0.8)
    np.testing.assert_allclose(shifted, [[2 - math.log(4), np.nan], [np.nan, 1 + math.log(4)]])


def test_with_a_softmax_head_the_margin_is_the_output_less_the_largest_other() -> None:
    raw = np.array([[2.0, 0.5, -1.0], [0.1, 0.3, 4.0]])
    others = [[row[[j for j in range(3) if j != k]] for k in range(3)] for row in raw]
    log_odds = [
        [float(row[k] - np.logaddexp.reduce(rest)) for k, rest in enumerate(of)] for row, of in zip(raw, others, strict=True)
    ]
    found = measured(log_odds, [(1, 0, 0), (0, 1, 0)], softmax=True)
    np.testing.assert_allclose(found[0], [1.5, np.nan, np.nan, np.nan, -3.7, np.nan])
    np.testing.assert_allclose(found[1], [np.nan, 1.5, 3.0, 3.9, np.nan, -3.7])


def test_a_threshold_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"logit_shift: threshold: 1\.0 is not between 0 and 1"):
        LogitShift(threshold=1.0)


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def row(found: dict[str, Any], metric: str, strategy: str, class_name: str) -> dict[str, Any]:
    (one,) = [r for r in found["summaries"] if (r["metric"], r["strategy"], r["class"]) == (metric, strategy, class_name)]
    return dict(one)


def test_a_rare_class_learnt_by_heart_is_found_and_one_learnt_from_enough_images_is_not(
    write_faint_audit: Write, tmp_path: Path
) -> None:
    """One linear layer on 144 pixels, fitted to 600 images with 49 rare positives, and to 4,000 with about 320."""
    lines = {"dataset": "{use: faint, images: 1600}", "training_images": "{split: train, images: 600}"}
    run.run(write_faint_audit(few=600, many=4000, **lines), tmp_path, "cpu")
    found = results(tmp_path)
    few, many = (row(found, "margin_asymmetry", strategy, "Rare") for strategy in ("few", "many"))
    assert few["high"] < -1
    assert abs(many["value"]) < abs(few["value"]) / 4
    moved, stayed = (row(found, f"margin_shift_{label}", "few", "Rare") for label in ("positive", "negative"))
    assert moved["high"] < -1
    assert abs(stayed["value"]) < abs(moved["value"]) / 5
    assert row(found, "crossing_positive", "few", "Rare")["low"] > 0.2
    assert abs(row(found, "crossing_negative", "few", "Rare")["value"]) < 0.05
    kept = [row(found, "margin_retained_positive", strategy, "Rare")["value"] for strategy in ("few", "many")]
    assert kept[0] < kept[1]
    (contrast,) = [r for r in found["comparisons"] if (r["metric"], r["class"]) == ("margin_asymmetry_standardised", "Rare")]
    assert contrast["high"] < 0
    assert contrast["verdict"] == "different"


def test_without_training_images_the_audited_ones_say_what_they_can(write_faint_audit: Write, tmp_path: Path) -> None:
    assert run.run(write_faint_audit(training_images="null"), tmp_path / "out", device="cpu").exit_code == 0
    found = results(tmp_path / "out")
    assert row(found, "margin_mean_positive", "few", "Rare")["value"] is not None
    assert row(found, "margin_median_negative", "few", "Rare")["value"] is not None
    for metric in ("margin_shift_positive", "crossing_negative", "margin_asymmetry", "margin_distance_positive"):
        assert row(found, metric, "few", "Rare")["missing"] == NO_TRAINING
    assert row(found, "margin_asymmetry_on_rarity", "few", "(model)")["missing"] == NO_TRAINING
    assert "training_images" not in found["accounting"]


def test_a_class_absent_from_one_split_says_so_and_the_others_stand(write_faint_audit: Write, tmp_path: Path) -> None:
    run.run(write_faint_audit(training_images="{split: train, images: 200, only_common: true}"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert row(found, "margin_shift_positive", "few", "Rare")["missing"] == NO_TRAINING_CASE
    assert row(found, "margin_shift_positive", "few", "Common")["value"] is not None
    run.run(write_faint_audit(dataset="{use: faint, images: 400, only_common: true}"), tmp_path / "other", device="cpu")
    assert row(results(tmp_path / "other"), "margin_shift_positive", "few", "Rare")["missing"] == "no case measured"


def test_a_class_with_few_positives_in_training_has_numbers_and_no_verdict(write_faint_audit: Write, tmp_path: Path) -> None:
    run.run(write_faint_audit(), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert (
        "fewer than 20 patients among the audited or the training" in row(found, "margin_shift_positive", "few", "Rare")["note"]
    )
    rows = {r["class"]: r for r in found["comparisons"] if r["metric"] == "margin_shift_positive_standardised"}
    assert rows["Rare"]["difference"] is not None
    assert rows["Rare"]["verdict"] is None
    assert rows["Common"]["verdict"] is not None


def test_strategies_are_contrasted_on_the_training_cases_that_every_network_has_and_log_odds_are_not() -> None:
    def values(numbers: list[float], first: int = 0) -> Values:
        return Values(first + np.arange(len(numbers)), np.zeros(len(numbers), np.int64), np.array(numbers))

    then = [4.0, 5.0, 6.0, 7.0]
    networks = [
        Columns({"m": values([1.0, 2.0, 3.0, 4.0])}, {}, training={"m": values([np.nan, *then[1:]])}),
        Columns({"m": values([2.0, 3.0, 4.0, 6.0])}, {}, training={"m": values(then)}),
    ]
    cohort = Cohort(("a",), np.arange(4), np.ones((4, 1), np.int8), training_patients=np.arange(4, 8))
    metric = Metric("left", "What is left.", statistic="retained", of="m")
    row = next(row for row in contrasts(metric, networks[:1], networks[1:], cohort) if row["class_name"] == "a")
    assert row["difference"] == pytest.approx(2.5 / 6 - 3.75 / 6)
    for statistic in ("shift", "asymmetry", "level", "median", "wasserstein", "asymmetry_on_rarity"):
        assert contrasts(replace(metric, statistic=statistic, against="m"), networks[:1], networks[1:], cohort) == []
