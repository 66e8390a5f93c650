"""From differences to claims: families, what is adjusted with what, and claims that can be changed without measuring again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import run as runs
from auditor.claims import Claims
from auditor.errors import ConfigError
from auditor.statistics.decide import decide
from auditor.statistics.effect import Linear
from auditor.statistics.multiplicity import benjamini_hochberg, holm
from auditor.statistics.rows import IMAGE, MACRO, Comparison
from auditor.validate import validate

PEOPLE = np.arange(400)


def row(metric: str, name: str, strategy: str = "focal", attribution: str | None = None) -> Comparison:
    return Comparison(metric, "an analysis", attribution, name, "resnet50", strategy, "bce", 0.0, None, None, 900, 400)


def effect(value: float, error: float, seed: int) -> Linear:
    """A difference with this standard error, carried by random patients."""
    influence = np.random.default_rng(seed).normal(size=400)
    return Linear(value, PEOPLE, influence * error / np.sqrt((influence**2).sum()))


ROWS = [
    (row("auroc", MACRO), effect(0.03, 0.008, 0)), (row("auroc", MACRO, "wbce"), effect(0.001, 0.006, 1)),
    (row("iobb", MACRO, attribution="cam"), effect(0.01, 0.02, 2)), (row("iobb", IMAGE, attribution="cam"), effect(0.05, 0.02, 3)),
    (row("auroc", "Mass"), effect(0.02, 0.01, 4)), (row("auroc", "Hernia"), None), (row("auroc", "Nodule"), effect(0.03, 0.01, 5)),
    (row("probability", MACRO), effect(0.2, 0.01, 6)), (row("iobb", "Mass", attribution="cam"), effect(0.1, 0.02, 7)),
]  # fmt: skip


def test_declared_metrics_are_adjusted_together_by_holm_and_every_other_metric_by_itself() -> None:
    found = decide(ROWS, ("auroc", "iobb"), {"auroc": 0.02}, PEOPLE, 0)
    p = np.array([one.p if one else np.nan for _, one in ROWS])
    assert [row.claim for row in found] == ["primary"] * 4 + ["exploratory", None] + ["exploratory"] * 3
    assert [row.p_adjusted for row in found[:4]] == pytest.approx(holm(p[:4]))
    assert [found[4].p_adjusted, found[6].p_adjusted] == pytest.approx(benjamini_hochberg(p[[4, 6]]))
    assert (found[7].p_adjusted, found[8].p_adjusted) == (pytest.approx(p[7]), pytest.approx(p[8]))
    assert [row.verdict for row in found[:2]] == ["different", "equivalent"]
    assert [row.margin for row in found[:4]] == [0.02, 0.02, None, None]
    assert found[2].verdict == "inconclusive"


def test_without_a_declaration_everything_is_exploratory_and_nothing_is_lost_or_reordered() -> None:
    found = decide(ROWS, (), {}, PEOPLE, 0)
    assert {row.claim for row in found} == {"exploratory", None}
    assert [(row.metric, row.class_name, row.strategy) for row in found] == [
        (r.metric, r.class_name, r.strategy) for r, _ in ROWS
    ]
    assert decide([], (), {}, PEOPLE, 0) == []


def test_what_has_no_effect_has_no_verdict_and_weighs_on_no_other() -> None:
    found = decide(ROWS, (), {}, PEOPLE, 0)
    (hernia,) = (row for row in found if row.class_name == "Hernia")
    assert (hernia.verdict, hernia.p, hernia.p_adjusted, hernia.joint_low, hernia.smallest_margin) == (None,) * 5
    without = decide([pair for pair in ROWS if pair[1]], (), {}, PEOPLE, 0)
    assert without == [row for row in found if row.class_name != "Hernia"]


def test_a_joint_interval_is_never_narrower_than_the_single_one_and_the_same_when_alone() -> None:
    for (_, one), decided in zip(ROWS, decide(ROWS, ("auroc",), {}, PEOPLE, 0), strict=True):
        if one:
            low, high = one.interval(0.95)
            assert decided.joint_low is not None
            assert decided.joint_high is not None
            assert decided.joint_low <= low
            assert decided.joint_high >= high
            if decided.metric == "probability":
                assert (decided.joint_low, decided.joint_high) == (low, high)


def test_margins_that_are_not_written_have_a_default_and_claims_have_one_text_however_written() -> None:
    assert Claims().margins() == {"auroc": 0.02, "kappa_loc": 0.05}
    assert Claims(margin={"auroc": 0.01, "iobb": 0.1}).margins() == {"auroc": 0.01, "kappa_loc": 0.05, "iobb": 0.1}
    assert Claims(primary=("a", "b")).text() == Claims(primary=("b", "a"), margin={"auroc": 0.02}).text()
    assert Claims(primary=("a",)).text() != Claims().text()


def test_a_claim_about_a_metric_that_is_not_contrasted_is_refused_with_its_place(write_audit: Any) -> None:
    audit = write_audit(claims="{primary: [auroc, logit], margin: {aurok: 0.02, iobb: 0.05}}")
    with pytest.raises(ConfigError) as caught:
        validate(audit)
    first, second = str(caught.value).split("\n")
    assert ": claims.primary[1]: found 'logit'; allowed: a metric that is contrasted: probability, auroc, " in first
    assert ": claims.margin.aurok: found 'aurok'; allowed: a metric that is contrasted: " in second
    assert second.endswith("did you mean auroc?")
    with pytest.raises(ConfigError, match="aurok"):
        runs.run(audit, audit.parent / "out")


def test_an_audit_is_judged_by_other_claims_without_measuring_again_and_says_that_they_came_afterwards(
    write_audit: Any, tmp_path: Path, counts: Any
) -> None:
    def claimed(claims: str) -> dict[str, Any]:
        runs.run(
            write_audit(claims=claims, analyses="[performance]", attributions="[]", dataset="{use: tiny, images: 120}"), out
        )
        found: dict[str, Any] = json.loads((out / "results.json").read_text())
        return found

    out = tmp_path / "out"
    before = claimed("{primary: [auroc]}")
    asked = dict(counts)
    assert before["audit"]["claims"] == {
        "primary": ["auroc"],
        "margin": {"auroc": 0.02},
        "by_default": ["auroc"],
        "afterwards": False,
    }
    after = claimed("{primary: [auroc], margin: {auroc: 0.9}}")
    assert dict(counts) == asked, "nothing was read or computed again"
    assert after["audit"]["claims"]["afterwards"] is True
    assert after["audit"]["plan"] == before["audit"]["plan"]
    assert any("were not declared beforehand" in finding["text"] for finding in after["findings"])
    pick = [(row["metric"], row["class"]) for row in after["comparisons"]].index(("auroc", "(macro)"))
    one, other = before["comparisons"][pick], after["comparisons"][pick]
    assert (one["claim"], one["margin"], other["margin"]) == ("primary", 0.02, 0.9)
    same = ("difference", "low", "high", "p", "p_adjusted", "joint_low", "joint_high", "smallest_margin")
    assert [one[name] for name in same] == [other[name] for name in same]
    assert "equivalent" in other["verdict"] or "negligible" in other["verdict"]
    assert claimed("{primary: [auroc]}") == before
