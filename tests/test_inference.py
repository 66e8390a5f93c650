"""The error of a difference over patients and seeds, its tests, and what may be said of it; slow twins of everything."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from auditor.statistics.clustered import Group, cluster_t, mean_of_means
from auditor.statistics.delong import clustered_area, placements
from auditor.statistics.effect import Crossed, Drawn, Linear
from auditor.statistics.multiplicity import benjamini_hochberg, holm
from auditor.statistics.ranking import Ranking
from auditor.statistics.resampling import patient_counts, resample
from auditor.statistics.seeds import Crossing, crossed, side_of
from auditor.statistics.signflip import sign_flip
from auditor.statistics.simultaneous import simultaneous_levels
from auditor.statistics.studentised import studentise
from auditor.statistics.verdict import smallest_margin, verdict, within

P_VALUES = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=12).map(np.array)


def linear(value: float, error: float, patients: int = 1000) -> Linear:
    """A difference with this standard error, to which all patients contribute alike."""
    return Linear(value, np.arange(patients), np.tile([error, -error], patients // 2) / math.sqrt(patients))


# Clustered DeLong


def slow_placements(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Every case against every case of the other kind."""

    def won(positive_score: float, negative_score: float) -> float:
        return 1.0 if positive_score > negative_score else 0.5 if positive_score == negative_score else 0.0

    return np.array(
        [
            np.mean([won(score, other) if kind else won(other, score) for other in scores[positive != kind]])
            for score, kind in zip(scores, positive, strict=True)
        ]
    )


def slow_error(placed: np.ndarray, positive: np.ndarray, patient: np.ndarray) -> float:
    """Patient by patient, as statistics textbooks write it."""
    residual = np.where(
        positive, (placed - placed[positive].mean()) / positive.sum(), (placed - placed[~positive].mean()) / (~positive).sum()
    )
    sums = [residual[patient == one].sum() for one in set(patient.tolist())]
    return math.sqrt(len(sums) / (len(sums) - 1) * sum(each**2 for each in sums))


@st.composite
def clustered_cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two networks' scores with ties, labels with both kinds, and at least two patients."""
    n = draw(st.integers(4, 24))
    numbers = st.lists(st.integers(-4, 4), min_size=n, max_size=n)
    a, b = (np.array(draw(numbers), dtype=np.float64) / 4 for _ in range(2))
    positive = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    patient = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    positive[:2], patient[:2] = [True, False], [0, 1]
    return a, b, positive, patient


@given(clustered_cases())
def test_placements_and_their_error_are_those_of_every_pair_looked_at(
    cases: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    a, b, positive, patient = cases
    placed = placements(a, positive) - placements(b, positive)
    slow = slow_placements(a, positive) - slow_placements(b, positive)
    assert placed == pytest.approx(slow, abs=1e-12)
    found = clustered_area(placed, positive, patient)
    assert found.value == pytest.approx(roc_auc_score(positive, a) - roc_auc_score(positive, b), abs=1e-12)
    assert found.error == pytest.approx(slow_error(slow, positive, patient), abs=1e-12)


def test_with_one_case_per_patient_the_error_is_delongs_but_for_the_degrees_of_freedom() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(400) < 0.2
    placed = placements(rng.normal(size=400) + positive, positive)
    kinds = placed[positive], placed[~positive]
    delong = sum(kind.var(ddof=1) / len(kind) for kind in kinds)
    rescaled = 400 / 399 * sum(kind.var() / len(kind) for kind in kinds)
    assert clustered_area(placed, positive, np.arange(400)).error == pytest.approx(math.sqrt(rescaled), abs=1e-12)
    assert rescaled == pytest.approx(delong, rel=0.02)


def test_a_network_held_against_itself_has_no_error_and_copies_of_a_patients_films_bring_no_precision() -> None:
    rng = np.random.default_rng(6)
    positive, patient = rng.random(200) < 0.3, np.arange(200)
    placed = placements(rng.normal(size=200) + positive, positive)
    nothing = clustered_area(placed - placed, positive, patient)
    assert (nothing.value, nothing.error, nothing.p, nothing.interval(0.95)) == (0, 0, 1, (0, 0))
    once = clustered_area(placed, positive, patient)
    thrice = clustered_area(np.tile(placed, 3), np.tile(positive, 3), np.tile(patient, 3))
    assert thrice.error == pytest.approx(once.error, abs=1e-12)


@pytest.mark.parametrize("films", [1, 4])
def test_clustered_delong_agrees_with_the_patient_bootstrap(films: int) -> None:
    rng = np.random.default_rng(7)
    patient = np.repeat(np.arange(400), films)
    positive = rng.random(400 * films) < np.repeat(rng.beta(0.4, 1.6, 400), films)
    a, b = (rng.normal(size=400 * films) + np.repeat(rng.normal(size=400), films) + 1.2 * positive for _ in range(2))
    found = clustered_area(placements(a, positive) - placements(b, positive), positive, patient)
    rankings = [Ranking(scores, positive, patient, 400) for scores in (a, b)]
    drawn = resample(lambda counts: rankings[0].auroc(counts) - rankings[1].auroc(counts), 400, 0, 4000)
    assert found.error == pytest.approx(drawn.std(), rel=0.06)


# Sign flips


def slow_sign_flip(shares: list[float]) -> float:
    """Every assignment of signs written out."""
    observed = abs(sum(shares))
    sums = [
        abs(sum(sign * share for sign, share in zip(signs, shares, strict=True)))
        for signs in product((1, -1), repeat=len(shares))
    ]
    return sum(each >= observed - 1e-9 * sum(map(abs, shares)) for each in sums) / len(sums)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_few_patients_are_flipped_in_every_way_there_is(shares: list[int]) -> None:
    values = [share / 4 for share in shares]
    assert sign_flip(np.array(values), 0) == pytest.approx(slow_sign_flip(values), abs=1e-12)


def test_sign_flips_worked_by_hand() -> None:
    # +1 +2 +3: of the eight sums only +6 and -6 are as far from 0; 1 1 -1: all eight are at least 1 away.
    assert sign_flip(np.array([1.0, 2.0, 3.0]), 0) == 0.25
    assert sign_flip(np.array([1.0, 1.0, -1.0]), 0) == 1.0
    assert sign_flip(np.zeros(9), 0) == 1.0


def test_many_patients_are_flipped_by_keyed_draws_that_agree_with_scipy() -> None:
    value = np.random.default_rng(3).normal(0.4, 1, 40)
    drawn = stats.permutation_test((value,), np.sum, permutation_type="samples", n_resamples=9999, rng=0)
    assert sign_flip(value, 1) == pytest.approx(drawn.pvalue, abs=0.004)
    assert sign_flip(value, 1) == sign_flip(value, 1) == sign_flip(-value, 1) == sign_flip(value * 1e-6, 1)
    assert sign_flip(np.concatenate([value, np.zeros(500)]), 1) == sign_flip(value, 1)
    assert sign_flip(np.ones(200), 1) == 1 / 10_000


def test_patients_and_not_images_are_flipped() -> None:
    group = Group(np.repeat([1.0, 2.0, 3.0], 50), np.repeat([0, 1, 2], 50))
    found = cluster_t([group])
    assert isinstance(found, Linear)
    assert found.p == 0.25


# Bootstrap-t


def test_a_studentised_mean_of_single_cases_is_the_bootstrap_t_of_the_textbook() -> None:
    value = np.random.default_rng(4).exponential(size=15)

    def mean(counts: np.ndarray) -> np.ndarray:
        return value @ counts / counts.sum(0)

    error, ends = studentise(mean, 15, seed=2, replicates=128)
    assert error == pytest.approx(stats.sem(value), abs=1e-6)
    for replicate in (0, 63, 127):
        counts = patient_counts(15, 2, "whole patients", replicate // 64)[:, replicate % 64]
        drawn = np.repeat(value, counts)
        pivot = (drawn.mean() - value.mean()) / stats.sem(drawn)
        assert ends[replicate] == pytest.approx(value.mean() - stats.sem(value) * pivot, abs=1e-5)


def test_replicates_that_repeat_one_patient_alone_have_no_end() -> None:
    value = np.array([0.0, 1.0])
    ends = studentise(lambda counts: value @ counts / np.maximum(counts.sum(0), 1), 2, seed=0, replicates=64)[1]
    assert 0 < np.isnan(ends).sum() < 64


# Seeds and patients


def by_hand(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """W, P and J of values [S, G], one case per patient, straight from their definitions."""
    patients = a.shape[1]
    within = [side - side.mean(1, keepdims=True) for side in (a, b)]
    seeds = sum(side.mean(1).var(ddof=1) / len(side) for side in (a, b))
    difference = a.mean(0) - b.mean(0)
    over_patients = difference.var(ddof=1) / patients
    both = sum(
        patients / (patients - 1) * sum((side[:, g] / patients).var(ddof=1) for g in range(patients)) / len(side)
        for side in within
    )
    return seeds, over_patients, both


@pytest.mark.parametrize(("spread", "response"), [(0.0, 0.0), (0.3, 0.0), (0.1, 1.0), (2.0, 0.1)])
def test_the_crossed_variance_is_the_largest_of_its_parts(spread: float, response: float) -> None:
    rng = np.random.default_rng(9)
    shared = rng.normal(size=30)
    a, b = (shared + spread * rng.normal(size=(s, 1)) + response * rng.normal(size=(s, 30)) for s in (3, 5))
    patient = np.arange(30)
    sides = []
    for side in (a, b):
        networks = [mean_of_means([Group(row, patient)]) for row in side]
        sides.append(side_of([network.value for network in networks], [network.influence for network in networks]))
    over_patients = mean_of_means([Group(a.mean(0) - b.mean(0), patient)])
    found = crossed(sides[0], sides[1], over_patients.error**2, over_patients.freedom)
    seeds, patients, both = by_hand(a, b)
    assert found.variance == pytest.approx(max(seeds + patients - both, seeds, patients), abs=1e-12)
    assert found.seeds == pytest.approx(1 - patients / found.variance if found.variance else 0, abs=1e-9)


def test_one_network_of_a_side_leaves_the_variance_over_seeds_unknown() -> None:
    one, two = side_of([0.1], [np.ones(3)]), side_of([0.1, 0.2], [np.ones(3), np.ones(3)])
    with pytest.raises(ValueError, match="at least 2 networks"):
        crossed(one, two, 0.1, 5.0)


# Multiplicity


def slow_holm(p: np.ndarray) -> list[float]:
    """The smallest alpha at which the step-down procedure rejects each hypothesis."""

    def rejected(alpha: float) -> set[int]:
        found: set[int] = set()
        for step, number in enumerate(np.argsort(p, kind="stable")):
            if p[number] * (len(p) - step) > alpha:
                break
            found.add(int(number))
        return found

    steps = sorted({min(1.0, float(value * k)) for value in p for k in range(1, len(p) + 1)} | {1.0})
    return [next(alpha for alpha in steps if number in rejected(alpha) or alpha == 1.0) for number in range(len(p))]


@given(P_VALUES)
def test_holm_gives_the_smallest_level_at_which_each_hypothesis_is_rejected(p: np.ndarray) -> None:
    assert holm(p) == pytest.approx(slow_holm(p), abs=1e-12)


@given(P_VALUES)
def test_benjamini_and_hochberg_agree_with_scipy(p: np.ndarray) -> None:
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_adjusting_keeps_the_order_of_the_hypotheses_and_never_lowers_a_p_value(p: np.ndarray, random: object) -> None:
    order = np.arange(len(p))
    random.shuffle(order)  # type: ignore[attr-defined]
    for adjust in (holm, benjamini_hochberg):
        found = adjust(p)
        assert (found >= p).all()
        assert (found <= 1).all()
        assert adjust(p[order]) == pytest.approx(found[order], abs=1e-15)
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_one_hypothesis_needs_no_adjustment_and_copies_of_it_none_by_max_t() -> None:
    rng = np.random.default_rng(10)
    effect = cluster_t([Group(rng.normal(size=200), np.arange(200))])
    assert isinstance(effect, Linear)
    alone, copies, nothing = simultaneous_levels([[effect], [effect] * 5, []], np.arange(200), 0)
    assert alone == nothing == 0.95
    assert copies == pytest.approx(0.95, abs=0.012)


def test_ten_independent_hypotheses_need_the_level_of_sidak() -> None:
    rng = np.random.default_rng(11)
    family = [mean_of_means([Group(rng.normal(size=300), np.arange(300))]) for _ in range(10)]
    (level,) = simultaneous_levels([family], np.arange(300), 0, replicates=6400)
    assert 1 - level == pytest.approx(1 - 0.95 ** (1 / 10), rel=0.3)


def test_drawn_and_linear_differences_of_one_mean_share_their_resamples() -> None:
    rng = np.random.default_rng(12)
    value = rng.normal(size=250)
    exact = mean_of_means([Group(value, np.arange(250))])
    resampled = resample(lambda counts: value @ counts / 250, 250, 3, 1999)
    drawn = Drawn(float(value.mean()), resampled, float(resampled.std()), 250)
    (level,) = simultaneous_levels([[exact, drawn]], np.arange(250), 3)
    assert level == pytest.approx(0.95, abs=0.012)


def test_what_comes_from_seeds_is_taken_to_be_independent() -> None:
    rng = np.random.default_rng(13)
    effect = mean_of_means([Group(rng.normal(size=200), np.arange(200))])
    all_seeds = Crossed(effect, Crossing(1e6 * effect.error**2, 8.0, 1 - 1e-6))
    (level,) = simultaneous_levels([[all_seeds] * 4], np.arange(200), 0, replicates=6400)
    assert 1 - level == pytest.approx(1 - 0.95 ** (1 / 4), rel=0.3)


# Verdicts


@pytest.mark.parametrize(
    ("value", "error", "p", "margin", "said"),
    [
        (0.030, 0.005, 0.001, 0.02, "different"), (0.001, 0.005, 0.8, 0.02, "equivalent"), (0.015, 0.005, 0.01, 0.02, "different"),
        (0.010, 0.002, 0.001, 0.02, "different but negligible"), (0.015, 0.02, 0.4, 0.02, "inconclusive"),
        (0.001, 0.005, 0.8, None, "inconclusive"), (0.030, 0.005, 0.06, 0.02, "inconclusive"), (0.0, 0.0, 1.0, 0.02, "equivalent"),
        (0.015, 0.01, 0.001, None, "inconclusive"),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_the_adjusted_p_value_and_both_intervals(
    value: float, error: float, p: float, margin: float | None, said: str
) -> None:
    assert verdict(linear(value, error), p, margin) == said


@given(st.floats(-0.05, 0.05), st.floats(1e-4, 0.05), st.floats(1e-4, 0.1))
def test_equivalence_is_two_one_sided_tests_at_5_percent(value: float, error: float, margin: float) -> None:
    effect = linear(value, error)
    above = stats.t.cdf((value - margin) / effect.error, effect.freedom)
    below = stats.t.sf((value + margin) / effect.error, effect.freedom)
    larger = max(above, below)
    if abs(larger - 0.05) > 1e-9:
        assert within(effect, margin) == (larger < 0.05)


@given(st.floats(1e-4, 0.05), st.integers(10, 400))
def test_the_smallest_margin_shows_equivalence_in_four_of_five_studies_without_a_difference(error: float, half: int) -> None:
    effect = linear(0.0, error, 2 * half)
    margin = smallest_margin(effect)
    reach = margin / effect.error - stats.t.ppf(0.95, effect.freedom)
    assert 1 - 2 * stats.t.sf(reach, effect.freedom) == pytest.approx(0.8, abs=1e-6)
    assert smallest_margin(linear(0.04, error, 2 * half)) == margin


def test_a_drawn_difference_counts_the_data_among_the_resamples() -> None:
    drawn = Drawn(0.5, np.linspace(0.1, 0.9, 99), 0.2, 60)
    assert drawn.p == pytest.approx(2 / 100)
    assert Drawn(0.0, np.zeros(99), 0.0, 60).p == 1.0
    assert drawn.interval(0.9) == pytest.approx(tuple(np.quantile(drawn.drawn, [0.05, 0.95])))
    some = Drawn(0.5, np.append(drawn.drawn, np.nan), 0.2, 60)
    assert (some.p, some.interval(0.9)) == (drawn.p, drawn.interval(0.9))
