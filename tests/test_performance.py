"""The performance analysis: log-odds and probabilities per case, and what its metrics say of themselves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.performance import Performance

from auditor import Sample
from auditor.batch import Batch
from auditor.errors import PluginError
from auditor.statistics.rows import MACRO, Cohort, Values
from auditor.statistics.summarise import summarise

METRICS = {metric.name: metric for metric in Performance.metrics}


def measured(logits: list[list[float]], labels: list[tuple[int | None, ...]], **options: bool) -> dict[str, np.ndarray]:
    samples = [Sample(f"s{number}", f"p{number}", row) for number, row in enumerate(labels)]
    classes = [f"class {number}" for number in range(len(labels[0]))]
    batch = Batch(samples, classes, scores=torch.tensor(logits, dtype=torch.float64), **options)
    analysis = Performance()
    cases, _ = batch.cases(analysis.needs)
    return {name: np.asarray(found) for name, found in analysis.measure(batch.view(analysis.needs, cases)).items()}


def test_every_case_with_a_known_label_gets_its_log_odds_and_probability_in_double_precision() -> None:
    found = measured([[0.0, 2.0], [-1.0, 40.0]], [(1, 0), (0, None)])
    assert set(found) == {"logit", "probability"}
    assert found["logit"].dtype == found["probability"].dtype == np.float64
    np.testing.assert_array_equal(found["logit"], [0.0, 2.0, -1.0])
    np.testing.assert_allclose(found["probability"], [0.5, 0.880797077977882444, 0.268941421369995120], rtol=1e-15)


def test_extreme_and_absent_scores_pass_through_without_a_warning() -> None:
    found = measured([[1000.0, -1000.0, np.nan]], [(1, 0, 0)])
    np.testing.assert_array_equal(found["probability"], [1.0, 0.0, np.nan])


def test_confident_scores_that_single_precision_would_tie_stay_apart() -> None:
    found = measured([[18.0], [19.0]], [(1,), (0,)])
    assert found["probability"][0] < found["probability"][1]
    assert torch.tensor([18.0]).sigmoid() == torch.tensor([19.0]).sigmoid()


def test_the_mean_probability_is_over_positives_and_negatives_together() -> None:
    found = measured([[0.0], [np.log(3)], [-np.log(3)], [np.log(9)]], [(1,), (0,), (0,), (1,)])
    cases = Values(np.arange(4), np.zeros(4, np.int64), found["probability"])
    cohort = Cohort(("class 0",), np.arange(4), np.array([[1], [0], [0], [1]], np.int8))
    assert summarise(METRICS["probability"], cases, cohort)[0].value == pytest.approx((0.5 + 0.75 + 0.25 + 0.9) / 4, abs=1e-15)
    logits = Values(np.arange(4), np.zeros(4, np.int64), found["logit"])
    assert summarise(METRICS["auroc"], logits, cohort)[0].value == 0.75
    assert summarise(METRICS["average_precision"], logits, cohort)[1].class_name == MACRO


def test_it_reads_nothing_that_it_does_not_declare() -> None:
    batch = Batch([Sample("s", "p", (1,))], ["class 0"], scores=torch.zeros(1, 1, dtype=torch.float64))
    with pytest.raises(PluginError, match="did not say"):
        Performance().measure(batch.view(frozenset({"labels"}), [(0, 0)]))


def test_every_metric_says_what_it_is() -> None:
    assert [metric.name for metric in Performance.metrics if metric.per_case] == ["logit", "probability"]
    assert {metric.name: metric.of for metric in Performance.metrics if metric.of} == {
        "auroc": "logit",
        "average_precision": "logit",
    }
    for metric in Performance.metrics:
        assert metric.says.endswith(".")
        assert metric.reference
        assert metric.undefined
    for metric in (METRICS["probability"], METRICS["auroc"], METRICS["average_precision"]):
        assert (metric.low, metric.high) == (0.0, 1.0)
        assert metric.chance
    assert METRICS["average_precision"].chance == "prevalence"


def test_importing_it_or_any_statistic_imports_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, auditor_plugins.analyses.performance, auditor.findings\n"
        "import auditor.statistics.compare, auditor.statistics.summarise\n"
        "sys.exit(', '.join({'torch', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
