"""What is said of comparisons, failures and gaps, and what must never be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import auditor
from auditor import Finding, Metric
from auditor.findings import Gap, judge, rounded
from auditor.statistics.rows import IMAGE, MACRO, Comparison, Summary

METRICS = {"auroc": Metric("auroc", "Ranks.", better="higher"), "map_mass": Metric("map_mass", "Mass.")}
LOWER = Comparison(
    "auroc", "performance", None, MACRO, "resnet50", "focal", "bce", -0.012345, -0.0145, -0.01011, 314_062, 6_187
)
UNCLEAR = replace(LOWER, difference=0.002, low=-0.001, high=0.005)
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
        "The two networks differ in auroc, averaged over the classes: focal is 0.0123 lower than bce (95 % interval 0.0101 to "
        "0.0145 lower; 314,062 cases of 6,187 patients; higher is better). "
        "The interval is not corrected for multiplicity and no verdict is given yet."
    )
    assert (result.metric, result.strategy, result.class_name) == ("auroc", "focal", MACRO)


def test_an_interval_with_0_inside_is_not_said_to_show_anything() -> None:
    (text,) = texts(told(UNCLEAR), "result")
    assert text == (
        "The two networks cannot be told apart in auroc, averaged over the classes: focal is 0.002 higher than bce "
        "(95 % interval from 0.001 lower to 0.005 higher; 314,062 cases of 6,187 patients). This does not show that they are the same. "
        "The interval is not corrected for multiplicity and no verdict is given yet."
    )


@pytest.mark.parametrize("row", [LOWER, UNCLEAR, replace(LOWER, difference=0.0, low=0.0, high=0.0)])
def test_no_result_claims_equivalence_or_speaks_of_strategies(row: Comparison) -> None:
    (text,) = texts(told(row), "result")
    for word in ("equivalent", "strategy", "strategies", "significant", "ground truth"):
        assert word not in text


def test_a_network_against_itself_cannot_be_told_apart() -> None:
    (text,) = texts(told(replace(LOWER, difference=0.0, low=0.0, high=0.0)), "result")
    assert "cannot be told apart" in text
    assert "the difference is 0 (95 % interval from 0 to 0;" in text


def test_an_interval_that_touches_0_is_not_a_difference() -> None:
    (text,) = texts(told(replace(LOWER, high=0.0)), "result")
    assert "cannot be told apart" in text


def test_maps_and_whole_images_are_named_and_a_neutral_metric_has_no_better_side() -> None:
    row = replace(LOWER, metric="map_mass", attribution="grad_cam", class_name=IMAGE, difference=1.5, low=1.0, high=1234.0)
    (text,) = texts(told(row), "result")
    assert text.startswith(
        "The two networks differ in map mass with grad_cam, over whole images: focal is 1.5 higher than bce "
        "(95 % interval 1 to 1,230 higher;"
    )
    assert "better" not in text


def test_several_networks_are_counted_and_the_missing_seed_variance_is_said() -> None:
    models = (*MODELS, {"id": "bce-1", "strategy": "bce"}, {"id": "focal-1", "strategy": "focal"})
    found = told(LOWER, models=models)
    assert texts(found, "result")[0].startswith("The 2 networks of focal and the 2 of bce differ in auroc")
    assert texts(found, "note") == [
        "The intervals cover other patients, not other seeds: the seed variance is not in them yet."
    ]


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
    assert text.startswith("No interval can be given for auroc, averaged over the classes: focal is 0.0123 lower than bce")


def test_a_comparison_that_could_not_be_made_is_a_note_with_its_reason() -> None:
    row = replace(LOWER, difference=None, low=None, high=None, missing="no case measured")
    found = told(row, replace(row, metric="map_mass", attribution="cam"))
    assert texts(found, "result") == []
    assert texts(found, "note")[0] == "focal and bce could not be contrasted in auroc and map mass with cam: no case measured."


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
    assert texts(found, "alarm") == ["The analysis overlap with grad_cam failed for bce-0 and focal-0: ValueError: no map."]
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
        "No auroc or average precision for Hernia (n = 400) and Mass (n = 400): not estimable (0 positives); "
        "left out of the mean over the classes."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (-0.5, "-0.5"), (1234.5, "1,230"), (999.96, "1,000"), (0, "0"), (2.5e-9, "2.5e-09"), (0.9999, "1")],
)
def test_numbers_are_rounded_to_three_significant_digits(value: float, text: str) -> None:
    assert rounded(value) == text


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
        Comparison(metric="auroc", family=family, difference=d, low=d - 0.01, high=d + 0.01, n_cases=90, n_patients=40, **about)
        for family, d in (("resnet50", 0.05), ("t_densenet", -0.05))
    ]
    found = [finding.text for finding in judge(rows, [], [], models, {}, {})]
    assert found[0].startswith("The two networks of architecture resnet50 differ")
    assert found[1].startswith("The two networks of architecture t_densenet differ")
    assert any(text.startswith("One network per strategy") for text in found)
