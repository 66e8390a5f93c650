"""How gates are declared, that they measure nothing, and what the shell is told of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from example import EXAMPLE

from auditor import OutputError
from auditor import run as runs
from auditor.cli import main
from auditor.errors import ConfigError, ExitCode, MissingLibrary
from auditor.evidence import Evidence
from auditor.gated import line
from auditor.gates import CLAIMS, text
from auditor.regate import AFTERWARDS, NONE, judge_again
from auditor.schema import schema
from auditor.validate import validate

Write = Callable[..., Path]

# How a gate is declared

DIRECTED = (
    "a metric of which one direction is better: auroc, average_precision, kappa_loc, kappa_auc, kappa_pointing, cbl_excess, cbl, "
    "pixel_auc, pointing_game, iou, empty_map, disjoint_excess and 7 more"
)
NOT_CONTRASTED = "dead_channels, of which lower is better and which is not contrasted"
KEYS = "metric, claim, strategy, class, attribution, margin, value, tier"
CLASSES = "(macro), (head), (medium), (tail), (image), (model), Nodule, Effusion, Mass"
GOLDEN: dict[str, tuple[str, list[str]]] = {
    "a metric nobody knows": ("{metric: aurok, claim: noninferior}", [
        f"13:18: gates[0].metric: found 'aurok'; allowed: {DIRECTED}; did you mean auroc?",
    ]),
    "a metric without a better direction": ("{metric: iobb, claim: at_least, value: 0.3}", [
        f"13:18: gates[0].metric: found 'iobb', of which neither direction is better; allowed: {DIRECTED}",
    ]),
    "a claim nobody knows": ("{metric: auroc, claim: atleast, value: 0.7}", [
        "13:32: gates[0].claim: found 'atleast'; allowed: noninferior, not_shown_worse, at_least, at_most; did you mean at_least?",
    ]),
    "no claim": ("{metric: auroc}", [
        "13:9: gates[0].claim: is missing; allowed: noninferior, not_shown_worse, at_least, at_most",
    ]),
    "a floor where lower is better": ("{metric: empty_map, claim: at_least, value: 0.1}", [
        "13:36: gates[0].claim: found 'at_least'; allowed for empty_map, of which lower is better: noninferior, not_shown_worse, at_most",
    ]),
    "a contrast of what is not contrasted": ("{metric: dead_channels, claim: noninferior, margin: 3}", [
        f"13:40: gates[0].claim: found 'noninferior'; allowed for {NOT_CONTRASTED}: at_most",
    ]),
    "a level without a value": ("{metric: auroc, claim: at_least}", [
        "13:9: gates[0].value: is missing; allowed: a number from 0 to 1, as auroc is",
    ]),
    "a value that the metric cannot reach": ("{metric: auroc, claim: at_least, value: 75}", [
        "13:49: gates[0].value: found 75; allowed: a number from 0 to 1, as auroc is",
    ]),
    "no margin anywhere": ("{metric: iou, claim: noninferior}", [
        "13:9: gates[0].margin: is missing; allowed: a number above 0, here or as claims.margin.iou",
    ]),
    "options of other claims": ("{metric: auroc, claim: not_shown_worse, margin: 0.1, value: 0.5}", [
        "13:49: gates[0].margin: found with not_shown_worse; allowed: with noninferior only",
        "13:62: gates[0].value: found with not_shown_worse; allowed: with at_least and at_most only",
    ]),
    "a margin of nothing": ("{metric: auroc, claim: noninferior, margin: 0}", ["13:53: gates[0].margin: found 0; allowed: more than 0.0"]),
    "a margin that no difference exceeds": ("{metric: auroc, claim: noninferior, margin: 2}", [
        "13:53: gates[0].margin: found 2; allowed: less than 1, the whole range of auroc",
    ]),
    "the reference against itself": ("{metric: auroc, claim: noninferior, strategy: bce}", [
        "13:55: gates[0].strategy: found 'bce', the reference itself; allowed: focal",
    ]),
    "a strategy nobody is": ("{metric: auroc, claim: at_least, value: 0.5, strategy: focl}", [
        "13:64: gates[0].strategy: found 'focl'; allowed: bce, focal; did you mean focal?",
    ]),
    "a class nobody knows": ("{metric: auroc, claim: noninferior, class: Nodul}", [
        f"13:52: gates[0].class: found 'Nodul'; allowed: {CLASSES}; did you mean Nodule?",
    ]),
    "maps where there are none": ("{metric: auroc, claim: noninferior, attribution: gradcam}", [
        "13:45: gates[0].attribution: found with auroc, which is not measured on maps; allowed: nothing",
    ]),
    "a map nobody made": ("{metric: cbl, claim: at_least, value: 0.1, attribution: gradcm}", [
        "13:65: gates[0].attribution: found 'gradcm'; allowed: gradcam; did you mean gradcam?",
    ]),
    "a key nobody knows": ("{metric: auroc, claim: noninferior, tear: advisory}", [
        f"13:45: gates[0].tear: unknown key; allowed: {KEYS}; did you mean tier?",
    ]),
    "our name for a key": ("{metric: auroc, claim: noninferior, class_name: Mass}", [
        f"13:45: gates[0].class_name: unknown key; allowed: {KEYS}; did you mean class?",
    ]),
    "a tier nobody knows": ("{metric: auroc, claim: noninferior, tier: advisry}", [
        "13:51: gates[0].tier: found 'advisry'; allowed: blocking, advisory; did you mean advisory?",
    ]),
    "the same twice": ("{metric: auroc, claim: noninferior}, {claim: noninferior, metric: auroc}", [
        "13:46: gates[1]: found the same as gates[0]; allowed: once",
    ]),
    "a word": ("auroc", ["13:9: gates[0]: found 'auroc'; allowed: a mapping"]),
    "several gates at once": ("{metric: aurok, claim: noninferior}, {metric: auroc, claim: at_most, value: 2, class: Mas}", [
        f"13:18: gates[0].metric: found 'aurok'; allowed: {DIRECTED}; did you mean auroc?",
        "13:69: gates[1].claim: found 'at_most'; allowed for auroc, of which higher is better: noninferior, not_shown_worse, at_least",
        "13:85: gates[1].value: found 2; allowed: a number from 0 to 1, as auroc is",
        f"13:95: gates[1].class: found 'Mas'; allowed: {CLASSES}; did you mean Mass?",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_every_mistake_in_a_gate_has_its_line(name: str, write_audit: Write) -> None:
    gates, expected = GOLDEN[name]
    audit = write_audit(gates=f"[{gates}]")
    with pytest.raises(ConfigError) as caught:
        validate(audit)
    assert str(caught.value).replace(f"{audit}:", "").split("\n") == expected


def test_a_wrong_gate_is_refused_before_anything_is_read(write_audit: Write, tmp_path: Path, counts: Counter[str]) -> None:
    with pytest.raises(ConfigError, match="did you mean auroc"):
        runs.run(write_audit(gates="[{metric: aurok, claim: noninferior}]"), tmp_path / "out")
    assert not counts


def test_an_audit_of_one_strategy_has_nothing_to_contrast_and_names_the_way_to_a_floor(write_audit: Write) -> None:
    models = "[{use: tiny_network, strategy: bce, weights: 1}]"
    with pytest.raises(ConfigError) as caught:
        validate(
            write_audit(
                models=models, gates="[{metric: auroc, claim: noninferior}, {metric: auroc, claim: at_least, value: 0}]"
            )
        )
    contrast, level = str(caught.value).split("\n")
    assert contrast.endswith("gates[0]: found no strategy beside the reference bce")
    assert level.endswith("gates[1]: found no strategy beside the reference bce; allowed: strategy: bce")


def test_a_margin_that_is_not_written_is_that_of_the_claims(write_audit: Write) -> None:
    config = validate(
        write_audit(
            claims="{margin: {iou: 0.07}}",
            gates="[{metric: iou, claim: noninferior}, {metric: auroc, claim: noninferior}, {metric: iou, claim: noninferior, margin: 0.2}]",
        )
    ).config
    assert [gate.margin for gate in config.judged_gates] == [0.07, 0.02, 0.2]
    assert text(config.judged_gates) == text(config.judged_gates[::-1])
    assert text(config.judged_gates) != text(config.gates)


def test_the_schema_for_editors_asks_for_the_value_of_a_level_and_knows_the_words() -> None:
    shape = schema()
    gate = shape["$defs"]["Gate"]
    assert shape["properties"]["gates"]["items"] == {"$ref": "#/$defs/Gate"}
    assert gate["properties"]["claim"]["enum"] == list(CLAIMS)
    assert "class" in gate["properties"]
    assert gate["required"] == ["metric", "claim"]
    assert gate["allOf"][1] == {
        "if": {"properties": {"claim": {"enum": ["at_least", "at_most"]}}},
        "then": {"required": ["value"]},
        "else": {"properties": {"value": False}},
    }


def test_validate_says_how_many_gates_there_are(write_audit: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(write_audit(gates="[{metric: auroc, claim: noninferior}]"))]) == 0
    assert "  gates         1\n" in capsys.readouterr().out


# From the command line

GATES = "[{metric: auroc, claim: noninferior, margin: 0.9}, {metric: auroc, claim: at_least, value: 1, tier: advisory}]"
FAILING = "[{metric: auroc, claim: at_least, value: 1}]"
ONLY_SCORES = {"analyses": "[performance]", "attributions": "[]", "dataset": "{use: tiny, images: 120}"}


@pytest.fixture
def finished(write_audit: Write, tmp_path: Path) -> Path:
    """The folder of a finished run whose blocking gate passes."""
    assert runs.run(write_audit(gates=GATES, **ONLY_SCORES), tmp_path / "out").exit_code == 0
    return tmp_path / "out"


def test_other_gates_measure_nothing_and_are_said_to_have_come_afterwards(
    finished: Path, write_audit: Write, counts: Counter[str]
) -> None:
    before = json.loads((finished / "results.json").read_text())
    counts.clear()
    ended = runs.run(write_audit(gates=FAILING, **ONLY_SCORES), finished)
    assert ended.exit_code == ExitCode.GATE_FAILED
    assert ended.messages[0].startswith("gate 1  failed        blocking  auroc, ")
    assert not counts, "nothing was read or computed again"
    after = json.loads((finished / "results.json").read_text())
    assert after["audit"]["plan"] == before["audit"]["plan"]
    assert [after["audit"]["gates"]["afterwards"], before["audit"]["gates"]["afterwards"]] == [True, False]
    same = ("summaries", "comparisons", "findings", "gaps")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert "written or changed after the data had been measured" in (finished / "report.html").read_text()
    runs.run(write_audit(gates=GATES, **ONLY_SCORES), finished)
    assert json.loads((finished / "results.json").read_text()) == before


def test_a_run_is_judged_again_from_its_results_alone(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Evidence.from_json((finished / "results.json").read_text())
    for path in finished.iterdir():
        if path.name != "results.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["gate", str(finished)]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [line(row) for row in kept.gates]
    assert [row.outcome for row in kept.gates] == ["passed", "failed"]
    assert said.err == ""
    assert judge_again(finished).evidence.gates == kept.gates


def test_a_run_is_judged_by_the_gates_of_another_file_which_came_after_it(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("gates:\n  - {metric: auroc, claim: at_least, value: 1}\nmodels: {from: networks that are not here}\n")
    assert main(["gate", str(finished), "--audit", str(other)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("gate 1  failed        blocking  auroc, averaged over the classes, focal ")
    assert said.err == f"auditor: the gates of {other} are not those of the run: they came after it\n"
    other.write_text(f"gates: {GATES}\n")
    assert main(["gate", str(finished), "--audit", str(other)]) == 0
    assert capsys.readouterr().err == "", "the same gates, however they are written"


def test_gates_of_another_file_are_checked_against_what_the_run_measured(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("gates:\n  - {metric: aurok, claim: noninferior}\n  - {metric: auroc, claim: noninferior, class: Nodul}\n")
    assert main(["gate", str(finished), "--audit", str(other)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "auditor: 2 mistakes"
    assert said[1].startswith(f"{other}:2:14: gates[0].metric: found 'aurok'; allowed: ")
    assert said[2].endswith("Nodule, Effusion, Mass; did you mean Nodule?")


def test_a_run_without_gates_is_not_called_passed(
    write_audit: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.run(write_audit(**ONLY_SCORES), tmp_path / "out").exit_code == 0
    assert main(["gate", str(tmp_path / "out")]) == 3
    assert capsys.readouterr().err == f"auditor: {NONE}\n"


def test_what_is_said_of_late_gates_is_said_again(
    finished: Path, write_audit: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.run(write_audit(gates=FAILING, **ONLY_SCORES), finished)
    assert main(["gate", str(finished)]) == 1
    assert capsys.readouterr().err == f"auditor: {AFTERWARDS}\n"


def test_an_incomplete_run_does_not_pass_its_gates(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads((finished / "results.json").read_text())
    data["models"][0]["status"] = "failed"
    (finished / "results.json").write_text(json.dumps(data))
    assert main(["gate", str(finished)]) == 3
    assert "the run itself is incomplete" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["", "{}", "[1]", '{"audit": 1'])
def test_results_that_cannot_be_read_are_refused_in_a_line(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(broken)
    assert main(["gate", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"auditor: {tmp_path / 'results.json'}: cannot be read (")


def test_a_missing_pdf_does_not_hide_a_failed_gate(write_audit: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pdf(*_: object) -> None:
        raise MissingLibrary("the PDF needs WeasyPrint")

    monkeypatch.setattr("auditor.report.render", no_pdf)
    ended = runs.run(write_audit(gates=FAILING, **ONLY_SCORES), tmp_path / "out")
    assert (ended.exit_code, ended.messages[0]) == (ExitCode.GATE_FAILED, "the PDF needs WeasyPrint")
    ended = runs.run(write_audit(gates=GATES, **ONLY_SCORES), tmp_path / "out")
    assert ended.exit_code == ExitCode.INCOMPLETE


def test_an_unusable_folder_is_told_before_any_gate(
    write_audit: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("auditor.report.render", full)
    command = ["run", str(write_audit(gates=FAILING, **ONLY_SCORES)), "--out", str(tmp_path / "out"), "-q", "--device", "cpu"]
    assert main(command) == ExitCode.OUTPUT_UNUSABLE


def test_nothing_heavy_is_imported_to_judge_again(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "-X", "importtime", "-m", "auditor", "gate", "."]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 3
    imported = {row.split("|")[2].strip().split(".")[0] for row in found.stderr.splitlines() if row.count("|") == 2}
    assert "auditor" in imported
    assert imported.isdisjoint({"torch", "scipy", "numba", "PIL", "weasyprint", "jinja2"})
