"""What page one and the tables must not leave to the reader's guess: which interval, of how many patients, and what was not answered."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from auditor_plugins.sections import discrimination, strategies, summary
from auditor_plugins.sections._apart import set_apart
from auditor_plugins.sections._questions import verdict_table
from auditor_plugins.sections._unanswered import unanswered
from example import EXAMPLE

from auditor.adjusted import MARK, NOTE, only_alone
from auditor.evidence import Evidence
from auditor.notebook import LoadedAudit
from auditor.report import new_environment, section_body
from auditor.statistics.rows import Comparison, Curve, Summary
from auditor.statistics.subgroups import SubgroupRow

RECOGNISES, LOOKS, VALID, CALIBRATED, LEARNT = range(5)
FEW = "fewer than 20 patients: interval not reliable"


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


def primary(evidence: Evidence, **changes: Any) -> Evidence:
    """The contrast of wbce in AUROC, over the classes, otherwise."""

    def otherwise(row: Comparison) -> Comparison:
        mine = (row.metric, row.class_name, row.strategy) == ("auroc", "(macro)", "wbce")
        return replace(row, **changes) if mine else row

    return replace(evidence, comparisons=tuple(map(otherwise, evidence.comparisons)))


def shown(section: Any, evidence: Evidence) -> str:
    page = re.sub(r"<svg.*?</svg>", "", str(section_body(new_environment(), section, evidence)), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_a_declared_claim_without_a_verdict_stands_on_page_one_with_its_reason(evidence: Evidence) -> None:
    judged = replace(
        evidence, comparisons=tuple(replace(row, verdict=row.verdict or "inconclusive") for row in evidence.comparisons)
    )
    assert unanswered(judged) == []
    assert "Declared beforehand, and not answered" not in shown(summary.Summary, judged)
    few = primary(judged, verdict=None, note=FEW)
    assert unanswered(few) == [f"AUROC, wbce against bce: no verdict ({FEW})."]
    gone = primary(judged, verdict=None, difference=None, low=None, high=None, missing="not estimable (0 positives)")
    assert unanswered(gone) == ["AUROC, wbce against bce: not estimable (0 positives)."]
    page = shown(summary.Summary, gone)
    assert "Declared beforehand, and not answered by these data AUROC, wbce against bce: not estimable (0 positives)." in page


def test_what_every_strategy_lacks_is_said_once(evidence: Evidence) -> None:
    rows = tuple(replace(row, verdict=None, note=FEW) if row.metric == "auroc" else row for row in evidence.comparisons)
    assert f"AUROC, every strategy against bce: no verdict ({FEW})." in unanswered(replace(evidence, comparisons=rows))


def by_sex(missing: str | None, verdict: Any = None) -> SubgroupRow:
    value = None if missing else 0.1
    return SubgroupRow(
        "sex",
        "F",
        "M",
        "auroc",
        "performance",
        None,
        "resnet50",
        "wbce",
        None,
        "(macro)",
        value,
        missing,
        9,
        4,
        8,
        verdict=verdict,
    )


def test_a_declared_subgroup_that_cannot_be_estimated_stands_there_too(evidence: Evidence) -> None:
    told = {"by": "sex", "groups": [], "unknown": 0, "primary": ["auroc"]}

    def said(*rows: SubgroupRow) -> list[str]:
        found = replace(evidence, audit={**evidence.audit, "subgroups": [told]}, subgroups=rows)
        return [text for text in unanswered(found) if " by sex" in text]

    few = "not estimable (16 patients; 20 are needed)"
    assert said(by_sex(few)) == [f"AUROC by sex, F against M, wbce: {few}."]
    assert said() == ["AUROC by sex: no two groups could be held against each other."]
    assert said(by_sex(None, "inconclusive")) == []


def test_no_claim_is_said_to_be_undeclared_where_one_was_declared(evidence: Evidence) -> None:
    rows = tuple(replace(row, verdict=None, claim=None) if row.claim == "primary" else row for row in evidence.comparisons)
    declared = shown(summary.Summary, replace(evidence, comparisons=rows))
    assert "no verdict could be given on a declared claim" in declared
    assert "declares no primary claim" not in declared
    claims = {**evidence.audit["claims"], "primary": []}
    none = shown(summary.Summary, replace(evidence, comparisons=rows, audit={**evidence.audit, "claims": claims}))
    assert "because audit.yaml declares no primary claim" in none


def test_a_contrast_of_too_few_patients_is_no_main_finding(evidence: Evidence) -> None:
    results = [finding for finding in evidence.findings if finding.kind == "result"]
    before = summary.main_findings(evidence, results)
    assert ("auroc", "wbce") in [(finding.metric, finding.strategy) for finding in before]
    without = summary.main_findings(primary(evidence, verdict=None), results)
    assert ("auroc", "wbce") not in [(finding.metric, finding.strategy) for finding in without]


@pytest.mark.parametrize(
    ("metric", "question", "attribution"),
    [("kappa_loc", LOOKS, "cam"), ("ece", CALIBRATED, None), ("margin_asymmetry", LEARNT, None)],
)
def test_too_few_patients_answer_no_question(evidence: Evidence, metric: str, question: int, attribution: str | None) -> None:
    def word(note: str | None) -> tuple[str, str]:
        row = Summary(metric, "a", attribution, "wbce-0", "wbce", "(macro)", 0.4, None, 6, 0.3, 0.5, 18, note)
        metrics = {**evidence.metrics, metric: {"better": "lower"}}
        kept = tuple(one for one in evidence.summaries if one.metric != metric)
        table = verdict_table(replace(evidence, summaries=(*kept, row), metrics=metrics))
        (cell,) = (line["cells"][question] for line in table["rows"] if line["name"] == "wbce")
        return cell.word, cell.tone

    assert word(FEW) == ("too few patients to tell", "open")
    assert word(None) != word(FEW)


def test_page_one_says_how_many_patients_calibration_rests_on(evidence: Evidence) -> None:
    assert set_apart(evidence) == ""
    curve = Curve("calibration", "bce-0", "bce", "", (0.1,), (0.2,), (40,), 100, 105)
    ece = Summary("ece", "calibration", None, "bce-0", "bce", "(macro)", 0.1, None, 6, 0.05, 0.2, 105)
    found = replace(evidence, curves=(curve,), summaries=(*evidence.summaries, ece))
    said = "ECE rests on 105 of 205 patients: recalibration was fitted on the other 100."
    assert set_apart(found) == said
    assert said in shown(summary.Summary, found)
    assert set_apart(found, "auroc") == "", "a gate on AUROC rests on all of them"
    assert set_apart(found, "auroc", "ece").startswith("Numbers of calibration rest on 105 of 205")


def test_every_interval_on_page_one_says_which_it_is(evidence: Evidence) -> None:
    page = shown(summary.Summary, evidence)
    (main,) = re.findall(r"Main findings (.*?) Chosen by rule", page)
    assert main.count("joint 95 % interval") == main.count(" to +") + main.count(" to −") == 3
    assert "Joint intervals hold together in 95 % of studies" in page
    alone = LoadedAudit(evidence)
    for text in (repr(alone), alone._repr_html_()):
        assert "Intervals are those of each contrast alone" in text


def test_a_table_marks_what_only_the_number_of_contrasts_made_inconclusive(evidence: Evidence) -> None:
    def marks(section: Any, **changes: Any) -> tuple[int, bool]:
        page = str(section_body(new_environment(), section, primary(evidence, **changes)))
        return page.count(f"<sup>{MARK}</sup>"), NOTE in page

    rest = {"low": 0.001, "high": 0.02, "difference": 0.01}
    for section in (strategies.Strategies, discrimination.Discrimination):
        clear = marks(section, verdict="different", **rest)
        assert marks(section, verdict="inconclusive", **rest)[0] > clear[0]
        assert marks(section, verdict="inconclusive", **rest)[1]
    quiet = replace(
        evidence, comparisons=tuple(row for row in evidence.comparisons if not only_alone(row.low, row.high, row.verdict))
    )
    assert MARK not in str(section_body(new_environment(), strategies.Strategies, quiet))


def test_the_auroc_of_networks_that_outline_is_said_to_be_of_pixels(evidence: Evidence) -> None:
    training = {"strategy": [], "images": 9, "best_epoch": 1, "validation_auroc": 0.91234, "recipe": {}}

    def heading(*outputs: str) -> str:
        pairs = zip(evidence.models, outputs, strict=False)
        models = tuple({**model, "training": training, "options": {"output": output}} for model, output in pairs)
        return shown(strategies.Strategies, replace(evidence, models=models))

    assert "Validation AUROC of pixels" in heading("pixels", "pixels")
    assert "0.912" in heading("pixels")
    assert "Validation AUROC " in heading("image", "image")
    assert "of pixels" not in heading("image", "image")
    assert "AUROC (of pixels, where a network outlines findings)" in heading("image", "pixels")
