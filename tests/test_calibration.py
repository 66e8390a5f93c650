"""Calibration: scikit-learn and scipy as oracles, answers known in closed form, and a recalibration that mends what was shifted."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.analyses._apart import apart
from auditor_plugins.analyses.calibration import Calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from auditor import ConfigError, Sample, run
from auditor.batch import Batch
from auditor.evidence import read
from auditor.results_schema import Results
from auditor.statistics.calibrated import AFTER, SEPARATED, Scored, bins, calibration, recalibrated
from auditor.statistics.influence import Influence, interval


def simulated(seed: int, patients: int = 400, films: int = 3, slope: float = 1.0, shift: float = 0.0) -> Scored:
    """Log-odds that are off by a factor and a constant; films of a patient are alike."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), films)
    truth = np.repeat(random.normal(-1, 1, patients), films) + random.normal(0, 0.5, patients * films)
    y = (random.random(len(truth)) < expit(truth)).astype(float)
    return Scored((truth - shift) / slope, y, patient)


def value(statistic: str, cases: Scored) -> Influence:
    found = calibration(statistic, cases)
    assert isinstance(found, Influence), found
    return found


def test_the_slope_is_that_of_an_unpenalised_logistic_regression() -> None:
    cases = simulated(0, slope=0.6, shift=0.7)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(cases.z[:, None], cases.y)
    assert value("slope", cases).value == pytest.approx(oracle.coef_[0, 0], rel=1e-5)


def test_the_intercept_is_the_maximum_likelihood_with_the_log_odds_as_offset() -> None:
    cases = simulated(1, shift=0.7)

    def loss(a: np.ndarray) -> float:
        return float((np.logaddexp(0, cases.z + a[0]) - cases.y * (cases.z + a[0])).sum())

    found = value("intercept", cases)
    assert found.value == pytest.approx(minimize(loss, [0.0], tol=1e-12).x[0], abs=1e-4)
    assert expit(cases.z + found.value).mean() == pytest.approx(cases.y.mean(), abs=1e-9)


def test_brier_and_prevalence_are_what_scikit_learn_and_the_mean_say() -> None:
    cases = simulated(2, slope=0.5)
    p = expit(cases.z)
    assert value("brier", cases).value == pytest.approx(brier_score_loss(cases.y, p), abs=1e-12)
    assert value("prevalence_gap", cases).value == pytest.approx(p.mean() - cases.y.mean(), abs=1e-12)
    assert value("predicted", cases).value - value("observed", cases).value == pytest.approx(p.mean() - cases.y.mean())


def test_equal_mass_bins_are_those_of_scikit_learn() -> None:
    cases = simulated(3, slope=0.5)
    p = expit(cases.z)
    observed, predicted = calibration_curve(cases.y, p, n_bins=15, strategy="quantile")
    which = bins(p)
    share = np.bincount(which) / len(p)
    np.testing.assert_array_equal(np.bincount(which), 80)
    assert value("ece", cases).value == pytest.approx(float((share * np.abs(observed - predicted)).sum()), abs=1e-12)


def test_certain_scores_fall_into_the_last_bin_and_are_counted() -> None:
    """A peer's open last bin drops p = 1 and calls this network calibrated: ECE .025 where it is .525."""
    z = np.concatenate([np.full(50, np.inf), np.full(50, logit(0.05))])
    found = value("ece", Scored(z, np.zeros(100), np.arange(100)))
    assert found.value == pytest.approx(0.5 * 1 + 0.5 * 0.05)
    assert bins(expit(z)).size == 100
    assert np.bincount(bins(expit(z))).sum() == 100


def test_ties_share_a_bin_whatever_the_order_of_the_cases() -> None:
    p = np.repeat([0.1, 0.2, 0.9], [40, 7, 3])
    order = np.random.default_rng(0).permutation(len(p))
    np.testing.assert_array_equal(bins(p)[order], bins(p[order]))
    assert all(len(np.unique(bins(p)[p == level])) == 1 for level in (0.1, 0.2, 0.9))


def test_a_calibrated_network_shows_about_the_ece_of_chance() -> None:
    found = [(value("ece", c).value, value("ece_chance", c).value) for c in (simulated(s, 1200, 1) for s in range(20))]
    ece, chance = np.mean(found, 0)
    assert ece == pytest.approx(chance, rel=0.15)


@pytest.mark.parametrize("statistic", ["intercept", "slope", "ece", "brier", "prevalence_gap"])
def test_influences_are_what_leaving_a_patient_out_does(statistic: str) -> None:
    cases = simulated(4, 60, 2, slope=1.0 if statistic == "ece" else 0.5, shift=2.0 if statistic == "ece" else 0.5)
    found = value(statistic, cases)
    left = np.array([value(statistic, Scored(*(c[cases.patient != g] for c in cases))).value for g in found.patient])
    jackknifed = np.sqrt(59 / 60 * ((left - left.mean()) ** 2).sum())
    assert np.sqrt((found.influence**2).sum()) == pytest.approx(jackknifed, rel=0.12)


def test_one_sided_and_separated_labels_have_no_slope_and_say_why() -> None:
    patient = np.arange(40)
    z = np.linspace(-3, 3, 40)
    assert calibration("slope", Scored(z, np.zeros(40), patient)) == "not estimable (0 positives)"
    assert calibration("slope", Scored(z, (z > 0).astype(float), patient)) == SEPARATED
    assert value("brier", Scored(z, np.zeros(40), patient)).value > 0


def test_recalibration_mends_what_was_shifted_and_is_measured_on_other_patients() -> None:
    cases = simulated(5, 4000, 2, slope=0.5)
    apart = (cases.patient % 2).astype(float)
    mended = recalibrated(cases, apart, "temperature")
    assert isinstance(mended, Scored)
    assert set(mended.patient % 2) == {0}
    low, high = interval(value("slope", mended))
    assert low < 1 < high
    assert interval(value("slope", Scored(*(c[apart == 0] for c in cases))))[1] < 0.6
    moved = simulated(6, 4000, 2, shift=1.5)
    mended = recalibrated(moved, apart, "prior_shift")
    assert isinstance(mended, Scored)
    low, high = interval(value("intercept", mended))
    assert low < 0 < high
    oracle = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(cases.z[apart > 0, None], cases.y[apart > 0])
    found = recalibrated(cases, apart, "temperature")
    np.testing.assert_allclose(found[0], cases.z[apart == 0] * oracle.coef_[0, 0], rtol=1e-4)  # type: ignore[index]


@pytest.mark.parametrize("after", AFTER)
def test_a_class_without_positives_to_fit_on_says_so(after: str) -> None:
    cases = Scored(np.zeros(8), np.array([1, 0, 1, 0, 0, 0, 0, 0.0]), np.arange(8))
    found = recalibrated(cases, np.array([0, 0, 0, 0, 1, 1, 1, 1.0]), after)
    assert isinstance(found, Scored) if not after else found == "recalibration not estimable (0 positives)"


def test_the_split_goes_by_patient_and_never_changes() -> None:
    samples = [Sample(f"s{number}", f"p{number // 3}", (1, None)) for number in range(300)]
    batch = Batch(samples, ["a", "b"], scores=torch.zeros(300, 2, dtype=torch.float64))
    cases, _ = batch.cases(Calibration.needs)
    apart = np.asarray(Calibration(fit=0.3).measure(batch.view(Calibration.needs, cases))["fitting"]).reshape(100, 3)
    assert (apart == apart[:, :1]).all()
    assert 0.2 < apart.mean() < 0.4
    more = np.asarray(Calibration(fit=0.6).measure(batch.view(Calibration.needs, cases))["fitting"]).reshape(100, 3)
    assert (more >= apart).all()


def test_a_share_that_leaves_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"calibration: fit: 1 is not between 0 and 1"):
        Calibration(fit=1)


def test_an_audit_tells_calibration_before_and_after_with_intervals(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    path = write_audit(analyses="[calibration]", dataset="{use: tiny, images: 200}", attributions="[]")
    result = run.run(path, tmp_path / "run", device="cpu")
    assert result.exit_code == 0, result.messages
    evidence = read(tmp_path / "run")
    Results.model_validate(json.loads((tmp_path / "run" / "results.json").read_text()))
    for name in ("brier", "brier_temperature", "brier_prior_shift"):
        rows = evidence.select(name, class_name="Nodule")
        assert len(rows) == 2
        assert all(row.low < row.value < row.high for row in rows)
        assert {row.n for row in rows} == {rows[0].n} != {200}
        (contrast,) = evidence.contrasts(name, class_name="Nodule")
        assert contrast.difference == pytest.approx(rows[1].value - rows[0].value)
    gap = evidence.select("prevalence_gap_prior_shift", class_name="Nodule")[0]
    assert abs(gap.value) < abs(evidence.select("prevalence_gap", class_name="Nodule")[0].value)
    html = (tmp_path / "run" / "report.html").read_text()
    assert "Calibration" in html


def test_real_networks_are_measured_on_patients_that_recalibration_never_saw(shared_data: Path) -> None:
    """Three published networks of ChestX-ray14: 22,433 films of 6,187 patients; every one is too sure of infiltrations."""
    folder = shared_data / "predictions-nih"
    with gzip.open(folder / "labels.csv.gz", "rt") as file:
        labels = {row["Image Index"]: row for row in csv.DictReader(file)}
    y = np.array([float(row["Infiltration"]) for row in labels.values()])
    names = [row["Patient ID"] for row in labels.values()]
    fitting = np.array([apart(name, 0.5) for name in names], float)
    assert len(set(names)) == 6187
    assert not {n for n, a in zip(names, fitting, strict=True) if a} & {n for n, a in zip(names, fitting, strict=True) if not a}
    for network in ("derrick_mobilenetv2_bce", "derrick_resnet50_bce", "jrzech_densenet121_bce"):
        with gzip.open(folder / network / "preds.csv.gz", "rt") as file:
            p = {row["Image Index"]: float(row["prob_Infiltration"]) for row in csv.DictReader(file)}
        cases = Scored(logit(np.array([p[name] for name in labels])), y, np.array(names, np.int64))
        slopes = []
        for after in ("", "temperature"):
            kept = recalibrated(cases, fitting, after)
            assert isinstance(kept, Scored)
            slopes.append(value("slope", kept))
            assert value("brier", kept).value == pytest.approx(brier_score_loss(kept.y, expit(kept.z)), abs=1e-12)
        assert abs(slopes[1].value - 1) < abs(slopes[0].value - 1)
        low, high = interval(slopes[1])
        assert low < 1.05
        assert high > 0.95


def told_slope(z: list[float], y: list[int], patient: list[int] | None = None) -> Any:
    who = np.arange(len(z)) if patient is None else np.array(patient)
    return calibration("slope", Scored(np.array(z), np.array(y, np.float64), who))


def test_a_slope_that_hangs_on_one_patient_is_not_told() -> None:
    """One positive film among the negatives: without that patient any larger slope fits better still."""
    z, y = [-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, -2.5], [0, 0, 0, 1, 1, 1, 1]
    assert told_slope(z[:6], y[:6]) == "not estimable (the labels are separated perfectly)"
    hangs = "not estimable (without one patient the labels are separated perfectly)"
    assert told_slope(z, y) == hangs
    assert told_slope([*z, -2.6], [*y, 1], [0, 1, 2, 3, 4, 5, 6, 6]) == hangs, "two films of one patient are one patient"
    assert told_slope([*z, -2.6], [*y, 1]) != hangs
    assert told_slope([1.0, 1.0, 1.0], [0, 1, 1]).startswith("not estimable"), "ties at the threshold: no maximum either"


def test_a_slope_without_information_is_not_told_and_one_that_leaves_out_0_or_2_is() -> None:
    rng = np.random.default_rng(3)
    nothing = "not estimable (its interval holds both 0 and 2)"
    for spread, slope, told in ((0.01, 1.0, False), (1.0, 1.0, True), (1.0, 0.1, True), (0.2, 5.0, True)):
        z = spread * rng.normal(size=400)
        y = (rng.random(400) < expit(slope * z)).astype(int)
        found = told_slope(z.tolist(), y.tolist())
        assert (found != nothing) == told
        if told:
            low, high = interval(found)
            assert not (low <= 0 and high >= 2)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_leaving_out_a_patient_who_is_not_outermost_separates_nothing(seed: int) -> None:
    """The slow twin leaves out every patient in turn."""
    rng = np.random.default_rng(seed)
    z, y, who = rng.normal(size=14).round(1), rng.integers(0, 2, 14), rng.integers(0, 7, 14)
    z = z + 1.5 * y

    def separated(kept: Any) -> bool:
        below, above = z[kept & (y == 0)], z[kept & (y == 1)]
        return not len(below) or not len(above) or max(below) <= min(above) or max(above) <= min(below)

    every = np.ones(14, bool)
    found = told_slope(z.tolist(), y.tolist(), who.tolist())
    hangs = not separated(every) and any(separated(who != one) for one in set(who.tolist()))
    assert (found == "not estimable (without one patient the labels are separated perfectly)") == hangs
