"""What the numbers say of a gate, in an outcome, a sentence and an exit code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor import Metric, ending, gated
from auditor.errors import PRECEDENCE, gravest
from auditor.evidence import Evidence, Gap
from auditor.gated import GateOutcome, decided, line
from auditor.gates import CLAIMS, Gate
from auditor.statistics.rows import IMAGE, MACRO, MODEL, Comparison, Summary

# What an interval says of a bound

ENDS = st.tuples(st.integers(-6, 6), st.integers(-6, 6)).map(lambda ends: (float(min(ends)), float(max(ends))))


def by_every_point(claim: str, better: str, ends: tuple[float, float], bound: float) -> str:
    """The slow twin: ask of every value that the interval allows (here of its quarters) whether it meets the demand."""
    values = [ends[0] + step / 4 for step in range(int(4 * (ends[1] - ends[0])) + 1)]
    met = [value >= bound if better == "higher" else value <= bound for value in values]
    if claim == "not_shown_worse":
        return "passed" if any(met) else "failed"
    return "passed" if all(met) else "inconclusive" if any(met) else "failed"


@given(st.sampled_from(CLAIMS), st.sampled_from(["higher", "lower"]), ENDS, st.integers(-6, 6))
def test_a_gate_passes_if_all_that_the_interval_allows_meets_it_and_fails_if_nothing_does(
    claim: Any, better: str, ends: tuple[float, float], bound: int
) -> None:
    assert decided(claim, better, ends, float(bound)) == by_every_point(claim, better, ends, float(bound))


@given(st.sampled_from(CLAIMS), ENDS, st.integers(-6, 6))
def test_lower_is_better_mirrors_higher_is_better(claim: Any, ends: tuple[float, float], bound: int) -> None:
    assert decided(claim, "lower", (-ends[1], -ends[0]), -float(bound)) == decided(claim, "higher", ends, float(bound))


@given(st.sampled_from(CLAIMS), ENDS, st.integers(-6, 6), st.integers(0, 4))
def test_a_wider_interval_never_decides_what_a_narrower_one_could_not(
    claim: Any, ends: tuple[float, float], bound: int, more: int
) -> None:
    wide = decided(claim, "higher", (ends[0] - more, ends[1] + more), float(bound))
    assert wide in (
        decided(claim, "higher", ends, float(bound)),
        "inconclusive",
        "passed" if claim == "not_shown_worse" else "",
    )


# Each kind of gate passing, failing, inconclusive and without a number

METRICS = {
    metric.name: metric
    for metric in (
        Metric("auroc", "Ranks.", "higher", 0, 1),
        Metric("ece", "Calibration.", "lower", 0, 1),
        Metric("cbl", "Localisation.", "higher", None, 1),
    )
}
MODELS = (
    {"id": "bce-0", "strategy": "bce", "family": "resnet50", "error": None, "status": "ok"},
    {"id": "focal-0", "strategy": "focal", "family": "resnet50", "error": None, "status": "ok"},
)
FEW = "fewer than 20 patients: interval not reliable"


def contrast(low: float | None, high: float | None, metric: str = "auroc", **more: Any) -> Comparison:
    middle = None if low is None or high is None else (low + high) / 2
    row = Comparison(
        metric, "performance", None, MACRO, "resnet50", "focal", "bce", middle, low, high, 900, 400, verdict="inconclusive"
    )
    return replace(row, **more)


def level(value: float | None, low: float | None, high: float | None, metric: str = "ece", **more: Any) -> Summary:
    return replace(Summary(metric, "calibration", None, "focal-0", "focal", MACRO, value, None, 900, low, high, 400), **more)


def evidence_of(
    *rows: Comparison | Summary, models: tuple[dict[str, Any], ...] = MODELS, gaps: tuple[Gap, ...] = ()
) -> Evidence:
    return Evidence(
        audit={"reference": "bce", "attributions": [{"use": "gradcam"}, {"use": "cam"}], "gates": {"written": [], "afterwards": False}},
        dataset={"classes": ["Mass"]},
        models=models,
        metrics={name: vars(metric) for name, metric in METRICS.items()},
        summaries=tuple(row for row in rows if isinstance(row, Summary)),
        comparisons=tuple(row for row in rows if isinstance(row, Comparison)),
        findings=(),
        gaps=gaps,
        accounting={"listed": 900, "used": 900, "quarantined": [], "max_quarantine": 0.005, "boxes": {}},
        environment={},
    )  # fmt: skip


def judged(gate: Gate, *rows: Comparison | Summary, **more: Any) -> list[GateOutcome]:
    return list(gated.judge([gate], evidence_of(*rows, **more)))


NONINFERIOR = Gate(metric="auroc", claim="noninferior", margin=0.02)
NOT_WORSE = Gate(metric="auroc", claim="not_shown_worse")
NOT_WORSE_ECE = Gate(metric="ece", claim="not_shown_worse")
FLOOR = Gate(metric="auroc", claim="at_least", value=0.75)
CEILING = Gate(metric="ece", claim="at_most", value=0.05)
OF_STRATEGIES = "auroc, averaged over the classes, strategy focal minus bce"
SIDES = "auroc, averaged over the classes, networks of focal minus those of bce"
FIXTURES: list[tuple[Gate, Comparison | Summary, str, float, str]] = [
    (NONINFERIOR, contrast(-0.01, 0.03), "passed", -0.02,
     f"{SIDES}: +0.010 (95 % interval −0.010 to +0.030), not worse by more than the margin of 0.020"),
    (NONINFERIOR, contrast(-0.07, -0.03), "failed", -0.02,
     f"{SIDES}: −0.050 (95 % interval −0.070 to −0.030), worse by more than the margin of 0.020"),
    (NONINFERIOR, contrast(-0.03, 0.01), "inconclusive", -0.02,
     f"{SIDES}: −0.010 (95 % interval −0.030 to +0.010), which may be worse by more than the margin of 0.020"),
    (NONINFERIOR, contrast(0.02, 0.03, verdict=None, note=FEW), "inconclusive", -0.02,
     f"{SIDES}: +0.025 (95 % interval +0.020 to +0.030), too uncertain to be judged: {FEW}"),
    (NONINFERIOR, contrast(None, None, difference=0.5, verdict=None), "inconclusive", -0.02,
     f"{SIDES}: +0.500, too uncertain to be judged: no interval can be given"),
    (NONINFERIOR, contrast(None, None, verdict=None, missing="2 positives"), "not evaluated", -0.02,
     f"{SIDES}: nothing to evaluate, 2 positives"),
    (NONINFERIOR, contrast(-0.01, 0.0, about="strategies", note="1 of 3 classes left out: Hernia"), "passed", -0.02,
     f"{OF_STRATEGIES}: −0.005 (95 % interval −0.010 to 0.000), not worse by more than the margin of 0.020 (1 of 3 classes left out: Hernia)"),
    (Gate(metric="ece", claim="noninferior", margin=0.01), contrast(0.02, 0.04, "ece"), "failed", 0.01,
     f"{SIDES.replace('auroc', 'ece')}: +0.030 (95 % interval +0.020 to +0.040), worse by more than the margin of 0.010"),
    (NOT_WORSE, contrast(-0.03, 0.01), "passed", 0.0,
     f"{SIDES}: −0.010 (95 % interval −0.030 to +0.010), not shown to be worse, which does not show that it is as good"),
    (NOT_WORSE, contrast(-0.03, -0.01), "failed", 0.0, f"{SIDES}: −0.020 (95 % interval −0.030 to −0.010), shown to be worse"),
    (NOT_WORSE, contrast(-0.03, -0.01, verdict=None, note=FEW), "inconclusive", 0.0,
     f"{SIDES}: −0.020 (95 % interval −0.030 to −0.010), too uncertain to be judged: {FEW}"),
    (NOT_WORSE_ECE, contrast(-0.03, -0.01, "ece"), "passed", 0.0,
     f"{SIDES.replace('auroc', 'ece')}: −0.020 (95 % interval −0.030 to −0.010), not shown to be worse, which does not show that it is as good"),
    (FLOOR, level(0.8, 0.76, 0.84, "auroc"), "passed", 0.75,
     "auroc, averaged over the classes, focal-0: 0.800 (95 % interval 0.760 to 0.840), at least 0.750"),
    (FLOOR, level(0.7, 0.68, 0.72, "auroc"), "failed", 0.75,
     "auroc, averaged over the classes, focal-0: 0.700 (95 % interval 0.680 to 0.720), below 0.750"),
    (FLOOR, level(0.76, 0.7, 0.82, "auroc"), "inconclusive", 0.75,
     "auroc, averaged over the classes, focal-0: 0.760 (95 % interval 0.700 to 0.820), which may be below 0.750"),
    (FLOOR, level(0.76, None, None, "auroc"), "passed", 0.75,
     "auroc, averaged over the classes, focal-0: 0.760, at least 0.750 (no interval is made for this number, so it is judged by itself)"),
    (CEILING, level(0.03, 0.01, 0.05), "passed", 0.05,
     "ece, averaged over the classes, focal-0: 0.030 (95 % interval 0.010 to 0.050), at most 0.050"),
    (CEILING, level(0.08, 0.06, 0.1), "failed", 0.05,
     "ece, averaged over the classes, focal-0: 0.080 (95 % interval 0.060 to 0.100), above 0.050"),
    (CEILING, level(0.04, 0.03, 0.06), "inconclusive", 0.05,
     "ece, averaged over the classes, focal-0: 0.040 (95 % interval 0.030 to 0.060), which may be above 0.050"),
    (CEILING, level(0.01, 0.0, 0.02, note=FEW), "inconclusive", 0.05,
     f"ece, averaged over the classes, focal-0: 0.010 (95 % interval 0.000 to 0.020), too uncertain to be judged: {FEW}"),
    (CEILING, level(None, None, None, missing="one label only"), "not evaluated", 0.05,
     "ece, averaged over the classes, focal-0: nothing to evaluate, one label only"),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "row", "outcome", "bound", "sentence"), FIXTURES)
def test_a_gate_says_in_words_what_its_number_says(
    gate: Gate, row: Comparison | Summary, outcome: str, bound: float, sentence: str
) -> None:
    (found,) = judged(gate, row)
    assert (found.outcome, found.bound, found.sentence) == (outcome, bound, sentence)
    estimate = row.difference if isinstance(row, Comparison) else row.value
    assert (found.estimate, found.low, found.high, found.missing) == (estimate, row.low, row.high, row.missing)


def test_every_kind_of_gate_is_seen_to_pass_to_fail_and_to_be_inconclusive() -> None:
    seen = {(gate.claim, outcome) for gate, _, outcome, _, _ in FIXTURES}
    assert seen >= {(claim, outcome) for claim in CLAIMS for outcome in ("passed", "failed", "inconclusive")}


# What a gate is about

OTHERS = (
    *MODELS,
    {"id": "bce-1", "strategy": "bce", "family": "t_densenet", "error": None, "status": "ok"},
    {"id": "focal-1", "strategy": "focal", "family": "t_densenet", "error": None, "status": "ok"},
    {"id": "wbce-0", "strategy": "wbce", "family": "resnet50", "error": None, "status": "ok"},
)  # fmt: skip


def test_without_a_strategy_a_gate_is_about_all_but_the_reference_and_one_that_was_not_measured_is_named() -> None:
    found = judged(NONINFERIOR, contrast(0, 0.1), contrast(0, 0.1, family="t_densenet"), models=OTHERS)
    assert [(row.strategy, row.family, row.outcome) for row in found] == [
        ("focal", "resnet50", "passed"),
        ("focal", "t_densenet", "passed"),
        ("wbce", "resnet50", "not evaluated"),
    ]
    assert "(t_densenet): +0.050" in found[1].sentence
    assert found[2].missing == "the audit made no such number for (macro)"
    assert [row.strategy for row in judged(NONINFERIOR.model_copy(update={"strategy": "wbce"}), models=OTHERS)] == ["wbce"]


def test_an_architecture_without_a_contrast_cannot_hide_behind_the_other() -> None:
    found = judged(NONINFERIOR, contrast(0, 0.1), models=OTHERS[:4])
    assert [(row.family, row.outcome) for row in found] == [("resnet50", "passed"), ("t_densenet", "not evaluated")]


def test_a_contrast_across_architectures_is_found_by_the_architecture_of_the_strategy() -> None:
    across = contrast(0, 0.1, family="focal: t_densenet / bce: resnet50")
    (found,) = judged(NONINFERIOR, across, models=(MODELS[0], OTHERS[3]))
    assert (found.outcome, found.family) == ("passed", "focal: t_densenet / bce: resnet50")


def test_a_floor_is_about_every_network_of_a_strategy_and_a_failed_one_says_why() -> None:
    models = (*MODELS, {**MODELS[1], "id": "focal-9", "error": "no usable answer", "status": "failed"})
    found = judged(FLOOR, level(0.8, None, None, "auroc"), models=models)
    assert [(row.model, row.outcome, row.missing) for row in found] == [
        ("focal-0", "passed", None),
        ("focal-9", "not evaluated", "no usable answer"),
    ]
    (reference,) = judged(
        FLOOR.model_copy(update={"strategy": "bce"}), level(0.7, None, None, "auroc", model="bce-0", strategy="bce")
    )
    assert (reference.model, reference.outcome) == ("bce-0", "failed")


def test_a_gate_on_maps_is_about_every_attribution_and_one_that_failed_gives_its_reason() -> None:
    gate = Gate(metric="cbl", claim="at_least", value=0.1)
    on_maps = {"metric": "cbl", "analysis": "alignment"}
    rows = [
        level(0.3, 0.2, 0.4, attribution="gradcam", **on_maps),
        level(0.9, 0.8, 1, model="(centre)", strategy="(blind)", **on_maps),
    ]
    gap = Gap("focal-0", "alignment", "cam", None, "failed: RuntimeError: no grad", 0)
    found = judged(gate, *rows, gaps=(gap,))
    assert [(row.attribution, row.outcome, row.missing) for row in found] == [
        ("gradcam", "passed", None),
        ("cam", "not evaluated", "failed: RuntimeError: no grad"),
    ]
    assert found[0].sentence.startswith("cbl with gradcam, averaged over the classes, focal-0: ")
    (only,) = judged(gate.model_copy(update={"attribution": "gradcam"}), *rows)
    assert only.outcome == "passed"


def test_a_class_is_named_and_without_one_the_overall_number_is_judged() -> None:
    of_mass = NONINFERIOR.model_copy(update={"class_name": "Mass"})
    overall, mass = contrast(0, 0.1), contrast(-0.9, -0.8, class_name="Mass")
    assert judged(of_mass, overall, mass)[0].sentence.startswith("auroc of Mass, networks of focal minus those of bce: −0.850 ")
    assert [row.class_name for row in judged(NONINFERIOR, mass, overall)] == [MACRO]


@pytest.mark.parametrize(
    ("class_name", "where"), [(IMAGE, ", over whole images"), (MODEL, ""), (MACRO, ", averaged over the classes")]
)
def test_the_overall_number_is_the_widest_that_there_is(class_name: str, where: str) -> None:
    (found,) = judged(NONINFERIOR, contrast(0, 0.1, class_name="Mass"), contrast(0, 0.1, class_name=class_name))
    assert (found.class_name, found.outcome) == (class_name, "passed")
    assert found.sentence.startswith(f"auroc{where}, networks of focal")


# What the shell is told


@pytest.mark.parametrize(
    ("gates", "measured", "code"),
    [
        ([], "complete", 0),
        ([("passed", "blocking")], "complete", 0),
        ([("failed", "blocking"), ("passed", "blocking")], "complete", 1),
        ([("inconclusive", "blocking"), ("passed", "blocking")], "complete", 3),
        ([("not evaluated", "blocking")], "complete", 3),
        ([("failed", "advisory"), ("inconclusive", "advisory"), ("not evaluated", "advisory")], "complete", 0),
        ([("not evaluated", "blocking"), ("failed", "blocking")], "complete", 1),
        ([("passed", "blocking")], "incomplete", 3),
        ([("failed", "blocking")], "incomplete", 1),
    ],
)
def test_a_failed_blocking_gate_is_1_one_that_cannot_be_answered_3_and_an_advisory_one_nothing(
    gates: list[tuple[Any, Any]], measured: str, code: int
) -> None:
    (one,) = judged(NONINFERIOR, contrast(0, 0.1))
    rows = tuple(replace(one, outcome=outcome, tier=tier) for outcome, tier in gates)
    gaps = (Gap("focal-0", "alignment", None, None, "failed: on purpose", 0),) if measured == "incomplete" else ()
    assert ending.exit_code(replace(evidence_of(gaps=gaps), gates=rows)) == code


def test_the_gravest_exit_code_is_told() -> None:
    assert [code.value for code in PRECEDENCE] == [4, 5, 1, 3, 0]
    for number, worse in enumerate(PRECEDENCE):
        assert all(gravest(other, worse) == worse for other in PRECEDENCE[number:])


def test_a_line_holds_the_number_of_the_gate_its_outcome_and_its_tier() -> None:
    (found,) = judged(CEILING, level(0.08, 0.06, 0.1))
    assert line(found) == (
        "gate 1  failed        blocking  ece, averaged over the classes, focal-0: 0.080 (95 % interval 0.060 to 0.100), above 0.050"
    )
