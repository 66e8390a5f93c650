"""Page one: five questions to every strategy, answered from the evidence and never beyond it, and the order of what follows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pytest
from auditor_plugins.sections import summary, title_block
from auditor_plugins.sections._questions import Cell, verdict_table
from example import EXAMPLE

from auditor.evidence import Evidence, Finding
from auditor.metric import Metric
from auditor.registry import Registry
from auditor.report import new_environment, render_html, section_body, write_pdf
from auditor.statistics.rows import Comparison, Summary

RECOGNISES, LOOKS, VALID, CALIBRATED, LEARNT = range(5)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


def cells(evidence: Evidence, strategy: str) -> list[Cell]:
    (row,) = (row for row in verdict_table(evidence)["rows"] if row["name"] == strategy)
    return list(row["cells"])


def level(
    metric: str, model: str, value: float | None, low: float | None = None, high: float | None = None, **other: Any
) -> Summary:
    strategy = model.rsplit("-", 1)[0]
    about = {"attribution": None, "class_name": "(macro)", "missing": None, **other}
    return Summary(
        metric, "a", about["attribution"], model, strategy, about["class_name"], value, about["missing"], 40, low, high
    )


def with_levels(evidence: Evidence, *rows: Summary) -> Evidence:
    metrics = {row.metric for row in rows}
    kept = tuple(row for row in evidence.summaries if row.metric not in metrics)
    return replace(
        evidence, summaries=(*kept, *rows), metrics={**evidence.metrics, **{name: {"better": "lower"} for name in metrics}}
    )


def contrast(evidence: Evidence, metric: str, strategy: str) -> Comparison:
    (found,) = (
        row
        for row in evidence.contrasts(metric, class_name="(macro)")
        if row.strategy == strategy and row.attribution in (None, "cam")
    )
    return found


def with_verdict(evidence: Evidence, verdict: str | None, difference: float) -> Evidence:
    row = contrast(evidence, "auroc", "wbce")
    new = replace(row, verdict=verdict, difference=difference, joint_low=difference - 0.01, joint_high=difference + 0.01)
    return replace(evidence, comparisons=tuple(new if each is row else each for each in evidence.comparisons))


@pytest.mark.parametrize(
    ("verdict", "difference", "better", "word", "tone"),
    [
        ("different", 0.05, "higher", "better", "good"),
        ("different", -0.05, "higher", "worse", "bad"),
        ("different", -0.05, "lower", "better", "good"),
        ("equivalent", 0.001, "higher", "as good", "good"),
        ("different but negligible", 0.011, "higher", "negligibly different", "good"),
        ("inconclusive", 0.05, "higher", "cannot tell", "open"),
        (None, 0.05, "higher", "too few patients to tell", "open"),
    ],
)  # fmt: skip
def test_a_verdict_is_told_in_a_word_with_the_interval_it_rests_on(
    verdict: str | None, difference: float, better: str, word: str, tone: str, evidence: Evidence
) -> None:
    metrics = {**evidence.metrics, "auroc": {**evidence.metrics["auroc"], "better": better}}
    cell = cells(replace(with_verdict(evidence, verdict, difference), metrics=metrics), "wbce")[RECOGNISES]
    assert (cell.word, cell.tone) == (word, tone)
    sign = "+" if difference > 0 else "−"
    ends = [f"{end:+.3f}".replace("-", "−") for end in (difference - 0.01, difference + 0.01)]
    assert cell.versus == f"vs bce {sign}{abs(difference):.3f} ({ends[0]} to {ends[1]})"
    assert cell.number.startswith("AUROC ")


def test_the_reference_is_the_first_row_and_is_not_contrasted_with_itself(evidence: Evidence) -> None:
    table = verdict_table(evidence)
    assert [row["name"] for row in table["rows"]] == ["bce", "wbce", "focal", "cb_focal"]
    assert [row["reference"] for row in table["rows"]] == [True, False, False, False]
    assert cells(evidence, "bce")[RECOGNISES].word == "the reference"
    assert all(cell.versus == "" for cell in cells(evidence, "bce"))


def test_what_was_not_asked_says_so_and_what_has_no_number_says_why(evidence: Evidence) -> None:
    assert cells(evidence, "wbce")[CALIBRATED].word == "not asked"
    assert cells(evidence, "wbce")[LEARNT].word == "not asked"
    lacking = with_levels(
        evidence, level("ece", "wbce-0", None, missing="two few images"), level("ece", "wbce-1", 0.1, 0.05, 0.2)
    )
    assert cells(lacking, "wbce")[CALIBRATED][:2] == ("not estimable", "two few images")
    assert cells(lacking, "focal")[CALIBRATED].word == "not estimable"
    assert cells(replace(evidence, controls=()), "wbce")[VALID].word == "not asked"


def looked(evidence: Evidence, *rows: Summary, failed: bool = False) -> Cell:
    controls = tuple(replace(control, outcome="failed" if failed else "passed") for control in evidence.controls)
    return cells(with_levels(replace(evidence, controls=controls), *rows), "wbce")[LOOKS]


def test_looking_at_the_finding_needs_an_interval_above_0_in_every_network(evidence: Evidence) -> None:
    shown, not_shown = (
        level("kappa_loc", "wbce-0", 0.3, 0.2, 0.4, attribution="cam"),
        level("kappa_loc", "wbce-1", 0.1, 0.0, 0.2, attribution="cam"),
    )
    also = level("kappa_loc", "wbce-1", 0.35, 0.3, 0.4, attribution="cam")
    assert looked(evidence, shown, also)[:2] == ("yes", "κ 0.300 to 0.350, 2 networks")
    assert looked(evidence, shown, not_shown).word == "only in 1 of 2 networks"
    assert looked(evidence, not_shown).word == "not shown"
    assert looked(evidence, shown)[:2] == ("yes", "κ 0.300 (0.200 to 0.400)")
    assert looked(evidence, shown, failed=True).word == "cannot tell: its maps failed a check"


def test_a_finding_that_most_networks_do_not_look_at_is_named(evidence: Evidence) -> None:
    whole = [level("kappa_loc", f"wbce-{n}", 0.3, 0.2, 0.4, attribution="cam") for n in (0, 1)]
    mass = [level("kappa_loc", f"wbce-{n}", 0.0, -0.1, 0.1, attribution="cam", class_name="Mass") for n in (0, 1)]
    assert looked(evidence, *whole, *mass).word == "yes, but not shown for Mass"
    assert looked(evidence, *whole, mass[0], replace(mass[1], low=0.05)).word == "yes", "one of two networks is not most"
    unreliable = [replace(row, note="fewer than 20 patients: interval not reliable") for row in mass]
    assert looked(evidence, *whole, *unreliable).word == "yes"


def test_valid_explanations_are_counted_and_a_failed_check_is_named(evidence: Evidence) -> None:
    assert cells(evidence, "wbce")[VALID] == Cell("no: failed batch independence", "19 of 20 checks passed", "", "bad")
    assert cells(evidence, "bce")[VALID] == Cell("yes", "20 of 20 checks passed", "", "good")
    assert cells(evidence, "cb_focal")[VALID].word == "not decided by all checks"


def test_calibration_is_held_against_what_a_calibrated_network_would_show(evidence: Evidence) -> None:
    def said(low: float, *more: Summary) -> str:
        found = with_levels(evidence, level("ece", "wbce-0", 0.1, low, 0.2), level("ece_by_chance", "wbce-0", 0.06), *more)
        return cells(found, "wbce")[CALIBRATED].word

    assert said(0.05) == "no error shown"
    assert said(0.07) == "no"
    assert said(0.05, level("prevalence_gap", "wbce-0", 0.2, 0.1, 0.3)) == "no: expects findings too often"
    assert said(0.05, level("prevalence_gap", "wbce-0", -0.2, -0.3, -0.1)) == "no: expects findings too rarely"
    assert said(0.05, level("prevalence_gap", "wbce-0", 0.1, -0.1, 0.3)) == "no error shown"


def test_learnt_by_heart_needs_both_the_asymmetry_and_the_shift(evidence: Evidence) -> None:
    def said(asymmetry: float, shift: float, name: str = "Mass") -> str:
        rows = [
            level("margin_asymmetry", "wbce-0", -0.1, -0.3, 0.1),
            level("margin_shift_positive", "wbce-0", -0.1, -0.3, 0.1),
            level("margin_asymmetry", "wbce-0", -0.5, -0.9, asymmetry, class_name=name),
            level("margin_shift_positive", "wbce-0", -0.5, -0.9, shift, class_name=name),
        ]
        return cells(with_levels(evidence, *rows), "wbce")[LEARNT].word

    assert said(-0.1, -0.1) == "partly by heart: Mass"
    assert said(-0.1, 0.1) == said(0.1, -0.1) == "by heart not shown"
    assert said(-0.1, -0.1, "(macro) of another kind") == "by heart not shown"


def test_several_architectures_have_a_row_each_with_their_own_contrast(evidence: Evidence) -> None:
    models = tuple(
        {**model, "family": "densenet" if str(model["id"]).endswith("1") else "resnet50"} for model in evidence.models
    )
    table = verdict_table(replace(evidence, models=models))
    assert [row["name"] for row in table["rows"]][:5] == [
        "bce, densenet", "wbce, densenet", "focal, densenet", "cb_focal, densenet", "bce, resnet50",
    ]  # fmt: skip
    by_name = {row["name"]: row["cells"][RECOGNISES] for row in table["rows"]}
    assert by_name["wbce, densenet"].word == "not contrasted"
    assert by_name["wbce, resnet50"].word in ("better", "worse", "cannot tell", "as good")


def test_the_numbers_of_the_table_have_their_meaning_below_it(evidence: Evidence) -> None:
    page = str(section_body(new_environment(), summary.Summary, evidence))
    (table,) = re.findall(r'<table class="verdicts">.*?</table>', page, re.S)
    assert table.count('<th scope="row">') == 4
    assert len(re.findall(r"<td ", table)) == 20
    assert "AUROC: the chance" in page
    assert "ECE: how far" not in page, "nothing of this audit asks for it"


def test_main_findings_are_short_and_carry_the_interval_of_their_verdict(evidence: Evidence) -> None:
    page = str(section_body(new_environment(), summary.Summary, with_verdict(evidence, "different", 0.3)))
    (findings,) = re.findall(r'<ol class="main-findings">.*?</ol>', page, re.S)
    assert (
        "AUROC, mean over classes: wbce is better than bce by +0.300 (joint 95 % interval +0.290 to +0.310). Declared beforehand"
        in findings
    )
    assert "Note:" not in findings


def test_many_alarms_are_counted_and_lead_to_the_limits(evidence: Evidence) -> None:
    many = replace(evidence, findings=tuple(Finding("alarm", f"Alarm {n}.") for n in range(8)))
    page = str(section_body(new_environment(), summary.Summary, many))
    assert "Alarm 4." in page
    assert "Alarm 5." not in page
    assert '<b>3 more</b> stand in <a href="#part-limits">' in page


def test_what_is_known_of_training_decides_what_can_be_concluded(evidence: Evidence) -> None:
    def said(met: list[dict[str, int] | None], models: int = 8) -> str:
        told = tuple({**m, "training": {"met": known}} for m, known in zip(evidence.models[:models], met, strict=False))
        return str(section_body(new_environment(), summary.Summary, replace(evidence, models=told)))

    # the strategies section reads more of a training record; page one needs only whom the network met
    clean = {"training": 0, "validation": 0}
    assert "No audited patient was among the images" in said([clean] * 8)
    assert "No audited patient was among the images" not in said([clean] * 7 + [{"training": 1, "validation": 0}])
    assert "No audited patient was among the images" not in said([clean] * 7 + [None])
    assert "chance in training is not known" in said([clean] * 7, models=7)
    assert "chance in training is not known" not in said([clean] * 8)


def test_sections_stand_in_the_order_that_readers_ask_for() -> None:
    found = Registry().all("sections").values()
    names = [section.name for section in sorted(found, key=lambda section: (section.order, section.name))]  # type: ignore[attr-defined]
    expected = [
        "title_block", "summary", "data", "reference_standard", "strategies", "discrimination", "calibration", "where_it_looks",
        "controls", "concepts", "embeddings", "logit_shift", "other", "outcomes", "limits", "gaps", "oversight", "methods",
        "provenance", "changes", "crosswalk",
    ]  # fmt: skip
    assert [name for name in names if name in expected] == expected


def test_the_contents_follow_page_one(evidence: Evidence) -> None:
    sections = [section for name, section in Registry().all("sections").items() if name in ("title_block", "summary", "data")]
    page, _ = render_html(evidence, sections)
    places = [page.index(text) for text in ('id="part-title_block"', 'id="part-summary"', "<nav ", 'id="part-data"')]
    assert places == sorted(places)
    without, _ = render_html(evidence, [section for section in sections if section.name == "data"])
    assert without.index("<nav ") < without.index('id="part-data"')


@pytest.mark.slow
def test_page_one_is_one_sheet(evidence: Evidence, tmp_path: Path) -> None:
    page, failures = render_html(replace(evidence, gates=()), [title_block.TitleBlock, summary.Summary])
    assert failures == []
    write_pdf(page, tmp_path / "one.pdf")
    first, second, *_ = (" ".join(sheet.extract_text().split()) for sheet in pypdf.PdfReader(tmp_path / "one.pdf").pages)
    assert "Self-test." in first
    assert second.upper().startswith("CONTENTS")


def test_every_metric_that_a_question_asks_for_is_one_that_is_measured() -> None:
    declared: set[str] = set()
    registry = Registry()
    for name in registry.all("analyses"):
        metrics: tuple[Metric, ...] = registry.get("analyses", name)().metrics  # type: ignore[attr-defined]
        declared |= {metric.name for metric in metrics}
    assert {"auroc", "kappa_loc", "ece", "ece_by_chance", "margin_asymmetry", "margin_shift_positive"} <= declared
