"""What is said of comparisons, failures and gaps, and what must never be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import auditor
from auditor import Finding, Metric
from auditor.findings import Gap, judge
from auditor.statistics.rows import IMAGE, MACRO, Comparison, Summary

METRICS = {"auroc": Metric("auroc", "Ranks.", better="higher"), "map_mass": Metric("map_mass", "Mass.")}
LOWER = Comparison(
    "auroc", "performance", None, MACRO, "resnet50", "focal", "bce", -0.012345, -0.0145, -0.01011, 314_062, 6_187,
    claim="primary", p=0.0002, p_adjusted=0.00061, joint_low=-0.015, joint_high=-0.0097, margin=0.01, smallest_margin=0.0031,
    verdict="different",
)  # fmt: skip
UNCLEAR = replace(
    LOWER, difference=0.002, low=-0.011, high=0.015, p_adjusted=0.8, smallest_margin=0.019, verdict="inconclusive"
)
ALIKE = replace(LOWER, difference=0.002, low=-0.001, high=0.005, p_adjusted=0.8, claim="exploratory", verdict="equivalent")
MODELS = ({"id": "bce-0", "strategy": "bce", "error": None}, {"id": "focal-0", "strategy": "focal", "error": None})
ALL_USED = {"listed": 1677, "used": 1677, "quarantined": []}


def told(
    *comparisons: Comparison,
    gaps: tuple[Gap, ...] = (),
    summaries: tuple[Summary, ...] = (),
    models: tuple[dict[str, Any], ...] = MODELS,
    accounting: dict[str, Any] = ALL_USED,
    **more: float,
) -> list[Finding]:
    return judge(comparisons, gaps, summaries, models, accounting, METRICS, **more)


def texts(found: list[Finding], kind: str) -> list[str]:
    return [finding.text for finding in found if finding.kind == kind]


def test_a_difference_is_said_of_the_two_networks_with_its_numbers_and_its_limits() -> None:
    (result,) = [finding for finding in told(LOWER) if finding.kind == "result"]
    assert result.text == (
        "The two networks differ in AUROC, averaged over the classes: focal is 0.0123 lower than bce (95 % interval 0.0101 to "
        "0.0145 lower; 314,062 cases of 6,187 patients; higher is better). Primary claim, p <\u00a00.001 adjusted by Holm."
    )
    assert (result.metric, result.strategy, result.class_name) == ("auroc", "focal", MACRO)


def test_an_inconclusive_contrast_is_not_said_to_show_anything_but_what_it_could_have_shown() -> None:
    (text,) = texts(told(UNCLEAR), "result")
    assert text == (
        "The two networks cannot be told apart in AUROC, averaged over the classes: focal is 0.002 higher than bce "
        "(95 % interval from 0.011 lower to 0.015 higher; 314,062 cases of 6,187 patients). Primary claim, p = 0.800 adjusted by Holm. "
        "This does not show that they are the same: the smallest margin these data could support is 0.019, the margin is 0.01."
    )
    (text,) = texts(told(replace(UNCLEAR, margin=None)), "result")
    assert text.endswith("the smallest margin these data could support is 0.019, no margin was declared.")


def test_equivalence_is_claimed_within_its_margin_and_marked_when_it_was_not_the_question() -> None:
    (text,) = texts(told(ALIKE), "result")
    assert text == (
        "The two networks are equivalent within the margin of 0.01 in AUROC, averaged over the classes: focal is 0.002 higher than "
        "bce (95 % interval from 0.001 lower to 0.005 higher; 314,062 cases of 6,187 patients). "
        "Exploratory, p = 0.800 adjusted by Benjamini and Hochberg."
    )


def test_a_difference_can_be_there_and_not_matter() -> None:
    small = replace(LOWER, difference=-0.003, low=-0.004, high=-0.002, verdict="different but negligible")
    (text,) = texts(told(small), "result")
    assert text.startswith(
        "The two networks differ in AUROC, averaged over the classes, but by less than the margin of 0.01: focal is 0.003 lower"
    )


@pytest.mark.parametrize("row", [LOWER, UNCLEAR, replace(ALIKE, claim=None, verdict=None)])
def test_no_result_claims_equivalence_without_a_verdict_or_speaks_of_strategies(row: Comparison) -> None:
    (text,) = texts(told(row), "result")
    for word in ("equivalent", "strategy", "strategies", "significant", "ground truth"):
        assert word not in text


def test_strategies_are_spoken_of_when_both_sides_were_trained_several_times() -> None:
    models = [{"id": f"{s}-{n}", "strategy": s} for s in ("bce", "focal") for n in range(3)]
    found = told(replace(LOWER, about="strategies"), models=tuple(models))
    assert texts(found, "result")[0].startswith("The strategies focal (3 networks) and bce (3) differ in AUROC")
    assert texts(found, "note") == [
        "The intervals cover other patients and other seeds. 5 or more networks per strategy would make them narrower."
    ]


def test_claims_that_came_after_the_measurement_are_pointed_out() -> None:
    found = judge([LOWER], [], [], MODELS, ALL_USED, METRICS, afterwards=True)
    assert any(text.startswith("The claims in audit.yaml were written or changed after") for text in texts(found, "note"))
    assert not any("audit.yaml" in finding.text for finding in told(LOWER))


def test_few_patients_get_no_verdict_and_the_reason() -> None:
    few = replace(LOWER, verdict=None, claim=None, p=None, p_adjusted=None, smallest_margin=None)
    (text,) = texts(told(replace(few, note="fewer than 20 positive patients: interval not reliable")), "result")
    assert text == (
        "No verdict on AUROC, averaged over the classes: focal is 0.0123 lower than bce (95 % interval 0.0101 to 0.0145 lower; "
        "314,062 cases of 6,187 patients). Note: fewer than 20 positive patients: interval not reliable."
    )


def test_a_network_against_itself_is_not_called_different() -> None:
    (text,) = texts(told(replace(ALIKE, difference=0.0, low=0.0, high=0.0)), "result")
    assert "the difference is 0 (95 % interval from 0 to 0;" in text


def test_maps_and_whole_images_are_named_and_a_neutral_metric_has_no_better_side() -> None:
    row = replace(LOWER, metric="map_mass", attribution="grad_cam", class_name=IMAGE, difference=1.5, low=1.0, high=1234.0)
    (text,) = texts(told(row), "result")
    assert text.startswith(
        "The two networks differ in map mass with Grad CAM, over whole images: focal is 1.5 higher than bce "
        "(95 % interval 1 to 1,230 higher;"
    )
    assert "better" not in text


def test_several_networks_on_one_side_only_are_counted_and_stay_networks() -> None:
    found = told(LOWER, models=(*MODELS, {"id": "bce-1", "strategy": "bce"}))
    assert texts(found, "result")[0].startswith("The 1 network of focal and the 2 of bce differ in AUROC")


def test_one_network_per_strategy_is_said_once_and_names_who_when_only_some_have_one() -> None:
    (note,) = texts(told(LOWER, UNCLEAR), "note")
    assert note.startswith("One network per strategy: seed variance not measured.")
    found = told(LOWER, models=(*MODELS, {"id": "bce-1", "strategy": "bce"}))
    assert texts(found, "note")[0].startswith("One network per strategy (focal): seed variance not measured.")
    assert texts(found, "result")[0].startswith("The 1 network of focal and the 2 of bce differ")
    assert told() == []


def test_single_classes_are_left_to_the_tables() -> None:
    assert texts(told(replace(LOWER, class_name="Mass")), "result") == []


def test_what_a_comparison_notes_is_passed_on() -> None:
    (text,) = texts(told(replace(LOWER, note="1 of 14 classes left out: Hernia")), "result")
    assert text.endswith(" Note: 1 of 14 classes left out: Hernia.")


def test_a_difference_without_an_interval_says_so() -> None:
    (text,) = texts(told(replace(LOWER, low=None, high=None)), "result")
    assert text.startswith("No interval can be given for AUROC, averaged over the classes: focal is 0.0123 lower than bce")


def test_a_comparison_that_could_not_be_made_is_a_note_with_its_reason() -> None:
    row = replace(LOWER, difference=None, low=None, high=None, missing="no case measured")
    found = told(row, replace(row, metric="map_mass", attribution="cam"))
    assert texts(found, "result") == []
    assert texts(found, "note")[0] == "focal and bce could not be contrasted in AUROC and map mass with CAM: no case measured."


def test_different_architectures_are_pointed_out_once() -> None:
    mixed = replace(LOWER, family="bce: resnet50 / focal: t_densenet")
    notes = [text for text in texts(told(mixed, mixed), "note") if "architecture" in text]
    (text,) = notes
    assert text == (
        "focal and bce are not the same architecture (bce: resnet50 / focal: t_densenet): a difference between them may "
        "come from the architecture rather than from the training."
    )


def test_failures_come_first_and_say_what_failed_where() -> None:
    gaps = (
        Gap("bce-0", "overlap", "grad_cam", None, "failed: ValueError: no map", 0),
        Gap("focal-0", "overlap", "grad_cam", None, "failed: ValueError: no map", 0),
        Gap("focal-0", "dissection", None, None, "only scores are known", 0),
        Gap("focal-0", "overlap", "grad_cam", "Mass", "no box", 12),
    )
    found = told(LOWER, gaps=gaps)
    assert [finding.kind for finding in found][:2] == ["alarm", "result"]
    assert texts(found, "alarm") == ["The analysis overlap with Grad CAM failed for bce-0 and focal-0: ValueError: no map."]
    assert "The analysis dissection was not run for focal-0: only scores are known." in texts(found, "note")
    assert not any("no box" in finding.text for finding in found)


def test_a_model_that_broke_is_one_alarm_and_counts_as_no_network() -> None:
    models = (*MODELS, {"id": "focal-1", "strategy": "focal", "error": "weights are not finite."})
    found = told(LOWER, models=models, gaps=(Gap("focal-1", "overlap", None, None, "failed: model", 0),))
    assert texts(found, "alarm") == ["The model focal-1 could not be audited: weights are not finite."]
    assert texts(found, "result")[0].startswith("The two networks differ")


def test_quarantine_is_a_note_up_to_the_limit_and_an_alarm_above_it() -> None:
    lost = [{"id": f"s{n}", "reason": "missing" if n < 5 else "decode:truncated", "detail": ""} for n in range(12)]
    accounting = {"listed": 1677, "used": 1665, "quarantined": lost}
    text = "12 of 1,677 images (0.716 %) could not be used: decode:truncated 7, missing 5."
    assert texts(told(accounting=accounting), "alarm") == [f"{text} This is more than the limit of 0.5 %."]
    assert texts(told(accounting=accounting, max_quarantine=0.01), "note") == [text]
    assert told(accounting={"listed": 0, "used": 0, "quarantined": []}) == []


def test_classes_that_cannot_be_estimated_are_listed_with_their_cases() -> None:
    def row(metric: str, name: str, missing: str | None, n: int, model: str = "bce-0") -> Summary:
        return Summary(metric, "performance", None, model, "bce", name, None if missing else 0.5, missing, n)

    none = "not estimable (0 positives)"
    summaries = tuple(
        row(metric, name, none, 400, model)
        for model in ("bce-0", "focal-0")
        for metric in ("auroc", "average_precision")
        for name in ("Hernia", "Mass")
    )
    found = told(summaries=(*summaries, row("auroc", "Nodule", None, 400), row("auroc", MACRO, none, 0)))
    (text,) = texts(found, "note")
    assert text == (
        "No AUROC or average precision for Hernia (n = 400) and Mass (n = 400): not estimable (0 positives); "
        "left out of the mean over the classes."
    )


def test_findings_and_gaps_keep_their_public_names() -> None:
    from auditor import evidence

    assert auditor.Finding is evidence.Finding is Finding
    assert evidence.Gap is Gap


def test_two_architectures_are_told_apart_in_every_sentence() -> None:
    models = [
        {"id": f"{f}-{s}", "strategy": s, "family": f, "error": None}
        for f in ("resnet50", "t_densenet")
        for s in ("bce", "focal")
    ]
    about = {"analysis": "performance", "attribution": None, "class_name": MACRO, "strategy": "focal", "reference": "bce"}
    rows = [
        Comparison(
            metric="auroc",
            family=family,
            difference=d,
            low=d - 0.01,
            high=d + 0.01,
            n_cases=90,
            n_patients=40,
            verdict="different",
            **about,
        )
        for family, d in (("resnet50", 0.05), ("t_densenet", -0.05))
    ]
    found = [finding.text for finding in judge(rows, [], [], models, {}, {})]
    assert found[0].startswith("The two networks of architecture resnet50 differ")
    assert found[1].startswith("The two networks of architecture t_densenet differ")
    assert any(text.startswith("One network per strategy") for text in found)


def test_networks_that_hardly_know_the_findings_are_called_weak() -> None:
    metrics = {"auroc": Metric("auroc", "s", statistic="auroc", of="logit")}

    def said(*values: float | None) -> list[str]:
        rows = [
            Summary("auroc", "performance", None, str(n), "bce", "(macro)", value, None if value is not None else "no", 9)
            for n, value in enumerate(values)
        ]
        return [finding.text for finding in judge([], [], rows, [], {"listed": 1, "used": 1, "quarantined": []}, metrics)]

    assert said(0.71, 0.9, None) == []
    assert said(0.55, 0.9)[0].startswith("The networks are weak: 1 of 2 have a mean AUROC below 0.7 (0.55; 0.5 is a coin toss)")
    assert "all of 2 have a mean AUROC below 0.7 (0.55 to 0.6;" in said(0.55, 0.6)[0]


def shortcut(*networks: tuple[float, float, int]) -> list[str]:
    metrics = {"auroc": Metric("auroc", "s", statistic="auroc", of="logit"), "pointing_game": Metric("pointing_game", "s")}
    rows = []
    for number, (auroc, pointing, boxed) in enumerate(networks):
        about = (f"net {number}", "bce", "Nodule")
        rows.append(Summary("auroc", "performance", None, *about, auroc, None, 400))
        rows.append(Summary("pointing_game", "alignment", "gradcam", *about, pointing, None, boxed))
    return [f.text for f in judge([], [], rows, [], ALL_USED, metrics) if f.kind == "caution"]


def test_a_finding_that_is_known_but_looked_for_elsewhere_is_named_first() -> None:
    (text,) = shortcut((0.97, 0.0, 50), (0.99, 0.02, 50))
    assert text.startswith(
        "All 2 networks tell Nodule apart (AUROC 0.97 to 0.99), but the peak of their map (Grad-CAM) lies in"
    )
    assert text.endswith("only 0 % to 2 % of 50 boxed cases. They may go by something other than the finding.")
    assert shortcut((0.97, 0.0, 50), (0.99, 0.02, 50), (0.9, 0.9, 50))[0].startswith("2 of 3 networks")


@pytest.mark.parametrize(
    "networks",
    [[(0.97, 0.6, 50)] * 2, [(0.6, 0.0, 50)] * 2, [(0.97, 0.0, 19)] * 2, [(0.97, 0.0, 50), (0.97, 0.9, 50)]],
    ids=["it looks there", "it knows nothing", "too few boxes", "half of the networks"],
)
def test_no_shortcut_is_suspected_without_cause(networks: list[tuple[float, float, int]]) -> None:
    assert shortcut(*networks) == []
