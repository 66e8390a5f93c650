"""The paired change of two audits against the contrasts of one, against independent code, and against a truth that is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffing import audited, drawn
from example import EXAMPLE
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.diff.changes import changes
from auditor.diff.difference import difference
from auditor.diff.matched import match
from auditor.diff.moved import moved_targets
from auditor.diff.side import Side
from auditor.evidence import Evidence, read
from auditor.metric import Metric
from auditor.run import run
from auditor.statistics.columns import Columns
from auditor.statistics.rows import Comparison, Values

Write = Callable[..., Path]
Told = dict[tuple[str, str | None, str], tuple[Any, ...]]
COMPARED = ("difference", "low", "high", "n_cases", "n_patients", "p", "missing")


def told(rows: list[Comparison]) -> Told:
    return {(r.metric, r.attribution, r.class_name): tuple(getattr(r, name) for name in COMPARED) for r in rows}


def same(found: Told, expected: Told) -> None:
    assert found
    for key, row in found.items():
        assert row == expected[key], key


# The same numbers as contrasts


def test_the_change_of_a_network_is_the_contrast_of_its_two_versions_in_one_audit(tmp_path: Path) -> None:
    two = drawn()
    versions = {("bce", 0): two.scores["bce", 0]}, {("bce", 0): two.scores["focal", 0]}
    lines = {"analyses": "[performance, calibration, outcomes]"}
    sides = [audited(tmp_path / str(place), replace(two, scores=scores), **lines) for place, scores in enumerate(versions)]
    found = difference(*sides)
    expected = read(audited(tmp_path / "both", two, **lines)).comparisons
    same(told([change.row for change in found.changes]), told(list(expected)))
    assert {change.row.metric for change in found.changes} >= {"auroc", "average_precision", "ece", "brier", "sensitivity"}


@pytest.mark.slow
def test_so_it_is_for_maps_and_boxes_on_the_images_that_both_audits_have(write_audit: Write, tmp_path: Path) -> None:
    lens = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"

    def network(strategy: str, weights: int) -> str:
        return f"{{use: tiny_network, strategy: {strategy}, weights: {weights}, {lens}}}"

    def made(name: str, images: int, *networks: str) -> Path:
        lines = {"dataset": f"{{use: tiny, images: {images}}}", "models": f"[{', '.join(networks)}]", "analyses": analyses}
        run(write_audit(tmp_path / name, **lines), tmp_path / name / "run", device="cpu")
        return tmp_path / name / "run"

    analyses = "[performance, alignment]"  # a concept of dissection is counted against thresholds of the whole data set
    old, new = made("old", 70, network("bce", 1)), made("new", 61, network("bce", 2))
    both = made("both", 61, network("bce", 1), network("focal", 2))
    found = difference(old, new)
    assert found.shared_images == 61
    same(told([change.row for change in found.changes]), told(list(read(both).comparisons)))
    assert {"kappa_loc", "cbl_excess", "iobb", "auroc"} <= {change.row.metric for change in found.changes}


# AUROC by independent code


def area_change(old: Any, new: Any, positive: Any, patient: Any) -> tuple[float, float]:
    """Change of AUROC and its clustered standard error, pair by pair of cases: nothing is shared with the code under test."""
    parts = []
    for scores in (old, new):
        above = [[(p > n) + 0.5 * (p == n) for n in scores[~positive]] for p in scores[positive]]
        parts.append(np.array(above, float))
    area = [table.mean() for table in parts]
    moves = dict.fromkeys(patient.tolist(), 0.0)
    for sign, table, mean in zip((-1, 1), parts, area, strict=True):
        for row, who in zip(table, patient[positive].tolist(), strict=True):
            moves[who] += sign * (row.mean() - mean) / len(table)
        for column, who in zip(table.T, patient[~positive].tolist(), strict=True):
            moves[who] += sign * (column.mean() - mean) / table.shape[1]
    groups = len(moves)
    return area[1] - area[0], math.sqrt(groups / (groups - 1) * sum(move**2 for move in moves.values()))


def test_the_change_of_an_auroc_is_what_counting_pairs_of_cases_says(tmp_path: Path) -> None:
    two = drawn(seed=11, patients=40)
    found = difference(
        audited(tmp_path / "old", replace(two, scores={("bce", 0): two.scores["bce", 0].round(1)})),
        audited(tmp_path / "new", replace(two, scores={("bce", 0): two.scores["focal", 0].round(1)})),
    )
    patient = np.array([int(name[-3:]) for name in two.patients])
    for number, name in enumerate(two.classes):
        row = next(c.row for c in found.changes if (c.row.metric, c.row.class_name) == ("auroc", name))
        scores = (two.scores[which, 0][:, number].round(1) for which in ("bce", "focal"))
        change, error = area_change(*scores, two.labels[:, number] == 1, patient)
        assert row.difference == pytest.approx(change, abs=1e-12)
        assert row.low is not None
        assert row.high is not None
        assert (row.low + row.high) / 2 == pytest.approx(change, abs=1e-12)
        assert (
            stats.t.sf((row.high - change) / error, 39) < 0.025 < stats.t.sf((row.high - change) / error, 8)
        )  # df_eff between


# What moved


CASES = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 5)), unique=True, max_size=12)


def columns(cases: list[tuple[int, int]], values: list[float]) -> Columns:
    target, sample = (np.array([case[place] for case in cases], np.int64) for place in (0, 1))
    return Columns({"m": Values(sample, target, np.array(values[: len(cases)], float))})


@settings(deadline=None)
@given(CASES, CASES, st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=12, max_size=12))
def test_a_class_moved_exactly_if_a_case_of_it_has_another_value_or_is_on_one_side_only(
    old: list[tuple[int, int]], new: list[tuple[int, int]], values: list[float]
) -> None:
    before, after = dict(zip(old, map(str, values), strict=False)), dict(zip(new, map(str, reversed(values)), strict=False))
    expected = {case[0] for case in before.keys() | after.keys() if before.get(case) != after.get(case)}
    found = moved_targets(Metric("m", "M."), columns(old, values), columns(new, values[::-1]), 3)
    assert found == expected


# Coverage


@dataclass
class Held:
    """The cases of one network as a run folder would hold them."""

    patients: Any
    labels: Any
    values: Columns
    classes: list[str] = field(default_factory=lambda: ["Mass"])
    training_samples: list[str] = field(default_factory=list)
    needs: dict[str, set[str]] = field(default_factory=lambda: {"performance": {"logits"}})

    def __post_init__(self) -> None:
        size = len(self.patients)
        self.samples = [f"image-{number}" for number in range(size)]
        self.used = np.ones(size, bool)
        self.boxes: list[dict[str, str]] = [{}]
        self.held_against: list[list[int]] = [[]]
        self.training_patients = np.zeros(0, np.int64)

    def works(self) -> list[tuple[str, str | None]]:
        return [("performance", None)]

    def columns(self, work: tuple[str, str | None]) -> dict[str, Columns]:
        return {"bce-0": self.values}


def evidence() -> Evidence:
    metric = vars(Metric("auroc", "Ranks.", "higher", 0, 1, statistic="auroc", of="logit"))
    example = Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))
    summary = replace(
        example.summaries[0], metric="auroc", analysis="performance", attribution=None, model="bce-0", class_name="Mass"
    )
    model = {**example.models[0], "id": "bce-0", "strategy": "bce", "family": "resnet50"}
    audit = {**example.audit, "seed": 0, "analyses": [], "claims": {"primary": [], "margin": {"auroc": 0.02}}}
    dataset = {**example.dataset, "use": "listed", "classes": ["Mass"], "train": None}
    return replace(
        example, audit=audit, dataset=dataset, models=(model,), metrics={"auroc": metric}, summaries=(summary,), controls=(), gaps=()
    )  # fmt: skip


@pytest.mark.slow
def test_the_interval_of_a_change_holds_the_true_change_in_95_of_100_audits() -> None:
    """Binormal scores with an effect of the patient: the true AUROC of a network is Phi(distance / sqrt(2 variance))."""
    told_by, lots, inside, replicates = evidence(), np.random.default_rng(20), 0, 600
    knows, own, shared = (0.9, 1.2), 1.0, 0.6
    truth = np.diff([stats.norm.cdf(d / math.sqrt(2 * (own**2 + shared**2))) for d in knows])[0]
    for _ in range(replicates):
        patients = np.repeat(np.arange(120), lots.integers(1, 4, 120))
        labels = (lots.random(len(patients)) < 0.4).astype(np.int8)[:, None]
        of_patient = lots.normal(0, shared, (120, 2))[patients]
        common = lots.normal(0, own, len(patients))  # the networks see the same images, so they err alike
        sides = []
        for which, distance in enumerate(knows):
            noise = math.sqrt(0.5) * common + math.sqrt(0.5) * lots.normal(0, own, len(patients))
            logit = distance * labels[:, 0] + of_patient[:, which] + noise
            column = Values(np.arange(len(patients)), np.zeros(len(patients), np.int64), logit)
            sides.append(Side(Path(), told_by, Held(patients, labels, Columns({"logit": column})), None))  # type: ignore[arg-type]
        (row, *_) = [c.row for c in changes(*sides, {"auroc": 0.02}).of_networks if c.row.class_name == "Mass"]
        assert row.low is not None
        assert row.high is not None
        inside += row.low <= truth <= row.high
    low, high = stats.binomtest(inside, replicates, 0.95).proportion_ci(0.999)
    assert low <= 0.95 <= high, inside / replicates


def test_cases_are_matched_by_name_and_class_whatever_their_order() -> None:
    lots = np.random.default_rng(1)
    labels = lots.integers(0, 2, (6, 2)).astype(np.int8)
    empty = Columns({})
    old = Held(np.arange(6) // 2, labels, empty, ["Mass", "Nodule"])
    new = Held(np.array([9, 4, 4, 9]), labels[[5, 0, 1, 4]][:, ::-1], empty, ["Nodule", "Mass"])
    new.samples = ["image-5", "image-0", "image-1", "image-4"]
    for side in (old, new):
        side.boxes, side.held_against = [{}, {}], [[], []]
    found = match(old, new, evidence())  # type: ignore[arg-type]
    assert found.samples == ("image-5", "image-0", "image-1", "image-4")
    assert found.cohort.classes == ("Nodule", "Mass")
    assert found.cohort.labels.tolist() == new.labels.tolist()
    assert not found.relabelled.any()
    assert not found.regrouped
    values = Columns({"m": Values(np.array([0, 2, 5]), np.array([0, 1, -1]), np.array([1.0, 2.0, 3.0]))})
    moved = found.moved(values, 0, boxed=True).values["m"]
    assert (moved.sample.tolist(), moved.target.tolist(), moved.value.tolist()) == ([1, 0], [1, -1], [1.0, 3.0])
