"""AUROC and average precision: exact, tied or not, as they are and in any resample of the patients."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from auditor.statistics.ranking import Ranking, auroc, average_precision
from auditor.statistics.resampling import BLOCK, patient_counts, ratio


def slow_auroc(scores: np.ndarray, positive: np.ndarray) -> Fraction:
    """Every pair looked at, from the definition."""
    wins = Fraction(0)
    for a in scores[positive]:
        for b in scores[~positive]:
            wins += Fraction(1) if a > b else Fraction(1, 2) if a == b else Fraction(0)
    return wins / (int(positive.sum()) * int((~positive).sum()))


def slow_average_precision(scores: np.ndarray, positive: np.ndarray) -> Fraction:
    """Walk down the distinct thresholds: precision there times the recall gained there."""
    area = Fraction(0)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        above = scores >= threshold
        gained = int((positive & (scores == threshold)).sum())
        area += Fraction(int((positive & above).sum()), int(above.sum())) * Fraction(gained, int(positive.sum()))
    return area


@st.composite
def ranked_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores on a coarse grid, so that ties are common, with at least one case of each kind."""
    n = draw(st.integers(2, 30))
    scores = np.array(draw(st.lists(st.integers(-6, 6), min_size=n, max_size=n)), dtype=np.float64) / 4
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    positive[0], positive[1] = True, False
    return scores, positive


@given(ranked_cases())
def test_auroc_is_the_share_of_pairs_won_and_average_precision_the_walk_down_the_thresholds(
    cases: tuple[np.ndarray, np.ndarray],
) -> None:
    scores, positive = cases
    assert auroc(scores, positive) == float(slow_auroc(scores, positive))
    assert average_precision(scores, positive) == pytest.approx(float(slow_average_precision(scores, positive)), abs=1e-14)


@pytest.mark.parametrize("decimals", [1, 3, 15])
def test_scikit_learn_agrees_with_many_ties_and_with_none(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    positive = rng.random(3000) < 0.08
    scores = np.round(rng.normal(size=3000) + positive, decimals)
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores), abs=1e-12)


@given(ranked_cases())
def test_a_monotone_transform_of_the_scores_changes_nothing(cases: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = cases
    for transformed in (np.exp(scores), scores**3 - 7, 1 / (1 + np.exp(-scores))):
        assert auroc(transformed, positive) == auroc(scores, positive)
        assert average_precision(transformed, positive) == average_precision(scores, positive)


@given(ranked_cases())
def test_swapping_the_labels_or_the_sign_mirrors_the_auroc(cases: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = cases
    found = auroc(scores, positive)
    assert isinstance(found, float)
    assert auroc(scores, ~positive) == pytest.approx(1 - found, abs=1e-15)
    assert auroc(-scores, positive) == pytest.approx(1 - found, abs=1e-15)


@given(ranked_cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_cases_changes_no_bit(cases: tuple[np.ndarray, np.ndarray], random: Random) -> None:
    scores, positive = cases
    order = list(range(len(scores)))
    random.shuffle(order)
    assert auroc(scores[order], positive[order]) == auroc(scores, positive)
    assert average_precision(scores[order], positive[order]) == average_precision(scores, positive)


def test_constant_scores_are_worth_one_half_and_the_prevalence() -> None:
    positive = np.arange(40) < 10
    assert auroc(np.zeros(40), positive) == 0.5
    assert average_precision(np.zeros(40), positive) == 0.25


def test_infinite_log_odds_are_ordinary_scores() -> None:
    scores, positive = np.array([np.inf, 0.0, -np.inf, np.inf]), np.array([True, True, False, False])
    assert auroc(scores, positive) == float(slow_auroc(scores, positive)) == 0.625


@pytest.mark.parametrize("statistic", [auroc, average_precision])
def test_a_class_without_positives_or_negatives_has_a_reason_and_no_number(
    statistic: Callable[[np.ndarray, np.ndarray], float | str],
) -> None:
    assert statistic(np.arange(3.0), np.zeros(3, dtype=bool)) == "not estimable (0 positives)"
    assert statistic(np.arange(3.0), np.ones(3, dtype=bool)) == "not estimable (0 negatives)"
    assert statistic(np.empty(0), np.empty(0, dtype=bool)) == "not estimable (0 positives)"


@pytest.mark.parametrize("decimals", [1, 12])
def test_counting_patients_equals_writing_out_every_resample(decimals: int) -> None:
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 60, 400)
    positive = rng.random(400) < 0.1
    scores = np.round(rng.normal(size=400) + positive, decimals)
    counts = patient_counts(60, seed=1, family="test", block=0)
    ranking = Ranking(scores, positive, patient, 60)
    areas, precisions = ranking.auroc(counts), ranking.average_precision(counts)
    for replicate in range(BLOCK):
        rows = np.repeat(np.arange(400), counts[patient, replicate])
        assert areas[replicate] == pytest.approx(roc_auc_score(positive[rows], scores[rows]), abs=1e-12)
        assert precisions[replicate] == pytest.approx(average_precision_score(positive[rows], scores[rows]), abs=1e-12)
    rows = np.repeat(np.arange(400), counts[patient, 0])
    assert areas[0] == float(slow_auroc(scores[rows], positive[rows]))


def test_a_resample_that_loses_all_positives_has_no_value() -> None:
    ranking = Ranking(np.array([1.0, 0.0]), np.array([True, False]), np.array([0, 1]), 2)
    counts = np.array([[1, 0, 2], [1, 2, 0]], dtype=np.int32)
    np.testing.assert_array_equal(ranking.auroc(counts), [1, np.nan, np.nan])
    np.testing.assert_array_equal(ranking.average_precision(counts), [1, np.nan, np.nan])


def test_a_ratio_of_sums_in_every_resample_is_that_of_the_cases_written_out() -> None:
    rng = np.random.default_rng(8)
    patient, above, below = rng.integers(0, 30, 90), rng.random(90), rng.integers(0, 3, 90).astype(float)
    counts = patient_counts(30, seed=2, family="test", block=0)
    found = ratio(above, below, patient, 30)(counts.astype(np.float32))
    for replicate in range(BLOCK):
        rows = np.repeat(np.arange(90), counts[patient, replicate])
        assert found[replicate] == pytest.approx(above[rows].sum() / below[rows].sum(), abs=1e-12)
    assert np.isnan(ratio(above, np.zeros(90), patient, 30)(counts.astype(np.float32))).all()


def test_resamples_draw_whole_patients_with_replacement_and_depend_on_their_key_alone() -> None:
    counts = patient_counts(50, seed=7, family="a", block=3)
    assert counts.shape == (50, BLOCK)
    assert (counts.sum(0) == 50).all()
    patient_counts(9, seed=1, family="b", block=0)
    np.testing.assert_array_equal(counts, patient_counts(50, seed=7, family="a", block=3))
    for seed, family, block in ((8, "a", 3), (7, "b", 3), (7, "a", 4)):
        assert (counts != patient_counts(50, seed, family, block)).any()
    many = np.concatenate([patient_counts(50, 7, "a", block) for block in range(40)], axis=1)
    assert many.mean(1) == pytest.approx(np.ones(50), abs=0.1)
    assert many.var() == pytest.approx(49 / 50, abs=0.05)


NETWORKS = ("jrzech_densenet121_bce", "derrick_mobilenetv2_bce", "derrick_resnet50_bce")


@pytest.mark.parametrize("network", NETWORKS)
def test_published_areas_of_trained_networks_are_reproduced(shared_data: Path, network: str) -> None:
    folder = shared_data / "predictions-nih"
    labels = {row["Image Index"]: row for row in _table(folder / "labels.csv.gz")}
    scores = _table(folder / network / "preds.csv.gz")
    with (folder / network / "published_aucs.csv").open() as file:
        published = {row["label"]: float(row["auc"]) for row in csv.DictReader(file)}
    assert len(published) == 14
    for name, area in published.items():
        probability = np.array([float(row[f"prob_{name}"]) for row in scores])
        positive = np.array([labels[row["Image Index"]][name] == "1" for row in scores])
        assert auroc(np.log(probability) - np.log1p(-probability), positive) == pytest.approx(area, abs=1e-12), name


def _table(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))
