"""The caution about changes that networks do not stand, and what the section makes of the numbers."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
from auditor_plugins.analyses.corruptions import Corruptions
from auditor_plugins.sections.robustness import Robustness

from auditor.evidence import Evidence
from auditor.evidenced import holds
from auditor.robustness import judge
from auditor.statistics.rows import MACRO, Summary

METRICS = {metric.name: metric for metric in Corruptions(changes=("brighter", "noise", "blur")).metrics}


def level(
    metric: str, model: str, value: float | None, half: float = 0.01, name: str = MACRO, note: str | None = None
) -> Summary:
    ends = (None, None) if value is None else (value - half, value + half)
    missing = "not estimable (0 positives)" if value is None else None
    return Summary(metric, "corruptions", None, model, model.split("-")[0], name, value, missing, 400, *ends, 200, note)


def changes(*values: float, metric: str = "auroc_change_brighter", **more: Any) -> list[Summary]:
    return [level(metric, f"bce-{number}", value, **more) for number, value in enumerate(values)]


def test_a_change_that_most_networks_do_not_stand_is_told_with_its_range() -> None:
    rows = [
        *changes(-0.05, -0.08, -0.01),
        *changes(-0.001, -0.002, -0.003, metric="auroc_change_noise"),
        *changes(-0.04, -0.2, -0.1, metric="auroc_change_blur"),
    ]
    (found,) = judge(rows, METRICS, 0.02)
    assert found.text == (
        "Where the picture is taken a little differently, the mean AUROC falls by more than 0.02: blur (0.4 % of the width) (3 of 3 networks, by 0.04 to "
        "0.2); brighter (gamma 0.8) (2 of 3 networks, by 0.05 to 0.08), of 3 simulated changes."
    )
    assert (found.kind, found.metric) == ("caution", "auroc_change")


@pytest.mark.parametrize(
    "rows",
    [
        changes(-0.05, -0.01),  # half of the networks are not most
        changes(-0.025, -0.025),  # the interval does not lie beyond the margin
        changes(-0.05, note="fewer than 20 positive or negative patients: interval not reliable"),
        changes(-0.05, name="Mass"),  # single findings are left to the table
        changes(-0.05, metric="auroc_change"),  # the mean over changes is a contrast of its own
        [level("auroc_change_brighter", "bce-0", None)],
        [],
    ],
)
def test_nothing_is_said_otherwise(rows: list[Summary]) -> None:
    assert judge(rows, METRICS, 0.02) == []
    assert judge(changes(-0.05, -0.05), METRICS, 0.02)


def test_the_margin_is_the_audits() -> None:
    assert judge(changes(-0.05, -0.05), METRICS, 0.05) == []
    assert "falls by more than 0.005" in judge(changes(-0.05, -0.05), METRICS, 0.005)[0].text


def test_only_the_worst_four_are_named() -> None:
    every = {metric.name: metric for metric in Corruptions().metrics}
    names = [name for name in every if name.startswith("auroc_change_")]
    rows = [row for place, name in enumerate(names) for row in changes(-0.05 - place / 100, metric=name)]
    (found,) = judge(rows, every, 0.02)
    assert "and 7 more, of 11 simulated changes." in found.text
    assert found.text.count("networks, by") == 4
    assert "cropped by 4 % (1 of 1 networks, by 0.15)" in found.text


def told(evidence: Evidence, rows: list[Summary]) -> Evidence:
    """The example evidence with the numbers of corruptions beside its own."""
    ids = {f"bce-{seed}" for seed in (0, 1)}
    assert ids <= {str(model["id"]) for model in evidence.models}
    metrics = {**evidence.metrics, **{name: asdict(metric) for name, metric in METRICS.items()}}
    audit = {**evidence.audit, "analyses": [*evidence.audit["analyses"], {"use": "corruptions", "options": {"images": 500}}]}
    return replace(evidence, metrics=metrics, audit=audit, summaries=(*evidence.summaries, *rows))


def test_the_worst_change_stands_first_and_absence_says_why(evidence: Evidence) -> None:
    rows = [
        *changes(-0.03, -0.05, metric="auroc_change"), *changes(-0.02, -0.01), *changes(0.001, None, metric="auroc_change_noise"),  # type: ignore[arg-type]
        *changes(-0.1, -0.3, metric="auroc_change_blur"), *changes(-0.1, 0.2, metric="auroc_change_blur", name="Mass"),
        *changes(-0.2, 0.1, metric="auroc_change_brighter", name="Mass", note="few"),
    ]  # fmt: skip
    content = Robustness().context(told(evidence, rows))
    (table,) = content["tables"]
    assert [row["name"] for row in table["rows"]] == [
        "AUROC, picture as it is", "Mean over the changes", "blur (0.4 % of the width)", "brighter (gamma 0.8)", "quantum noise (5 % in white)",
    ]  # fmt: skip
    assert table["rows"][2]["cells"][0] == {"missing": None, "value": "−0.100", "interval": "(−0.110 to −0.090)"}
    assert table["rows"][0]["cells"][0]["missing"] == "not measured"
    assert table["rows"][4]["cells"][1]["missing"] == "not estimable (0 positives)"
    (mass,) = content["worst"]["rows"]
    assert mass["name"] == "Mass"
    assert (mass["cells"][0]["words"], mass["cells"][0]["value"], mass["cells"][0]["few"]) == (
        "brighter (gamma 0.8)",
        "−0.200",
        True,
    )
    assert content["drawn"] == "corruptions on 500 of 2,797 images, drawn by a hash of their names"


def test_the_checklists_know_whether_changes_were_tried(evidence: Evidence) -> None:
    assert not holds("changed_pictures", evidence)
    assert holds("changed_pictures", told(evidence, changes(-0.05)))
    assert not holds("changed_pictures", told(evidence, [level("auroc_change", "bce-0", None)]))
