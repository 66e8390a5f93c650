"""What each built-in section tells, and that it tells every absence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from auditor_plugins.sections import (
    concepts,
    discrimination,
    gaps,
    methods,
    other,
    outcomes,
    provenance,
    strategies,
    summary,
    where_it_looks,
)

from auditor import Section
from auditor.drawing import figure, signed
from auditor.evidence import Evidence, Finding, Gap, Picture
from auditor.report import new_environment, render_html, section_body

MODULES = (summary, strategies, discrimination, where_it_looks, outcomes, concepts, other, gaps, methods, provenance)
SECTIONS: list[type[Section]] = [module.register_sections()[0] for module in MODULES]
EXAMPLE = Path(__file__).with_name("example_evidence.json")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


def text(section: type[Section], evidence: Evidence) -> str:
    """What a reader sees of a section."""
    body = re.sub(r"<[^>]+>", " ", section_body(new_environment(), section, evidence))
    return re.sub(r"\s+", " ", body.replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&"))


def empty(evidence: Evidence) -> Evidence:
    """An audit in which nothing could be measured."""
    return replace(evidence, summaries=(), comparisons=(), findings=(), gaps=(), metrics={})


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_opens_with_a_plain_sentence(section: type[Section], evidence: Evidence) -> None:
    body = section_body(new_environment(), section, evidence).strip()
    if section is not other.Other:
        opening = re.match(r'<p class="plain">(.+?)</p>', body, re.S)
        assert opening
        assert opening[1].strip().endswith((".", "?"))
        assert not re.search(r"AUROC|quantile|Wilcoxon", opening[1])


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_stands_when_nothing_was_measured(section: type[Section], evidence: Evidence) -> None:
    assert "None" not in text(section, empty(evidence))


def test_the_report_never_says_ground_truth_and_prints_no_none(evidence: Evidence) -> None:
    html, failures = render_html(evidence, SECTIONS)
    assert failures == []
    words = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.S))
    assert "ground truth" not in words.lower()
    assert not {"None", "nan", "NaN", "inf"} & set(re.findall(r"[A-Za-z]+", words)), "absence is told by its reason"


def test_failures_come_before_findings_in_the_summary(evidence: Evidence) -> None:
    said = text(summary.Summary, evidence)
    assert (
        said.index("What failed")
        < said.index("Main findings")
        < said.index("What can be concluded")
        < said.index("What cannot")
    )
    assert "does not have a grad_fn" in said
    assert "Nothing failed" in text(summary.Summary, replace(evidence, findings=()))


def test_the_account_adds_up_in_words(evidence: Evidence) -> None:
    assert "listed 2,803 = used 2,797 + quarantined 6" in text(summary.Summary, evidence)
    assert "690 listed = 684 used + 6 set aside; 3 of those used" in text(gaps.Gaps, evidence)


def test_the_three_main_findings_are_the_strongest_of_three_metrics(evidence: Evidence) -> None:
    evidence = replace(evidence, comparisons=tuple(replace(row, claim="exploratory") for row in evidence.comparisons))
    results = [finding for finding in evidence.findings if finding.kind == "result"]
    chosen = summary.main_findings(evidence, results)
    assert len(chosen) == len({finding.metric for finding in chosen}) == 3

    def strength(finding: Finding) -> float:
        rows = evidence.contrasts(finding.metric, class_name=finding.class_name)
        return max(abs(r.difference) / (r.high - r.low) for r in rows if r.strategy == finding.strategy)  # type: ignore[arg-type,operator]

    assert strength(chosen[0]) == max(map(strength, results))


def test_no_equivalence_is_claimed_without_a_margin(evidence: Evidence) -> None:
    assert "equivalent in Average precision" not in text(summary.Summary, replace(evidence, comparisons=()))
    said = text(summary.Summary, evidence)
    (sentence,) = re.findall(r"That two strategies are equivalent in [^:]+: audit.yaml declares no margin for it", said)
    assert "Average precision" in sentence
    assert "AUROC" not in sentence
    for row in evidence.comparisons:
        assert "equivalent" not in str(row.verdict) or row.margin is not None


def test_the_three_main_findings_put_the_declared_claims_first(evidence: Evidence) -> None:
    results = [finding for finding in evidence.findings if finding.kind == "result"]
    assert {finding.metric for finding in summary.main_findings(evidence, results)[:2]} == {"auroc", "iobb"}


def test_every_verdict_that_occurs_is_explained_in_one_sentence(evidence: Evidence) -> None:
    body = section_body(new_environment(), strategies.Strategies, evidence)
    occurring = {
        str(row.verdict or "no verdict")
        for row in evidence.comparisons
        if row.class_name in ("(macro)", "(image)") and row.difference is not None
    }
    assert {"different", "inconclusive"} <= occurring
    assert set(re.findall(r"<li><b>(.+?)</b>: ", body)) == occurring
    said = text(strategies.Strategies, evidence)
    assert "Primary claims, declared before these data were measured: AUROC, IoBB." in said
    changed = {**evidence.audit, "claims": {**evidence.audit["claims"], "afterwards": True}}
    assert "declared after these data" in text(strategies.Strategies, replace(evidence, audit=changed))
    assert "No primary claim was declared" in text(
        strategies.Strategies, replace(evidence, audit={**evidence.audit, "claims": {}})
    )


def test_verdicts_stand_beside_their_margin_p_value_and_joint_interval_the_primary_ones_first(evidence: Evidence) -> None:
    said = text(strategies.Strategies, evidence)
    for row in evidence.comparisons:
        if row.class_name == "(macro)" and row.joint_low is not None and row.difference is not None:
            assert f"{signed(row.difference)} ({signed(row.joint_low)} to {signed(row.joint_high or 0.0)})" in said
    assert said.index("primary", said.index("Smallest margin")) < said.index("exploratory", said.index("Smallest margin"))
    assert "wbce: " in text(discrimination.Discrimination, evidence)


def test_every_number_of_discrimination_is_printed_with_its_interval_or_its_reason(evidence: Evidence) -> None:
    said = text(discrimination.Discrimination, evidence)
    for row in evidence.contrasts(analysis="performance"):
        if row.difference is not None and row.low is not None and row.high is not None:
            assert f"{signed(row.difference)} ({signed(row.low)} to {signed(row.high)})" in said
        else:
            assert f"not estimable ({row.missing})" in said
    for level in evidence.select(analysis="performance"):
        assert (figure(level.value) if level.value is not None else f"not estimable ({level.missing})") in said


def test_prevalence_stands_beside_average_precision(evidence: Evidence) -> None:
    said = text(discrimination.Discrimination, evidence)
    assert f"Effusion 2,797 {figure(1207 / 2797)}" in said


def test_a_network_without_numbers_is_named_with_its_reason(evidence: Evidence) -> None:
    assert "No column for focal-1 (failed: RuntimeError" in text(where_it_looks.WhereItLooks, evidence)


def test_measured_chance_stands_beside_the_count_and_not_as_a_metric_of_its_own(evidence: Evidence) -> None:
    body = section_body(new_environment(), concepts.Concepts, evidence)
    assert re.findall(r"<h3>(.*?)</h3>", body) == ["Disjoint concepts", "Unique concepts", "Active fraction", "Dead channels"]
    assert body.count("chance level</span>") == 2
    (model,) = (m for m in evidence.models if m["id"] == "bce-0")
    (level,) = (s for s in evidence.select("disjoint_chance", class_name="(image)") if s.model == model["id"])
    assert f"chance {figure(level.value or 0.0)}" in re.sub(r"<[^>]+>", " ", body)


def test_gaps_of_all_networks_stand_in_one_row(evidence: Evidence) -> None:
    body = section_body(new_environment(), gaps.Gaps, evidence)
    assert body.count("no box") == 6
    assert "all 8" in body
    assert body.index("failed: RuntimeError") < body.index("no box")


def test_an_unknown_analysis_is_told_under_other_measurements(evidence: Evidence) -> None:
    assert not section_body(new_environment(), other.Other, evidence).strip()
    rows = tuple(replace(s, analysis="calibration", metric="brier") for s in evidence.select("probability"))
    more = replace(
        evidence,
        summaries=evidence.summaries + rows,
        metrics={**evidence.metrics, "brier": {"says": "Squared error.", "statistic": "mean"}},
    )
    assert "Squared error." in text(other.Other, more)


def test_every_metric_has_a_card_with_all_its_fields(evidence: Evidence) -> None:
    cards = methods.Methods().context(evidence)["cards"]
    assert len(cards) == sum(metric["statistic"] != "elsewhere" for metric in evidence.metrics.values())
    wanted = {"Averaging", "Direction", "Range", "Chance", "Undefined", "Source", "Pitfalls"}
    assert all(wanted <= dict(card["rows"]).keys() and all(value for _, value in card["rows"]) for card in cards)


def test_digests_and_versions_are_told_and_shared_options_once(evidence: Evidence) -> None:
    said = text(provenance.Provenance, evidence)
    assert all(model["digest"] in said for model in evidence.models)
    assert "packages.torch 2.13.0" in said
    assert said.count("layers.dissection") == 1


def test_more_networks_than_fit_continue_in_a_further_table(evidence: Evidence) -> None:
    twice = tuple({**model, "id": f"{model['id']}x", "seed": model["seed"] + 2} for model in evidence.models)
    rows = tuple(replace(row, model=f"{row.model}x") for row in evidence.summaries)
    said = text(
        discrimination.Discrimination, replace(evidence, models=evidence.models + twice, summaries=evidence.summaries + rows)
    )
    assert "(1 to 8 of 16)" in said
    assert "(9 to 16 of 16)" in said


def test_architectures_are_contrasted_in_charts_of_their_own(evidence: Evidence) -> None:
    crossed = tuple(
        replace(row, family="focal: t_densenet / bce: resnet50") for row in evidence.comparisons if row.strategy == "focal"
    )
    said = text(discrimination.Discrimination, replace(evidence, comparisons=evidence.comparisons + crossed))
    assert "(focal: t_densenet / bce: resnet50)" in said
    assert "(resnet50)" in said


def test_pictures_show_a_panel_per_network_and_say_when_there_are_none(evidence: Evidence) -> None:
    hot = np.eye(7, dtype=np.float32)
    maps = {"cam": {str(m["id"]): hot for m in evidence.models}, "gradcam": {"bce-0": hot, "focal-1": hot * 0}}
    one = Picture("case 7", "Mass", ((0.1, 0.1, 0.4, 0.5),), np.zeros((64, 64), np.uint8), maps)
    body = section_body(new_environment(), where_it_looks.WhereItLooks, replace(evidence, pictures=(one,)))
    assert body.count("<use ") == 16
    assert body.count("no map</text>") == 6
    assert body.count("empty map</text>") == 1
    assert "1 reference box of this finding" in body
    assert "No picture was kept" in text(where_it_looks.WhereItLooks, evidence)
    off = replace(evidence, audit={**evidence.audit, "report": {"images": False}})
    assert "switched off" in text(where_it_looks.WhereItLooks, off)


def test_a_failed_network_says_so_in_the_table_of_strategies(evidence: Evidence) -> None:
    broken = tuple(
        {**m, "status": "failed", "error": "logits not finite"} if m["id"] == "focal-0" else m for m in evidence.models
    )
    assert "logits not finite" in text(strategies.Strategies, replace(evidence, models=broken))


def test_a_gap_without_class_is_about_all_classes(evidence: Evidence) -> None:
    gap = Gap("bce-0", "dissection", None, None, "only scores are known", 0)
    said = text(gaps.Gaps, replace(evidence, gaps=(gap,)))
    assert "Dissection all classes all cases bce-0 only scores are known" in said
