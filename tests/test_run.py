"""The whole flow on networks and images small enough for a second."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor import ExitCode
from auditor.errors import AuditError, ConfigError, ModelRefused, OutputError
from auditor.run import run
from auditor.statistics.rows import BASELINE

Write = Callable[..., Path]
LENS = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def number(found: dict[str, Any], metric: str, class_name: str = "(macro)") -> dict[str, float | None]:
    rows = [row for row in found["summaries"] if row["metric"] == metric and row["class"] == class_name]
    return {row["strategy"]: row["value"] for row in rows if row["strategy"] != BASELINE}


def test_an_audit_ends_with_numbers_for_every_metric_and_a_report(write_audit: Write, tmp_path: Path) -> None:
    result = run(write_audit(), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert result.exit_code == ExitCode.COMPLETE
    assert result.html is not None
    assert result.html.stat().st_size > 10_000
    for metric in ("auroc", "average_precision", "iobb", "ior", "iou", "pointing_game", "disjoint_concepts", "unique_concepts"):
        values = number(found, metric)
        assert set(values) - {"(blind)"} == {"bce", "focal"}, metric
        assert all(value is not None for value in values.values()), metric
    contrasts = {row["metric"] for row in found["comparisons"] if row["difference"] is not None}
    assert {"auroc", "iobb", "disjoint_concepts"} <= contrasts
    assert found["accounting"]["listed"] == found["accounting"]["used"] == 40


def test_every_image_is_read_once_and_goes_once_through_each_network(
    write_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    run(write_audit(attributions="[gradcam, cam]"), tmp_path / "out", device="cpu")
    assert counts["reads"] == 40
    batches, probes = 40 // 4, 2
    assert counts["forwards"] == 2 * (batches + probes)


def test_a_second_run_reads_nothing_and_runs_no_forward_pass(write_audit: Write, tmp_path: Path, counts: Counter[str]) -> None:
    run(write_audit(), tmp_path / "out", device="cpu")
    first = (tmp_path / "out" / "results.json").read_bytes()
    counts.clear()
    run(write_audit(), tmp_path / "out", device="cpu")
    assert counts == Counter()
    assert (tmp_path / "out" / "results.json").read_bytes() == first


def test_the_card_can_be_filled_in_later_and_date_and_size_stay_those_of_the_measurement(
    write_audit: Write, tmp_path: Path, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    run(write_audit(), tmp_path / "out", device="cpu")
    first = results(tmp_path / "out")
    assert first["environment"]["date"] == "1970-01-02"
    assert first["audit"]["card"]["system"]["name"] is None
    counts.clear()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "864000")
    run(write_audit(card="{system: {name: Tiny, users: [a, b]}}"), tmp_path / "out", device="cpu")
    again = results(tmp_path / "out")
    assert counts == Counter()
    assert again["audit"]["card"]["system"] | {"name": None, "users": None} == first["audit"]["card"]["system"]
    assert (again["audit"]["card"]["system"]["name"], again["audit"]["card"]["system"]["users"]) == ("Tiny", ["a", "b"])
    assert {key: value for key, value in again.items() if key != "audit"} == {
        key: value for key, value in first.items() if key != "audit"
    }
    assert [model["parameters"] for model in again["models"]] == [(3 * 9 + 1) * 8 + (8 * 9 + 1) * 12 + (12 + 1) * 3] * 2


def test_adding_an_attribution_runs_only_that(write_audit: Write, tmp_path: Path, counts: Counter[str]) -> None:
    run(write_audit(), tmp_path / "out", device="cpu")
    counts.clear()
    run(write_audit(attributions="[gradcam, cam]"), tmp_path / "out", device="cpu")
    assert counts["reads"] == 0
    assert counts["forwards"] == 2 * (10 + 2)


def test_a_changed_dissection_option_needs_only_its_own_pass(write_audit: Write, tmp_path: Path, counts: Counter[str]) -> None:
    run(write_audit(), tmp_path / "out", device="cpu")
    before = number(results(tmp_path / "out"), "iobb")
    counts.clear()
    run(write_audit(analyses="[performance, alignment, {use: dissection, quantile: 0.2}]"), tmp_path / "out", device="cpu")
    assert counts["reads"] == 0
    assert number(results(tmp_path / "out"), "iobb") == before


def test_an_audit_without_maps_or_features_leaves_the_gaps_of_a_score_table_visible(write_audit: Write, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    rows = [f"image-{n:03d},{0.1 + n / 100:.4f},{0.9 - n / 100:.4f},{0.5}" for n in range(40)]
    table.write_text("image,Nodule,Effusion,Mass\n" + "\n".join(rows) + "\n")
    models = f"\n  - {{use: scores, strategy: bce, table: '{table}', values: probabilities}}"
    result = run(write_audit(models=models), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert {(gap["analysis"], gap["n"]) for gap in found["gaps"]} >= {("alignment", 0), ("dissection", 0)}
    assert number(found, "auroc", "Mass") == {"bce": 0.5}
    assert result.exit_code == ExitCode.COMPLETE


def test_a_plugin_that_raises_loses_only_its_own_section(write_audit: Write, tmp_path: Path) -> None:
    run(write_audit(), tmp_path / "whole", device="cpu")
    both = "[performance, stumbling, alignment, {use: dissection, quantile: 0.04}]"
    result = run(write_audit(analyses=both), tmp_path / "out", device="cpu")
    found, whole = results(tmp_path / "out"), results(tmp_path / "whole")
    assert result.exit_code == ExitCode.INCOMPLETE
    assert [gap["reason"] for gap in found["gaps"] if gap["analysis"] == "stumbling"] == [
        "failed: ZeroDivisionError: on purpose"
    ] * 2
    assert any("stumbling" in finding["text"] for finding in found["findings"] if finding["kind"] == "alarm")
    assert [row for row in found["summaries"] if row["metric"] != "stumble"] == whole["summaries"]
    with pytest.raises(AuditError, match=r"stumbling failed for bce.*on purpose") as stopped:
        run(write_audit(analyses=both), tmp_path / "strict", device="cpu", strict=True)
    assert stopped.value.exit_code == ExitCode.INCOMPLETE


def test_a_plugin_that_misses_a_file_of_its_own_does_not_end_the_run(write_audit: Write, tmp_path: Path) -> None:
    analyses = f"[performance, {{use: stumbling, file: '{tmp_path / 'gone.csv'}'}}]"
    result = run(write_audit(analyses=analyses), tmp_path / "out", device="cpu")
    reasons = {gap["reason"] for gap in results(tmp_path / "out")["gaps"] if gap["analysis"] == "stumbling"}
    assert result.exit_code == ExitCode.INCOMPLETE
    assert len(reasons) == 1
    assert "FileNotFoundError" in reasons.pop()
    assert number(results(tmp_path / "out"), "auroc")


def test_a_failed_unit_is_tried_again_and_the_others_are_not(write_audit: Write, tmp_path: Path, counts: Counter[str]) -> None:
    audit = write_audit(analyses="[performance, stumbling]", attributions="[gradcam]")
    run(audit, tmp_path / "out", device="cpu")
    counts.clear()
    assert run(audit, tmp_path / "out", device="cpu").exit_code == ExitCode.INCOMPLETE
    assert counts["reads"] == 0
    assert counts["forwards"] > 0


def test_unreadable_images_and_numbers_that_are_none_are_accounted_for(write_audit: Write, tmp_path: Path) -> None:
    audit = write_audit(dataset="{use: tiny, unreadable: [3, 7], nan_pixels: [9], odd_boxes: true}")
    result = run(audit, tmp_path / "out", device="cpu")
    accounting = results(tmp_path / "out")["accounting"]
    reasons = {item["id"]: item["reason"] for item in accounting["quarantined"]}
    assert reasons == {"image-003": "decode:truncated", "image-007": "decode:truncated", "image-009": "nonfinite-pixels"}
    assert accounting["listed"] == accounting["used"] + len(accounting["quarantined"]) == 40
    boxes = accounting["boxes"]
    assert boxes["listed"] == boxes["used"] + len(boxes["quarantined"])
    assert {box["reason"] for box in boxes["quarantined"]} == {"box outside the image", "box has no area", "image quarantined"}
    assert boxes["clipped"] == 1
    assert result.exit_code == ExitCode.INCOMPLETE
    allowed = write_audit(dataset="{use: tiny, unreadable: [3, 7], nan_pixels: [9]}", max_quarantine="0.1")
    assert run(allowed, tmp_path / "allowed", device="cpu").exit_code == ExitCode.COMPLETE


def test_a_model_without_finite_answers_is_failed_and_blames_no_image(write_audit: Write, tmp_path: Path) -> None:
    models = (
        f"\n  - {{use: tiny_network, strategy: bce, weights: 1, {LENS}}}"
        f"\n  - {{use: tiny_network, strategy: focal, weights: 2, overflow_on_bright: true, {LENS}}}"
    )
    result = run(write_audit(models=models), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert result.exit_code == ExitCode.INCOMPLETE
    assert "no usable answer" in found["models"][1]["error"]
    assert found["accounting"]["used"] == 40
    assert found["accounting"]["listed"] == found["accounting"]["used"] + len(found["accounting"]["quarantined"])
    assert all(row["value"] is not None for row in found["summaries"] if row["strategy"] == "bce" and row["class"] == "(macro)")


def test_a_class_without_positives_is_not_estimable_and_leaves_the_macro(write_audit: Write, tmp_path: Path) -> None:
    run(write_audit(dataset="{use: tiny, only: Nodule}"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    rows = {row["class"]: row for row in found["summaries"] if row["metric"] == "auroc" and row["strategy"] == "bce"}
    assert rows["Mass"]["value"] is None
    assert "0 positives" in rows["Mass"]["missing"]
    assert rows["(macro)"]["value"] == rows["Nodule"]["value"]
    assert rows["(macro)"]["n"] == 1


def test_a_dead_network_has_no_concepts(write_audit: Write, tmp_path: Path) -> None:
    models = f"\n  - {{use: tiny_network, strategy: bce, dead: true, {LENS}}}"
    run(write_audit(models=models), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert number(found, "disjoint_concepts", "(image)") == {"bce": 0.0}
    assert number(found, "dead_channels", "(model)") == {"bce": 12.0}


def test_concept_counts_do_not_depend_on_the_batch_size(write_audit: Write, tmp_path: Path) -> None:
    found = {}
    for batch in (1, 7, 64):
        run(write_audit(batch=str(batch)), tmp_path / str(batch), device="cpu")
        rows = results(tmp_path / str(batch))["summaries"]
        found[batch] = [
            row for row in rows if row["analysis"] == "dissection" and row["metric"] in ("disjoint_concepts", "unique_concepts")
        ]
    assert found[1] == found[7] == found[64]


def test_one_network_under_two_names_shows_no_difference(write_audit: Write, tmp_path: Path) -> None:
    models = "".join(f"\n  - {{use: tiny_network, strategy: {name}, weights: 1, {LENS}}}" for name in ("bce", "twin"))
    run(write_audit(models=models), tmp_path / "out", device="cpu")
    rows = [row for row in results(tmp_path / "out")["comparisons"] if row["difference"] is not None]
    assert rows
    assert {row["difference"] for row in rows} == {0.0}
    for row in rows:  # what no patient moves has an interval from how many patients there are, or none (docs/methods.md, B.1)
        assert row["low"] is None if row["high"] is None else row["low"] < 0 < row["high"]
        assert row["verdict"] in (None, "inconclusive")


def test_a_two_layer_head_is_explained_through_its_gradient(write_audit: Write, tmp_path: Path) -> None:
    models = f"\n  - {{use: tiny_network, strategy: bce, head_layers: 2, {LENS}}}"
    assert run(write_audit(models=models), tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    failed = run(write_audit(models=models, attributions="[cam]"), tmp_path / "cam", device="cpu")
    assert failed.exit_code == ExitCode.INCOMPLETE
    assert any("gradcam" in gap["reason"] for gap in results(tmp_path / "cam")["gaps"])


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        (
            {"models": f"[{{use: tiny_network, strategy: bce, classes: [Nodule, Efusion, Mass], {LENS}}}]"},
            ConfigError,
            "did you mean Effusion",
        ),
        (
            {"models": f"[{{use: tiny_network, strategy: bce, classes: [Nodule, Effusion, Mass, Hernia], {LENS}}}]"},
            ModelRefused,
            "3 outputs, and 4",
        ),
        (
            {"models": f"[{{use: tiny_network, strategy: bce, layers: {{attribution: featurs}}, {LENS}}}]"},
            ModelRefused,
            "did you mean features?",
        ),
        (
            {"models": f"[{{use: tiny_network, strategy: bce, layers: {{attribution: head}}, {LENS}}}]"},
            ModelRefused,
            "not maps",
        ),
        ({"analyses": "[performance, alinment]"}, ConfigError, "did you mean alignment"),
        ({"dataset": "{use: tiny, images: 0}"}, ConfigError, "no sample is listed"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_measured(
    write_audit: Write, tmp_path: Path, lines: dict[str, str], error: type[AuditError], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        run(write_audit(**lines), tmp_path / "out", device="cpu")
    assert "audit.yaml:" in str(refused.value)
    assert refused.value.exit_code == ExitCode.REFUSED
    assert not (tmp_path / "out" / "results.json").exists()


def test_permuted_class_names_give_the_same_auroc_by_name(write_audit: Write, tmp_path: Path) -> None:
    """Outputs are matched by name: declaring them in another order moves each column to its name."""
    run(write_audit(), tmp_path / "out", device="cpu")
    turned = f"\n  - {{use: tiny_network, strategy: bce, weights: 1, classes: [Mass, Nodule, Effusion], {LENS}}}"
    run(write_audit(models=turned), tmp_path / "turned", device="cpu")
    straight, other = results(tmp_path / "out"), results(tmp_path / "turned")
    assert straight["models"][0]["outputs"] == ["Nodule", "Effusion", "Mass"]
    assert other["models"][0]["outputs"] == ["Mass", "Nodule", "Effusion"]
    assert number(straight, "auroc", "Nodule")["bce"] != number(other, "auroc", "Nodule")["bce"]


def test_two_runs_cannot_share_a_folder(write_audit: Write, tmp_path: Path) -> None:
    from auditor.ledger import locked

    with locked(tmp_path / "out"), pytest.raises(OutputError, match="in use by process"):
        run(write_audit(), tmp_path / "out", device="cpu")


def test_a_folder_that_cannot_be_written_is_an_output_error(write_audit: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        run(write_audit(), tmp_path / "file" / "out", device="cpu")


def command(audit: Path, out: Path, **environment: str) -> list[str]:
    return [sys.executable, "-m", "auditor", "run", str(audit), "--out", str(out), "--device", "cpu"]


@pytest.mark.slow
def test_killed_anywhere_and_run_again_it_ends_as_if_it_had_not_been(write_audit: Write, tmp_path: Path) -> None:
    audit = write_audit(dataset="{use: tiny, images: 300}")
    run(audit, tmp_path / "straight", device="cpu")
    expected = (tmp_path / "straight" / "results.json").read_bytes()
    for delay in (0.5, 1.5, 2.5, 3.0, 3.5, 4.0):
        child = subprocess.Popen(command(audit, tmp_path / "cut"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    run(audit, tmp_path / "cut", device="cpu")
    assert (tmp_path / "cut" / "results.json").read_bytes() == expected


def test_interrupted_after_any_chunk_it_ends_as_if_it_had_not_been(write_audit: Write, tmp_path: Path) -> None:
    class StopAfter:
        def __init__(self, chunks: int) -> None:
            self.left = chunks

        def start(self, total: int, label: str) -> None: ...
        def finish(self) -> None: ...
        def advance(self, n: int, note: str) -> None:
            self.left -= n
            if self.left <= 0:
                raise KeyboardInterrupt

    audit = write_audit(dataset="{use: tiny, images: 200}", batch="16")
    run(audit, tmp_path / "straight", device="cpu")
    expected = (tmp_path / "straight" / "results.json").read_bytes()
    for chunks in (1, 2, 3, 4, 5):
        with pytest.raises(KeyboardInterrupt):
            run(audit, tmp_path / "cut", device="cpu", progress=StopAfter(chunks))
    run(audit, tmp_path / "cut", device="cpu")
    assert (tmp_path / "cut" / "results.json").read_bytes() == expected


def test_a_full_disk_ends_with_exit_5_and_can_be_resumed(write_audit: Write, tmp_path: Path) -> None:
    """A file size limit stands in for a full disk: writes fail with EFBIG somewhere in the middle."""
    audit = write_audit()
    limited = ["bash", "-c", 'ulimit -f "$1"; shift; exec "$@"', "limit", "60", *command(audit, tmp_path / "out")]
    ended = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.OUTPUT_UNUSABLE, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "run again" in ended.stderr
    assert not (tmp_path / "out" / "results.json").exists()
    assert run(audit, tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    run(audit, tmp_path / "straight", device="cpu")
    assert (tmp_path / "out" / "results.json").read_bytes() == (tmp_path / "straight" / "results.json").read_bytes()
