"""What changed between two audits: the question, the cases, the numbers pair by pair, and the exit code that answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffing import Tables, audited, drawn

from auditor.cli import main
from auditor.diff.difference import Difference, difference
from auditor.errors import AuditError, ConfigError, ExitCode
from auditor.statistics.rows import MACRO

FOCAL = "focal · scores · seed 0"
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return drawn()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, tables: Tables) -> Path:
    return audited(tmp_path_factory.mktemp("old"), tables)


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory, tables: Tables) -> Path:
    """Focal replaced by a network that knows much less."""
    noise = np.random.default_rng(9).normal(0, 3, tables.labels.shape)
    return audited(tmp_path_factory.mktemp("worse"), tables.with_scores(("focal", 0), tables.scores["focal", 0] + noise))


def gates(folder: Path, *lines: str) -> Path:
    path = folder / "gates.yaml"
    path.write_text("gates:\n" + "".join(f"  - {{{line}}}\n" for line in lines))
    return path


def edited(run: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run whose results.json was changed by hand."""
    shutil.copytree(run, folder)
    results = json.loads((folder / "results.json").read_text())
    change(results)
    (folder / "results.json").write_text(json.dumps(results))
    return folder


# Nothing changed


def test_an_audit_does_not_differ_from_itself(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = difference(old, old)
    assert found.empty
    assert (found.exit_code, found.why_not, found.changes, found.numbers, found.causes) == (ExitCode.COMPLETE, None, (), (), ())
    estimated = [row for row in found.new.summaries if row.value is not None]
    assert found.unchanged == len(estimated) == 18
    assert main(["diff", str(old), str(old)]) == 0
    assert capsys.readouterr().out == "Nothing changed: 18 numbers rest on cases of which none moved.\n"


def test_the_same_audit_run_again_elsewhere_does_not_differ(old: Path, tables: Tables, tmp_path: Path) -> None:
    assert difference(old, audited(tmp_path, tables)).empty


def test_what_did_not_move_passes_every_gate_without_an_interval(old: Path, tmp_path: Path) -> None:
    found = difference(old, old, gates(tmp_path, "metric: auroc, claim: noninferior, margin: 0.001"))
    assert found.exit_code == ExitCode.COMPLETE
    assert [(row.outcome, row.low, row.high) for row in found.gates] == [("passed", None, None)] * 2
    assert found.gates[0].sentence == "auroc, averaged over the classes, networks of bce minus those of the old audit: unchanged, no case moved"  # fmt: skip


# Everything changed


def test_a_swapped_class_map_changes_every_number_of_every_network(old: Path, tables: Tables, tmp_path: Path) -> None:
    swapped = replace(tables, scores={name: table[:, ::-1] for name, table in tables.scores.items()})
    found = difference(old, audited(tmp_path, swapped))
    assert found.unchanged == 0
    told = {(change.row.metric, change.row.class_name, change.who) for change in found.estimated}
    every = {(row.metric, row.class_name, row.model) for row in found.new.summaries if row.value is not None}
    mean = {row for row in every if row[:2] == ("probability", MACRO)}  # a mean over both classes does not see the swap
    assert (told, found.level) == (every - mean, len(mean))
    worse = {change.who for change in found.changes if change.row.class_name == MACRO and found.better(change) == "worse"}
    assert worse == {"bce · scores · seed 0", FOCAL}
    assert [fact.name for fact in found.facts] == ["bce · scores · seed 0: weights (digest)", f"{FOCAL}: weights (digest)"]


# One thing changed


def test_of_one_network_replaced_only_its_numbers_change(old: Path, worse: Path) -> None:
    found = difference(old, worse)
    assert {change.who for change in found.changes} == {FOCAL}
    assert found.unchanged == 9
    assert found.changes[0].row.verdict == "different"
    auroc = next(change for change in found.changes if (change.row.metric, change.row.class_name) == ("auroc", MACRO))
    assert auroc.row.difference is not None
    assert auroc.new is not None
    assert auroc.old is not None
    assert auroc.row.difference == pytest.approx(auroc.new - auroc.old, abs=1e-12)
    assert (found.better(auroc), auroc.row.claim, auroc.row.margin) == ("worse", "primary", 0.02)
    assert (auroc.row.n_cases, auroc.row.n_patients) == (240, 60)
    assert found.exit_code == ExitCode.COMPLETE  # without gates a change is told and nothing fails


def test_new_minus_old_is_the_mirror_of_old_minus_new(old: Path, worse: Path) -> None:
    there, back = (
        {(c.row.metric, c.row.class_name): c.row for c in difference(*sides).estimated}
        for sides in ((old, worse), (worse, old))
    )
    assert there.keys() == back.keys()
    for key, row in there.items():
        if key[0] != "average_precision" and row.low is not None and row.high is not None:
            mirrored = [-row.difference, -row.high, -row.low]  # type: ignore[operator]
            assert [back[key].difference, back[key].low, back[key].high] == pytest.approx(mirrored, abs=1e-12)


def test_images_of_one_side_are_counted_and_named_and_the_others_are_paired(old: Path, tables: Tables, tmp_path: Path) -> None:
    kept = np.arange(len(tables.samples)) % 30 != 7
    found = difference(old, audited(tmp_path, tables.only(kept)))
    assert [(cause.reason, cause.ids) for cause in found.causes] == [
        ("only in the old audit", ("image-007", "image-037", "image-067", "image-097"))
    ]
    assert found.causes[0].says == "4 images only in the old audit: image-007, image-037, image-067 and 1 more"
    assert (found.shared_images, found.changes, found.unchanged) == (116, (), 18)  # what both have did not move
    assert {(fact.topic, fact.name) for fact in found.facts} >= {("images", "listed"), ("images", "used")}


def test_other_labels_are_counted_and_these_cases_are_not_paired(old: Path, tables: Tables, tmp_path: Path) -> None:
    labels = tables.labels.copy()
    labels[:5, 0] = 1 - labels[:5, 0]
    moved = tables.with_scores(("focal", 0), tables.scores["focal", 0] + drawn(4).scores["bce", 0])
    found = difference(old, audited(tmp_path, replace(moved, labels=labels)))
    assert [(cause.reason, len(cause.ids)) for cause in found.causes] == [("labelled otherwise for Mass", 5)]
    for metric in ("auroc", "probability"):  # what is ranked by the labels, and a mean that does not need them
        cases = {change.row.class_name: change.row.n_cases for change in found.changes if change.row.metric == metric}
        assert cases == {"Mass": 115, "Nodule": 120, MACRO: 235}


def test_patients_grouped_otherwise_are_told(old: Path, tables: Tables, tmp_path: Path) -> None:
    renamed = tuple(name.replace("patient", "person") for name in tables.patients)
    assert difference(old, audited(tmp_path / "same", replace(tables, patients=renamed))).causes == ()
    found = difference(old, audited(tmp_path / "other", replace(tables, patients=tables.samples)))
    assert [cause.says for cause in found.causes] == [
        "shared images belong to other patients in the old audit; those of the new audit are used"
    ]


def test_of_other_class_lists_the_shared_classes_are_paired_by_name(old: Path, tables: Tables, tmp_path: Path) -> None:
    def wider(table: Any) -> Any:
        return np.column_stack([table[:, 1], table[:, 0], table.sum(1)])

    labels = np.column_stack([tables.labels[:, 1], tables.labels[:, 0], tables.labels.max(1)])
    scores = {name: wider(table) for name, table in tables.scores.items()}
    new = audited(tmp_path, replace(tables, classes=("Nodule", "Mass", "Any"), labels=labels, scores=scores))
    found = difference(old, new)
    assert (found.shared_classes, found.changes, found.unchanged) == (("Nodule", "Mass"), (), 18)
    classes = next(fact for fact in found.facts if fact.name == "classes")
    assert classes == ("data set", "classes", "Mass, Nodule", "Nodule, Mass, Any")
    assert {number.class_name for number in found.numbers} == {"Any"}  # of one audit only, so not paired


def test_a_number_that_other_options_define_otherwise_is_not_paired(tables: Tables, tmp_path: Path) -> None:
    sides = [
        audited(tmp_path / name, tables, analyses=f"[performance, {{use: outcomes, specificity: {specificity}}}]")
        for name, specificity in (("old", 0.9), ("new", 0.8))
    ]
    found = difference(*sides, gates(tmp_path, "metric: sensitivity, claim: not_shown_worse"))
    assert ("analyses", "outcomes: specificity", "0.9", "0.8") in found.facts
    assert not [change for change in found.changes if change.row.metric == "sensitivity"]
    assert {number.class_name for number in found.numbers if number.metric == "sensitivity"} == {"Mass", "Nodule", MACRO}
    assert {row.outcome for row in found.gates} == {"not evaluated"}
    assert found.exit_code == ExitCode.INCOMPLETE


def test_what_was_measured_with_other_options_is_told_without_a_claim(old: Path, worse: Path, tmp_path: Path) -> None:
    def edit(results: dict[str, Any]) -> None:
        results["audit"]["analyses"][0]["options"] = {"folds": 3}

    found = difference(edited(old, tmp_path / "edited", edit), worse, gates(tmp_path, "metric: auroc, claim: not_shown_worse"))
    assert {change.row.verdict for change in found.estimated} == {None}
    assert {str(change.row.note).split("; ")[-1] for change in found.changes} == {
        "performance was measured with other options: no claim"
    }
    assert [row.outcome for row in found.gates] == ["passed", "inconclusive"]


def test_networks_of_one_side_are_told_with_the_weights_that_they_share(old: Path, tables: Tables, tmp_path: Path) -> None:
    renamed = {("bce" if name == "bce" else "focal2", seed): table for (name, seed), table in tables.scores.items()}
    found = difference(old, audited(tmp_path, replace(tables, scores=renamed)))
    assert [fact for fact in found.facts if fact.topic == "networks"] == [
        ("networks", "focal2 · scores · seed 0", "", f"there, with the weights of {FOCAL}"),
        ("networks", FOCAL, "there, with the weights of focal2 · scores · seed 0", ""),
    ]


# Several networks of a strategy


def test_a_strategy_of_several_networks_is_judged_by_their_mean_over_seeds_too(tmp_path: Path) -> None:
    before = drawn(networks=[("bce", 0), ("focal", 0), ("focal", 1)])
    lots = np.random.default_rng(3)
    scores = {name: t + lots.normal(0, 2, t.shape) * (name[0] == "focal") for name, t in before.scores.items()}
    sides = audited(tmp_path / "old", before), audited(tmp_path / "new", replace(before, scores=scores))
    found = difference(*sides, gates(tmp_path, "metric: auroc, claim: not_shown_worse, strategy: focal"))
    together = next(c for c in found.changes if c.networks == 2 and (c.row.metric, c.row.class_name) == ("auroc", MACRO))
    assert (together.who, together.row.about) == ("focal · scores · 2 networks", "strategies")
    each = [c.row.difference for c in found.changes if c.networks == 1 and (c.row.metric, c.row.class_name) == ("auroc", MACRO)]
    assert together.row.difference == pytest.approx(np.mean([d for d in each if d is not None]))
    assert [row.estimate for row in found.gates] == [together.row.difference]


# Something is not as it should be


def test_a_digit_changed_by_hand_is_found(old: Path, tmp_path: Path) -> None:
    def edit(results: dict[str, Any]) -> None:
        row = next(row for row in results["summaries"] if (row["metric"], row["class"]) == ("auroc", "Mass"))
        row["value"] = round(row["value"] + 0.01, 3)

    found = difference(old, edited(old, tmp_path / "edited", edit))
    assert found.exit_code == ExitCode.INCOMPLETE
    assert len(found.altered) == 1
    assert found.altered[0].startswith("AUROC, Mass, bce · scores · seed 0: value 0.")
    assert "although no case that it rests on moved" in found.altered[0]


def test_a_contrast_changed_by_hand_is_found(old: Path, tmp_path: Path) -> None:
    def edit(results: dict[str, Any]) -> None:
        next(row for row in results["comparisons"] if row["metric"] == "auroc")["low"] += 0.01

    found = difference(old, edited(old, tmp_path / "edited", edit))
    assert (len(found.altered), found.exit_code) == (1, ExitCode.INCOMPLETE)
    assert "focal minus bce (scores): low" in found.altered[0]


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        ("ledger.db", "no ledger.db lies beside its results.json, so it holds no value per case"),
        ("plan.json", "no plan.json lies beside its results.json, so it holds no value per case"),
    ],
)
def test_without_cases_numbers_are_numbers_and_no_claim_is_made(
    old: Path, worse: Path, tmp_path: Path, lost: str, why: str
) -> None:
    shutil.copytree(worse, tmp_path / "shared")
    (tmp_path / "shared" / lost).unlink()
    found = difference(old, tmp_path / "shared", gates(tmp_path, "metric: auroc, claim: not_shown_worse, strategy: focal"))
    assert (found.why_not, found.changes, found.exit_code) == (
        f"the new audit cannot be paired: {why}",
        (),
        ExitCode.INCOMPLETE,
    )
    auroc = [number for number in found.numbers if (number.metric, number.class_name) == ("auroc", MACRO)]
    assert [number.model for number in auroc] == [FOCAL]
    assert auroc[0].old is not None
    assert auroc[0].old.low is not None
    assert [row.outcome for row in found.gates] == ["not evaluated"]
    assert why in found.gates[0].sentence


def test_results_json_alone_is_a_side_too(old: Path, worse: Path, tmp_path: Path) -> None:
    shutil.copy(worse / "results.json", tmp_path / "results.json")
    assert difference(old, tmp_path / "results.json").numbers == difference(old, tmp_path).numbers != ()


def test_a_run_that_was_stopped_after_its_results_is_not_paired(old: Path, tmp_path: Path) -> None:
    shutil.copytree(old, tmp_path / "stopped")
    plan = json.loads((tmp_path / "stopped" / "plan.json").read_text())
    (tmp_path / "stopped" / "plan.json").write_text(json.dumps({**plan, "title": "Another"}))
    found = difference(old, tmp_path / "stopped")
    assert found.exit_code == ExitCode.INCOMPLETE
    assert str(found.why_not).startswith("the new audit cannot be paired: its results.json does not belong to its plan.json")


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be read as one" * 40])
def test_a_damaged_ledger_is_a_sentence_and_no_traceback(old: Path, tmp_path: Path, damage: bytes) -> None:
    shutil.copytree(old, tmp_path / "damaged")
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / "damaged" / name).unlink(missing_ok=True)
    (tmp_path / "damaged" / "ledger.db").write_bytes(damage)
    found = difference(old, tmp_path / "damaged")
    assert found.exit_code == ExitCode.INCOMPLETE
    assert found.why_not


def test_an_incomplete_run_is_told_and_ends_with_3(old: Path, tmp_path: Path) -> None:
    def edit(results: dict[str, Any]) -> None:
        results["findings"].append(
            {"kind": "alarm", "text": "The analysis failed.", "metric": None, "strategy": None, "class": None}
        )

    found = difference(old, edited(old, tmp_path / "alarmed", edit))
    assert found.incomplete == ("the new audit is incomplete; its report opens with what failed",)
    assert [tuple(outcome) for outcome in found.outcomes] == [("alarm", "The analysis failed.", "", "said")]
    assert found.exit_code == ExitCode.INCOMPLETE


def test_audits_without_a_common_image_network_or_class_are_not_paired(old: Path, tables: Tables, tmp_path: Path) -> None:
    others = {
        "no image is in both audits": replace(tables, samples=tuple(f"other-{name}" for name in tables.samples)),
        "no network (strategy, architecture, seed) is in both audits": replace(
            tables, scores={(f"{name}2", seed): table for (name, seed), table in tables.scores.items()}
        ),
        "no class is in both audits": replace(tables, classes=("One", "Two")),
    }
    for number, (why, other) in enumerate(others.items()):
        found = difference(old, audited(tmp_path / str(number), other))
        assert (found.why_not, found.exit_code) == (why, ExitCode.INCOMPLETE)


# Gates and exit codes


def test_gates_are_held_against_the_change_and_decide_the_exit_code(old: Path, worse: Path, tmp_path: Path) -> None:
    path = gates(tmp_path, "metric: auroc, claim: noninferior, margin: 0.02", "metric: auroc, claim: at_least, value: 0.5")
    found = difference(old, worse, path)
    assert [(row.gate, row.strategy, row.outcome) for row in found.gates] == [(1, "bce", "passed"), (1, "focal", "failed")]
    assert found.notes == ("gate 2 (at_least) is about a level and not about a change; auditor gate judges it",)
    assert found.exit_code == ExitCode.GATE_FAILED
    advisory = gates(tmp_path, "metric: auroc, claim: noninferior, margin: 0.02, tier: advisory")
    assert difference(old, worse, advisory).exit_code == ExitCode.COMPLETE
    better = difference(worse, old, path)
    assert [row.outcome for row in better.gates] == ["passed", "passed"]


def test_a_gate_that_these_data_cannot_answer_ends_with_3(old: Path, tables: Tables, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).normal(0, 0.4, tables.labels.shape)
    new = audited(tmp_path, tables.with_scores(("focal", 0), tables.scores["focal", 0] + noise))
    found = difference(old, new, gates(tmp_path, "metric: auroc, claim: noninferior, margin: 0.001, strategy: focal"))
    assert ([row.outcome for row in found.gates], found.exit_code) == (["inconclusive"], ExitCode.INCOMPLETE)


@pytest.mark.parametrize("content", ["gates: []\n", "gates: [{metric: auroc, claim: at_least, value: 0.5}]\n"])
def test_a_file_without_a_gate_on_the_change_does_not_pass(old: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "gates.yaml").write_text(content)
    assert difference(old, old, tmp_path / "gates.yaml").exit_code == ExitCode.INCOMPLETE


def test_the_reference_can_be_gated_too_and_mistakes_are_told_with_their_place(old: Path, tmp_path: Path) -> None:
    path = gates(tmp_path, "metric: auroc, claim: not_shown_worse, strategy: bce")
    assert [row.outcome for row in difference(old, old, path).gates] == ["passed"]
    wrong = gates(tmp_path, "metric: aurok, claim: not_shown_worse", "metric: auroc, claim: not_shown_worse, strategy: fokal")
    with pytest.raises(ConfigError) as error:
        difference(old, old, wrong)
    assert [line.removeprefix(str(tmp_path)) for line in str(error.value).splitlines()] == [
        (
            "/gates.yaml:2:14: gates[0].metric: found 'aurok'; allowed: a metric of which one direction is better: "
            "auroc, average_precision; did you mean auroc?"
        ),
        "/gates.yaml:3:55: gates[1].strategy: found 'fokal'; allowed: bce, focal; did you mean focal?",
    ]


def test_a_margin_by_hand_stands_in_for_the_declared_one(old: Path, worse: Path) -> None:
    def verdicts(found: Difference) -> set[str | None]:
        return {change.row.verdict for change in found.changes if change.row.metric == "auroc"}

    assert verdicts(difference(old, worse, margins={"auroc": 0.9})) <= {"different but negligible", "equivalent"}
    assert "different" in verdicts(difference(old, worse))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("auroc", "--margin auroc: allowed: METRIC=SIZE, for example auroc=0.02"),
        ("auroc=x", "--margin auroc=x: allowed: METRIC=SIZE, for example auroc=0.02"),
        ("aurok=0.1", "--margin aurok: allowed: a metric of the new audit; did you mean auroc?"),
        ("auroc=-1", "--margin auroc=-1: allowed: a number above 0 and below 1, the whole range of auroc"),
        ("auroc=nan", "--margin auroc=nan: allowed: a number above 0 and below 1, the whole range of auroc"),
    ],
)
def test_a_margin_that_cannot_be_is_refused(old: Path, capsys: pytest.CaptureFixture[str], given: str, message: str) -> None:
    assert main(["diff", str(old), str(old), "--margin", given]) == 2
    assert capsys.readouterr().err == f"auditor: {message}\n"


def test_a_run_that_is_not_there_is_refused(old: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"found no such folder; allowed: the folder of a finished run, or its results.json"):
        difference(old, tmp_path / "nowhere")
    with pytest.raises(AuditError, match=r"found no results.json; allowed: the folder of a finished run"):
        difference(tmp_path, old)
    (tmp_path / "results.json").write_text("{}")
    assert main(["diff", str(old), str(tmp_path)]) == 2


def test_results_that_lack_a_part_are_refused_by_its_name(old: Path, tmp_path: Path) -> None:
    broken = edited(old, tmp_path / "broken", lambda results: results["audit"].pop("claims"))
    with pytest.raises(AuditError, match=r"found no audit\.claims; allowed: the results\.json of a finished run, unchanged"):
        difference(broken, old)
