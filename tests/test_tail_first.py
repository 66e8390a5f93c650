"""Every number stands for common, less common and rare classes too, with its width, or says why it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from auditor import Metric
from auditor.contrasts import bounded
from auditor.statistics.compare import compare
from auditor.statistics.precision import precision_influence
from auditor.statistics.rows import MACRO, Cohort, Comparison, Values, frequency_groups
from auditor.statistics.summarise import ClassSummary, summarise

MEAN = Metric("overlap", "Overlap.")
AUROC = Metric("auroc", "Ranking.", low=0, high=1, statistic="auroc", of="logit")
PRECISION = Metric("average_precision", "Ranking.", low=0, high=1, statistic="average_precision", of="logit")
CLASSES = ("Infiltration", "Effusion", "Fibrosis", "Hernia")
COUNTS = {"Infiltration": 200, "Effusion": 120, "Fibrosis": 20, "Hernia": 2}


@pytest.fixture
def cohort() -> Cohort:
    random = np.random.default_rng(0)
    labels = (random.random((300, 4)) < [0.4, 0.3, 0.2, 0.03]).astype(np.int8)
    return Cohort(CLASSES, random.integers(0, 120, 300), labels, frequency_groups(CLASSES, (1000, COUNTS)))


def scores(cohort: Cohort, signal: float, seed: int = 1) -> Values:
    noise = np.random.default_rng(seed).normal(size=cohort.labels.shape)
    sample, target = np.indices(cohort.labels.shape).reshape(2, -1)
    return Values(sample, target, (noise + signal * cohort.labels).ravel())


def rows_of(metric: Metric, values: Values, cohort: Cohort) -> dict[str, ClassSummary]:
    return {row.class_name: row for row in summarise(metric, values, cohort)}


@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION], ids=lambda metric: metric.name)
def test_groups_are_the_means_of_their_classes_and_together_make_all(metric: Metric, cohort: Cohort) -> None:
    rows = rows_of(metric, scores(cohort, 1.0), cohort)
    value = {name: row.value for name, row in rows.items()}
    assert value["(head)"] == pytest.approx((value["Infiltration"] + value["Effusion"]) / 2)
    assert (value["(medium)"], value["(tail)"]) == (value["Fibrosis"], value["Hernia"])
    assert [rows[name].n for name in ("(head)", "(medium)", "(tail)", MACRO)] == [2, 1, 1, 4]
    assert value[MACRO] == pytest.approx((2 * value["(head)"] + value["(medium)"] + value["(tail)"]) / 4)
    assert all(row.low <= row.value <= row.high for row in rows.values())


def test_the_interval_of_one_class_is_the_textbooks(cohort: Cohort) -> None:
    single = Cohort(CLASSES, np.arange(300), cohort.labels, cohort.groups)
    rows = rows_of(MEAN, scores(single, 0.0), single)
    value = scores(single, 0.0).value.reshape(300, 4)[:, 1]
    half = rows["Effusion"].high - rows["Effusion"].value
    freedom = ((value - value.mean()) ** 2).sum() ** 2 / ((value - value.mean()) ** 4).sum() - 1
    assert half == pytest.approx(stats.sem(value) * stats.t.ppf(0.975, freedom))


def test_a_group_without_a_class_and_a_class_without_positives_say_so(cohort: Cohort) -> None:
    labels = cohort.labels.copy()
    labels[:, 3] = 0
    none_rare = Cohort(CLASSES, cohort.patients, labels, frequency_groups(CLASSES, (1000, COUNTS | {"Fibrosis": 400})))
    rows = rows_of(AUROC, scores(none_rare, 1.0), none_rare)
    assert rows["(medium)"][:4] == ("(medium)", None, "no class in this group", 0)
    assert rows["(tail)"][:4] == ("(tail)", None, "not estimable (0 positives)", 0)
    assert rows["Hernia"].n == 300


def test_few_positive_patients_and_one_patient_are_said(cohort: Cohort) -> None:
    rows = rows_of(AUROC, scores(cohort, 1.0), cohort)
    assert rows["Hernia"].note == "fewer than 20 positive or negative patients: interval not reliable"
    assert rows["(tail)"].note == rows[MACRO].note == rows["Hernia"].note
    assert rows["(head)"].note is None
    alone = Cohort(CLASSES, np.zeros(300, np.int64), cohort.labels, cohort.groups)
    for metric in (MEAN, AUROC, PRECISION):
        row = rows_of(metric, scores(alone, 1.0), alone)["(head)"]
        assert (row.low, row.high, row.note) == (None, None, "fewer than 2 patients: no interval")
        assert row.value is not None


def test_ranks_of_a_class_equal_scikit_learn(cohort: Cohort) -> None:
    values = scores(cohort, 0.7)
    table = values.value.reshape(300, 4)
    for metric, oracle in ((AUROC, roc_auc_score), (PRECISION, average_precision_score)):
        rows = rows_of(metric, values, cohort)
        for number, name in enumerate(CLASSES):
            assert rows[name].value == pytest.approx(oracle(cohort.labels[:, number], table[:, number]), abs=1e-12)


def test_influences_on_average_precision_are_its_derivatives() -> None:
    random = np.random.default_rng(3)
    positive = random.random(400) < 0.1
    score = np.round(random.normal(size=400) + positive, 1)  # with ties
    moved = precision_influence(score, positive)
    assert math.fsum(moved) == pytest.approx(0, abs=1e-12)
    for case in range(0, 400, 7):
        sides = []
        for weight in (1 + 1e-5, 1 - 1e-5):
            weights = np.ones(400)
            weights[case] = weight
            sides.append(average_precision_score(positive, score, sample_weight=weights))
        assert moved[case] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4, abs=1e-8)


def test_the_error_of_average_precision_agrees_with_resampled_patients(cohort: Cohort) -> None:
    values = scores(cohort, 1.0)
    table, found = values.value.reshape(300, 4)[:, 0], rows_of(PRECISION, values, cohort)["Infiltration"]
    random = np.random.default_rng(5)
    owned = [np.flatnonzero(cohort.patients == patient) for patient in np.unique(cohort.patients)]
    drawn = []
    for _ in range(600):
        cases = np.concatenate([owned[patient] for patient in random.integers(0, len(owned), len(owned))])
        drawn.append(average_precision_score(cohort.labels[cases, 0], table[cases]))
    assert (found.high - found.low) / 2 / 1.98 == pytest.approx(np.std(drawn), rel=0.12)


@pytest.mark.parametrize("metric", [MEAN, AUROC, PRECISION], ids=lambda metric: metric.name)
def test_contrasts_have_a_row_for_each_group_made_of_its_classes(metric: Metric, cohort: Cohort) -> None:
    found = compare(metric, [scores(cohort, 1.4, 1)], [scores(cohort, 0.4, 2)], cohort, 0, 640)
    rows = {row["class_name"]: row for row in found}
    assert list(rows) == [*CLASSES, "(head)", "(medium)", "(tail)", MACRO]
    head = [rows[name]["difference"] for name in ("Infiltration", "Effusion")]
    assert rows["(head)"]["difference"] == pytest.approx(sum(head) / 2)
    assert rows["(head)"]["low"] < rows["(head)"]["difference"] < rows["(head)"]["high"]
    for name in ("low", "high", "n_cases", "n_patients"):
        assert rows["(medium)"][name] == rows["Fibrosis"][name]
    widths = {name: rows[name]["high"] - rows[name]["low"] for name in ("(head)", "(tail)")}
    assert metric is MEAN or widths["(tail)"] > widths["(head)"]


def test_no_interval_reaches_beyond_what_a_difference_can_be() -> None:
    row = Comparison("auroc", "performance", None, "Hernia", "net", "focal", "bce", 0.9, -0.2, 2.0, 12, 10, joint_low=-1.7)
    (found,) = bounded([row], {"auroc": AUROC})
    assert (found.low, found.high, found.joint_low, found.joint_high) == (-0.2, 1.0, -1.0, None)
    assert bounded([row], {"auroc": MEAN}) == [row]
