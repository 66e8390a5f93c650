"""What each built-in section tells, and that it tells every absence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from auditor_plugins.sections import (
    _alone,
    changes,
    concepts,
    controls,
    data,
    discrimination,
    gaps,
    limits,
    methods,
    other,
    outcomes,
    oversight,
    provenance,
    reference_standard,
    strategies,
    summary,
    title_block,
    where_it_looks,
)
from example import EXAMPLE

from auditor import Section
from auditor.drawing import figure, signed
from auditor.evidence import Evidence, Finding, Gap, Picture
from auditor.report import new_environment, render_html, section_body

MODULES = (
    title_block, summary, data, reference_standard, strategies, discrimination, controls, where_it_looks, outcomes, concepts, other,
    limits, gaps, oversight, methods, provenance, changes,
)  # fmt: skip
SECTIONS: list[type[Section]] = [module.register_sections()[0] for module in MODULES]


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


def test_the_controls_tell_every_outcome_with_its_number_and_stamp_what_failed(evidence: Evidence) -> None:
    said = text(controls.Controls, evidence)
    stamp = "gradcam failed its sanity check (batch independence) for wbce-1: exchanging one image changes the maps of others by up to 8.14 %."
    for part in (controls.Controls, where_it_looks.WhereItLooks, strategies.Strategies):
        assert text(part, evidence).count(stamp) == 1
    assert " cam failed" not in said
    assert "0.310 (0.270 to 0.350)" in said
    assert (
        "Grad-CAM, wrong class , undecided for cb_focal-0: the trained network's own localisation is not shown to be above 0.05"
        in said
    )
    assert "Grad-CAM, model randomisation , not estimable for focal-1: alignment failed with it, see there." in said


def test_page_one_counts_the_sanity_checks_and_says_when_there_were_none(evidence: Evidence) -> None:
    assert "72 of 80 sanity checks of the explanation methods were passed, 1 failed, 7 could not be decided." in text(
        summary.Summary, evidence
    )
    without = replace(evidence, controls=(), audit={**evidence.audit, "controls": False})
    assert "sanity checks" not in text(summary.Summary, without).split("What can be concluded")[1]
    assert "No control was run in this audit ( controls: false )" in text(controls.Controls, without)
    assert "did not measure whether the maps survive randomised weights" in text(where_it_looks.WhereItLooks, without)


def test_failures_come_before_findings_in_the_summary(evidence: Evidence) -> None:
    said = text(summary.Summary, evidence)
    assert (
        said.index("What failed")
        < said.index("Main findings")
        < said.index("What can be concluded")
        < said.index("What cannot")
    )
    assert "does not have a grad_fn" in said
    assert "No analysis failed" in text(summary.Summary, replace(evidence, findings=()))


def test_page_one_tells_every_gate_with_its_number_its_bound_and_its_outcome(evidence: Evidence) -> None:
    said = text(summary.Summary, evidence)
    assert said.index("What failed") < said.index("its gates cannot be said.") < said.index("Main findings")
    assert "Blocking: 1 passed, 1 inconclusive, 1 not evaluated." in said
    assert "Advisory, which decide nothing: 1 failed." in said
    (row,) = (row for row in evidence.gates if row.outcome == "inconclusive")
    assert None not in (row.estimate, row.low, row.high)
    interval = f"{signed(row.estimate)} {signed(row.low)} to {signed(row.high)}"
    assert (
        f"not worse than bce by more than 0.020 1 more passed focal − bce {interval} all at least −0.020 inconclusive" in said
    )
    assert "not estimable (fewer than 10 positive patients) all at least −0.050 not evaluated" in said


def test_of_the_networks_that_pass_a_gate_only_the_closest_call_is_listed(evidence: Evidence) -> None:
    passed = [row for row in evidence.gates if row.gate == 2 and row.outcome == "passed"]
    whole = text(summary.Summary, evidence)
    said = whole[whole.index("What audit.yaml demands") :]
    assert len(passed) > 1
    closest, *others = sorted(passed, key=lambda row: row.estimate or 0)
    assert closest.model in said
    assert not any(row.model in said for row in others)
    assert f"{len(others)} more passed" in said
    assert "only the closest call is listed" in said


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["passed"], "This audit passes its gates."),
        (["passed", "failed", "inconclusive"], "This audit does not pass its gates."),
        (["passed", "inconclusive"], "Whether this audit passes its gates cannot be said."),
        (["passed", "not evaluated"], "Whether this audit passes its gates cannot be said."),
        ([], "No gate of this audit is blocking."),
    ],
)
def test_page_one_says_whether_the_audit_passes(outcomes: list[str], verdict: str, evidence: Evidence) -> None:
    first, advisory = evidence.gates[0], next(row for row in evidence.gates if row.tier == "advisory")
    rows = [replace(first, gate=number, outcome=outcome) for number, outcome in enumerate(outcomes, 1)]
    assert verdict in text(summary.Summary, replace(evidence, gates=(*rows, replace(advisory, gate=9))))


def test_outcomes_that_occur_are_explained_and_late_gates_are_called_late(evidence: Evidence) -> None:
    said = text(summary.Summary, evidence)
    assert all(f"{outcome} : " in said for outcome in ("passed", "failed", "inconclusive", "not evaluated"))
    assert "it proves no equality" in said
    assert "after the data had been measured" not in said
    late = replace(evidence, audit={**evidence.audit, "gates": {"written": [], "afterwards": True}})
    assert "after the data had been measured" in text(summary.Summary, late)
    without = text(summary.Summary, replace(evidence, gates=()))
    assert "gate" not in without.lower()


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
    pattern = r"That two strategies are equivalent in [^:]+: audit.yaml declares no margin for it"
    (many,) = re.findall(pattern, text(summary.Summary, evidence))
    bare = {row.metric for row in evidence.comparisons if row.verdict and row.margin is None}
    assert 6 < int(re.findall(r"any of (\d+) numbers", many)[0]) <= len(bare)
    few = replace(evidence, comparisons=tuple(row for row in evidence.comparisons if row.analysis == "performance"))
    (sentence,) = re.findall(pattern, text(summary.Summary, few))
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
    overall = [row for row in evidence.comparisons if row.class_name in ("(macro)", "(image)") and row.difference is not None]
    others = [abs(row.difference or 0) / ((row.high or 0) - (row.low or 0)) for row in overall if row.claim != "primary"]
    for row in overall:
        joint = f"{signed(row.difference or 0)} ({signed(row.joint_low or 0)} to {signed(row.joint_high or 0)})"
        clear = abs(row.difference or 0) / ((row.high or 0) - (row.low or 0)) >= sorted(others)[-20]
        assert (joint in said) or not (row.claim == "primary" or clear)
    assert f"{len(others) - 20} more stand in the sections" in said
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
    assert re.findall(r"<h[34]>(.*?)</h[34]>", body) == [
        "Log lift of disjoint concepts", "Log lift of unique concepts", "Excess of disjoint concepts",
        "Excess of unique concepts", "Disjoint concepts", "Unique concepts", "Units that detect a finding", "Controlled detectors",
        "Detectors by the published rule",
    ]  # fmt: skip
    assert body.count("chance level</span>") == 4
    (model,) = (m for m in evidence.models if m["id"] == "bce-0")
    (level,) = (s for s in evidence.select("disjoint_chance", class_name="(image)") if s.model == model["id"])
    assert f"chance {figure(level.value or 0.0)}" in re.sub(r"<[^>]+>", " ", body)


def table_of(body: str, caption: str) -> list[list[str]]:
    """The cells of a table, header and all, by the start of its caption."""
    (found,) = re.findall(rf"<caption><b>{caption}.*?</table>", body, re.S)
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", found, re.S)
    ]


def test_the_overview_of_concepts_sets_the_count_beside_other_patients_boxes(evidence: Evidence) -> None:
    body = section_body(new_environment(), concepts.Concepts, evidence)
    header, first, *_ = table_of(body, "Disjoint concepts: every")
    assert header[-4:] == [
        "In other patients&#39; boxes", "Excess of disjoint concepts", "Log lift of disjoint concepts", "Excess per active channel",
    ]  # fmt: skip
    (lift,) = (s for s in evidence.select("disjoint_lift", class_name="(macro)") if s.model == "bce-0")
    assert lift.value is not None
    assert lift.low is not None
    assert lift.high is not None
    assert f"{figure(lift.value)} ({figure(lift.low)} to {figure(lift.high)})" in first
    assert "0 is chance, 0.7 twice as many" in body


def test_channels_are_counted_in_whole_numbers_for_every_network(evidence: Evidence) -> None:
    rows = table_of(section_body(new_environment(), concepts.Concepts, evidence), "Channels of each network")
    assert rows[0] == ["Network", "Active channels", "Inactive channels", "Dead channels", "Active fraction"]
    assert len(rows) == 1 + len(evidence.models)
    assert [row[2:] for row in rows[1:3]] == [["21", "7", "0.039"]] * 2


def test_detectors_are_named_with_the_class_and_overlap_of_each_unit(evidence: Evidence) -> None:
    body = section_body(new_environment(), concepts.Concepts, evidence)
    named = table_of(body, "Controlled detectors by name")
    assert named[1] == [
        "mark bce, seed 0",
        "Effusion",
        "6",
        "5 (0.210), 42 (0.200), 79 (0.190), 116 (0.180), 153 (0.170), 190 (0.160)",
        "0.006",
    ]
    assert named[2][1] == "Atelectasis"
    many = tuple(replace(evidence.detectors[0], unit=unit) for unit in range(15))
    more = table_of(
        section_body(new_environment(), concepts.Concepts, replace(evidence, detectors=many)), "Controlled detectors by name"
    )
    assert more[1][2] == "15"
    assert more[1][3].endswith("and 3 more")
    none = section_body(new_environment(), concepts.Concepts, replace(evidence, detectors=()))
    assert "No unit of any network is a controlled detector." in none


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


def test_the_card_of_a_metric_says_how_it_misleads_in_the_metrics_own_words(evidence: Evidence) -> None:
    said = text(methods.Methods, evidence)
    warned = [str(metric["pitfall"]) for metric in evidence.metrics.values() if metric["pitfall"]]
    assert len(warned) > 10
    assert all(pitfall in said for pitfall in warned)
    assert "Only the brightest place counts" in said


def test_one_strategy_alone_is_not_said_to_be_contrasted(evidence: Evidence) -> None:
    first = evidence.models[0]["id"]
    own = tuple(row for row in evidence.summaries if row.model == first)
    none: dict[str, Any] = {"comparisons": (), "controls": (), "gates": (), "findings": (), "repeated": ()}
    alone = replace(evidence, models=evidence.models[:1], summaries=own, **none)
    opening = text(summary.Summary, alone)
    contrasted = text(strategies.Strategies, alone)
    assert "1 trained network was examined for what it predicts and where it looks; with one way of training (bce)" in opening
    (auroc,) = [row for row in own if (row.metric, row.class_name) == ("auroc", "(macro)")]
    assert f"AUROC, mean over classes: {figure(auroc.value)}; chance level 0.5." in opening
    assert "No contrast between strategies could be made" not in opening
    recalibrated = {**evidence.metrics, "auroc": {**evidence.metrics["auroc"], "after": "temperature"}}
    assert "AUROC, mean over classes:" not in text(summary.Summary, replace(alone, metrics=recalibrated))
    assert _alone.overall_numbers(alone)
    assert not _alone.overall_numbers(evidence)
    assert "There is one way of training, bce, so nothing is contrasted." in contrasted
    assert "ways of training are contrasted" not in contrasted
