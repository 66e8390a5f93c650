"""The training images as a second split of an audit: read once, seen once, accounted for, resumed, and told when they cannot be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor import ExitCode
from auditor.errors import ConfigError
from auditor.run import run

Write = Callable[..., Path]
BATCHES = {"audited": 400 // 50, "training": 200 // 50}
PROBES = 2


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def test_every_image_of_both_splits_is_read_once_and_seen_once_by_each_network(
    write_faint_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    run(write_faint_audit(analyses="[performance, calibration, logit_shift, embeddings]"), tmp_path / "out", device="cpu")
    assert counts["reads of test"] == 400
    assert counts["reads of train"] == 200
    assert counts["forwards"] == 2 * (BATCHES["audited"] + BATCHES["training"] + PROBES + 1)


def test_a_second_run_reads_nothing_and_a_new_limit_reads_only_the_training_images(
    write_faint_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    run(write_faint_audit(), tmp_path / "out", device="cpu")
    first = (tmp_path / "out" / "results.json").read_bytes()
    counts.clear()
    run(write_faint_audit(), tmp_path / "out", device="cpu")
    assert counts == Counter()
    assert (tmp_path / "out" / "results.json").read_bytes() == first
    run(write_faint_audit(training_images="{split: train, images: 200, limit: 100}"), tmp_path / "out", device="cpu")
    assert counts["reads of test"] == 0
    assert counts["reads of train"] == 100
    accounting = results(tmp_path / "out")["accounting"]["training_images"]
    assert (accounting["listed"], accounting["available"]) == (100, 200)


def test_training_images_that_no_analysis_asks_for_are_not_read(
    write_faint_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    run(write_faint_audit(analyses="[performance]"), tmp_path / "out", device="cpu")
    assert counts["reads of train"] == 0
    assert "training_images" not in results(tmp_path / "out")["accounting"]


def test_the_other_analyses_say_the_same_with_and_without_training_images(write_faint_audit: Write, tmp_path: Path) -> None:
    run(write_faint_audit(), tmp_path / "with", device="cpu")
    run(write_faint_audit(training_images="null"), tmp_path / "without", device="cpu")
    both = [results(tmp_path / name) for name in ("with", "without")]
    rows = [[row for row in found["summaries"] if row["analysis"] == "performance"] for found in both]
    assert rows[0] == rows[1]
    assert both[0]["accounting"]["used"] == both[1]["accounting"]["used"] == 400


def test_unreadable_training_images_are_accounted_for(write_faint_audit: Write, tmp_path: Path) -> None:
    path = write_faint_audit(training_images="{split: train, images: 200, unreadable: 30}", max_quarantine="0.2")
    assert run(path, tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    found = results(tmp_path / "out")
    training = found["accounting"]["training_images"]
    assert training["listed"] == training["used"] + len(training["quarantined"]) == 200
    assert {item["reason"] for item in training["quarantined"]} == {"decode:truncated"}
    assert found["accounting"]["quarantined"] == []
    (asked,) = [
        r for r in found["summaries"] if (r["metric"], r["class"], r["strategy"]) == ("margin_shift_negative", "Rare", "few")
    ]
    positives = training["positive"]["Rare"]
    assert asked["n"] == (400 - found["dataset"]["counts"]["Rare"]["positive"]) + (170 - positives)
    strict = write_faint_audit(training_images="{split: train, images: 200, unreadable: 30}")
    assert run(strict, tmp_path / "strict", device="cpu").exit_code == ExitCode.INCOMPLETE
    assert any("training images" in f["text"] and f["kind"] == "alarm" for f in results(tmp_path / "strict")["findings"])


def test_a_table_without_scores_for_the_training_images_says_so(write_faint_audit: Write, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("image,Common,Rare\n" + "".join(f"test-{n:04d},{0.2 + n / 800},{0.7 - n / 800}\n" for n in range(400)))
    models = f"\n  - {{use: scores, strategy: many, table: '{table}', values: probabilities}}"
    run(write_faint_audit(models=models), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    (row,) = [r for r in found["summaries"] if (r["metric"], r["class"]) == ("margin_shift_positive", "Common")]
    assert "no usable answer for 200 of 200 images" in row["missing"]
    assert found["models"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{splt: train}", r"training_images\.splt: unknown option of faint; allowed: .*split"),
        ("{split: trian}", r"training_images\.split: found 'trian'"),
        ("{split: train, limit: 0}", r"training_images\.limit"),
        ("{images: 300}", r"training_images: 300 images are audited too, the first is 'test-0000'; name another split"),
        ("{split: train, others: true}", r"training_images: its classes are Other, Rare; allowed: those of the audited images"),
        ("{split: train, images: 0}", r"training_images: no sample is listed"),
    ],
)
def test_a_mistake_in_training_images_is_told_with_its_place(
    write_faint_audit: Write, tmp_path: Path, said: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"audit\.yaml:13:\d+: {message}"):
        run(write_faint_audit(training_images=said), tmp_path / "out", device="cpu")


def test_a_network_without_answers_to_training_images_keeps_what_the_audited_ones_say(
    write_faint_audit: Write, tmp_path: Path
) -> None:
    path = write_faint_audit(analyses="[logit_shift, embeddings]")
    path.write_text(path.read_text().replace("strategy: few, images: 200", "strategy: few, images: 200, deaf: true"))
    assert run(path, tmp_path / "out", device="cpu").exit_code == ExitCode.INCOMPLETE
    found = results(tmp_path / "out")
    profiles = {row["strategy"]: row["chosen_on"] for row in found["profiles"]}
    assert profiles == {"few": "audited", "many": "training"}
    rows = {(r["metric"], r["strategy"]): r for r in found["summaries"] if r["class"] == "Common"}
    assert "no usable answer for 200 of 200" in rows["magnitude_retained", "few"]["missing"]
    assert rows["evidence", "few"]["value"] is not None
    assert rows["magnitude_retained", "many"]["value"] is not None
    from auditor.cases import columns

    exported = {(c.model.split()[0], c.split) for c in columns(tmp_path / "out") if c.metric == "top_evidence"}
    assert exported == {("few", "audited"), ("many", "audited"), ("many", "training")}


def test_an_image_that_one_network_cannot_answer_is_in_nobodys_features(write_faint_audit: Write, tmp_path: Path) -> None:
    path = write_faint_audit(analyses="[embeddings]", max_quarantine="0.5")
    path.write_text(path.read_text().replace("strategy: few, images: 200", "strategy: few, images: 200, dazed: true"))
    run(path, tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    lost = len(found["accounting"]["quarantined"])
    assert 0 < lost < 200
    counts = {row["strategy"]: row["n_audited"] for row in found["profiles"] if row["class"] == "Common"}
    assert set(counts.values()) == {found["dataset"]["counts"]["Common"]["positive"]}


def test_a_mistake_in_an_option_of_training_images_is_found_before_anything_is_built(write_faint_audit: Write) -> None:
    from auditor.validate import validate

    with pytest.raises(ConfigError, match=r"audit\.yaml:13:\d+: training_images\.splt: unknown option of faint") as found:
        validate(write_faint_audit(training_images="{splt: train}"))
    assert len(str(found.value).splitlines()) == 1
    wrong = write_faint_audit(dataset="{use: faint, images: many}", training_images="{split: train}")
    with pytest.raises(ConfigError, match=r"dataset\.images") as found:
        validate(wrong)
    assert len(str(found.value).splitlines()) == 1
    validate(write_faint_audit())


def test_patients_on_both_sides_open_the_report_with_an_alarm(write_faint_audit: Write, tmp_path: Path) -> None:
    shared = "patients: shared"
    path = write_faint_audit(
        dataset=f"{{use: faint, images: 400, {shared}}}", training_images=f"{{split: train, images: 200, {shared}}}"
    )
    assert run(path, tmp_path / "out", device="cpu").exit_code == ExitCode.INCOMPLETE
    alarms = [finding["text"] for finding in results(tmp_path / "out")["findings"] if finding["kind"] == "alarm"]
    assert any(text.startswith("100 of the 200 audited patients are among the training images") for text in alarms)


def test_every_value_of_both_splits_is_exported(write_faint_audit: Write, tmp_path: Path) -> None:
    from auditor.cases import columns

    run(write_faint_audit(analyses="[logit_shift, embeddings]"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    rows = {(c.model.split()[0], c.split, c.metric): c for c in columns(tmp_path / "out")}
    assert {split for _, split, _ in rows} == {"audited", "training"}
    for split, images in (("audited", 400), ("training", 200)):
        column = rows["few", split, "margin_positive"]
        assert len(column.samples) == 2 * images
        evidence = rows["few", split, "top_evidence"]
        counts = found["dataset"]["counts"], found["accounting"]["training_images"]["positive"]
        positives = counts[0]["Rare"]["positive"] if split == "audited" else counts[1]["Rare"]
        assert evidence.classes.count("Rare") == positives


def test_a_run_stopped_between_the_splits_ends_like_one_that_was_not(
    write_faint_audit: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor import passes

    path = write_faint_audit(analyses="[logit_shift, embeddings]")
    run(path, tmp_path / "whole", device="cpu")
    goes_on, splits = passes.run, []

    def stops(plan: Any, *rest: Any) -> None:
        splits.append(plan.dataset.split)
        if splits == ["test", "train"]:
            raise KeyboardInterrupt
        goes_on(plan, *rest)

    monkeypatch.setattr(passes, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "cut", device="cpu")
    monkeypatch.undo()
    run(path, tmp_path / "cut", device="cpu")
    assert (tmp_path / "cut" / "results.json").read_bytes() == (tmp_path / "whole" / "results.json").read_bytes()


def test_the_plan_counts_the_training_images(write_faint_audit: Write) -> None:
    from auditor import config, planning
    from auditor.estimate import describe, estimate
    from auditor.registry import Registry

    found = config.read(write_faint_audit())
    made = planning.make(found, Registry(found.plugins, found.base), limit=None)
    cost = estimate(made)
    assert (cost.images, cost.reads, cost.forwards) == (600, 600, 2 * 600)
    assert "200 of 200 training images, for logit_shift" in describe(made)
