"""Broken explanation methods are caught, a good one passes, and an untrained network is not taken for a trained one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor import ExitCode, config
from auditor.controls import LIMIT, chosen
from auditor.estimate import describe
from auditor.evidence import Evidence, read
from auditor.planning import make
from auditor.registry import Registry
from auditor.results_schema import Results
from auditor.run import RunResult, run

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples" / "quickstart"
EXPLAINERS = ROOT / "tests" / "plugins_for_tests" / "explainers.py"
Write = Callable[..., Path]
BROKEN = {
    "ignores_network": "model_randomisation",
    "ignores_class": "wrong_class",
    "couples_batch": "batch_independence",
    "noisy": "repeat",
    "ignores_image": "constant_input",
    "falls_over_grey": "constant_input",
}


def quickstart(folder: Path, models: str, attributions: str, images: int = 400) -> Path:
    """An audit of networks of the quickstart on its films, of nothing but where they look."""
    text = (
        f"title: Controls\ndataset: {{use: planted, split: test, images: {images}, size: 128, marker: 0.9, marker_class: Nodule}}\n"
        f"models: {models}\nreference: bce\nattributions: {attributions}\nanalyses: [alignment]\n"
        f"report: {{formats: [html], images: false}}\nplugins: ['{QUICKSTART / 'small_cnn.py'}', '{EXPLAINERS}']\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.yaml").write_text(text)
    return folder / "audit.yaml"


def network(strategy: str, checkpoint: str | None = None, seed: int = 0) -> str:
    card = json.loads((QUICKSTART / "networks" / f"small_cnn-{strategy}-seed0" / "model.json").read_text())
    lens = json.dumps(card["preprocessing"])
    weights = checkpoint or f"'{QUICKSTART / 'networks' / f'small_cnn-{strategy}-seed0' / 'model.safetensors'}'"
    return (
        f"\n  - {{use: factory, file: '{QUICKSTART / 'small_cnn.py'}', options: {{classes: 6}}, strategy: {strategy}, seed: {seed}, "
        f"layers: {{attribution: layer3, dissection: layer2}}, checkpoint: {weights}, classes: {json.dumps(card['classes'])}, "
        f"preprocessing: {lens}}}"
    )


def outcomes(evidence: Evidence, attribution: str) -> dict[str, str]:
    return {c.check: c.outcome for c in evidence.controls if c.attribution == attribution}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Evidence, Path]:
    """One trained network under a good method and every broken one."""
    folder = tmp_path_factory.mktemp("controls")
    path = quickstart(folder, network("bce"), f"[gradcam, {', '.join(BROKEN)}]")
    result = run(path, folder / "run", device="cpu")
    return result, read(folder / "run"), folder


def test_a_good_method_passes_every_check_on_a_trained_network(audited: tuple[RunResult, Evidence, Path]) -> None:
    assert set(outcomes(audited[1], "gradcam").values()) == {"passed"}


@pytest.mark.parametrize(("attribution", "check"), BROKEN.items())
def test_a_method_that_is_broken_in_one_way_fails_the_check_for_it(
    audited: tuple[RunResult, Evidence, Path], attribution: str, check: str
) -> None:
    assert outcomes(audited[1], attribution)[check] == "failed"


@pytest.mark.parametrize("attribution", ["couples_batch", "noisy", "falls_over_grey"])
def test_a_method_fails_no_check_but_the_one_that_it_breaks(
    audited: tuple[RunResult, Evidence, Path], attribution: str
) -> None:
    failed = {check for check, outcome in outcomes(audited[1], attribution).items() if outcome == "failed"}
    assert failed == {BROKEN[attribution]}


def test_a_failed_check_is_an_alarm_a_stamp_and_exit_code_3(audited: tuple[RunResult, Evidence, Path]) -> None:
    result, evidence, folder = audited
    assert result.exit_code == ExitCode.INCOMPLETE
    alarms = [finding.text for finding in evidence.findings if finding.kind == "alarm"]
    assert (
        "noisy failed its sanity check (repeat) for bce · small_cnn · seed 0: the same batch gives other maps the second time."
        in alarms
    )
    assert not [text for text in alarms if text.startswith("gradcam")]
    html = (folder / "run" / "report.html").read_text()
    assert f"at most {LIMIT} of the images with boxes" in html
    sections = {re.sub("<[^>]+>", "", part.split("</h2>")[0]).strip()[2:]: part for part in html.split("<section")[1:]}
    for part in [part for name, part in sections.items() if re.search("Controls|Where the networks look|Strategies", name)]:
        assert "noisy failed its sanity check (repeat)" in part


def test_an_untrained_network_stands_in_the_ladder_of_its_method_and_is_nothing_to_a_trained_one(
    audited: tuple[RunResult, Evidence, Path],
) -> None:
    _, evidence, folder = audited
    rows = {
        row.model: row for row in evidence.select("kappa_loc", class_name="(macro)") if row.attribution in ("gradcam", None)
    }
    (name,) = (name for name in rows if name.startswith("untrained"))
    assert (name, rows[name].strategy, rows[name].attribution) == ("untrained small_cnn", "(blind)", "gradcam")
    assert 3 * rows[name].high < rows["bce · small_cnn · seed 0"].low
    for metric in ("cbl", "pixel_auc", "pointing_game", "iobb"):
        assert name in {row.model for row in evidence.select(metric, class_name="(macro)")}
    assert "untrained small_cnn" in (folder / "run" / "report.html").read_text()


def test_an_untrained_network_that_is_audited_as_a_trained_one_passes_nothing_that_training_gives(tmp_path: Path) -> None:
    models = "".join(network("bce", "null", seed) for seed in range(3))
    run(quickstart(tmp_path, models, "[gradcam]"), tmp_path / "run", device="cpu")
    found = [control for control in read(tmp_path / "run").controls if control.check in ("model_randomisation", "wrong_class")]
    assert len(found) == 6
    assert {control.outcome for control in found} <= {"inconclusive", "failed"}


def test_controls_are_done_once_and_a_new_method_costs_only_its_own(
    write_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    path = write_audit(controls="true", analyses="[alignment]")
    run(path, tmp_path / "run", device="cpu")
    first = (tmp_path / "run" / "results.json").read_bytes()
    Results.model_validate(json.loads(first))
    assert counts["reads"] == 40
    counts.clear()
    run(path, tmp_path / "run", device="cpu")
    assert counts == Counter()
    assert (tmp_path / "run" / "results.json").read_bytes() == first
    run(write_audit(controls="true", analyses="[alignment]", attributions="[gradcam, cam]"), tmp_path / "run", device="cpu")
    assert counts["reads"] == 0
    kept = {row["attribution"]: row for row in json.loads(first)["controls"]}
    again = [
        row
        for row in json.loads((tmp_path / "run" / "results.json").read_text())["controls"]
        if row["attribution"] == "gradcam"
    ]
    assert [row for row in again if row["model"] == kept["gradcam"]["model"]][-1] == kept["gradcam"]


def test_controls_pass_as_many_batches_through_networks_as_they_say(
    write_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    """40 images in batches of 4; a network is tried on two images whenever it is opened, and so is its untrained copy."""
    path = write_audit(controls="true", analyses="[alignment]")
    plan = planned(path)
    images = len(chosen(plan))
    batches = -(-images // 4)
    run(path, tmp_path / "run", device="cpu")
    audit, wrong_class, untrained, probes, opened = 10 + 2, batches, batches, 5, 2
    assert counts["forwards"] == 2 * (audit + wrong_class + untrained + probes + opened)
    assert f"{2 * (2 * images + 4 * probes):,} images more" in describe(plan)


def planned(path: Path) -> Any:
    found = config.read(path)
    return make(found, Registry(found.plugins, path.parent))


def test_an_audit_without_controls_says_so_on_page_one_and_plans_none(write_audit: Write, tmp_path: Path) -> None:
    result = run(write_audit(controls="false", analyses="[alignment]"), tmp_path / "run", device="cpu")
    evidence = read(tmp_path / "run")
    assert result.exit_code == ExitCode.COMPLETE
    assert evidence.controls == ()
    html = (tmp_path / "run" / "report.html").read_text()
    parts = {part.split('"', 2)[1]: part for part in html.split("<section id=")[1:]}
    assert "No control of the explanation method was run (controls: false in audit.yaml)" in parts["part-limits"]
    assert "not checked" in parts["part-summary"] or "not asked" in parts["part-summary"]
    assert not [row for row in evidence.summaries if row.model.startswith("untrained")]
    assert re.search(r"controls +none", describe(planned(tmp_path / "audit.yaml")))


def test_a_table_of_scores_has_no_map_to_control(write_audit: Write, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    rows = [f"image-{n:03d},{0.1 + n / 100:.4f},{0.9 - n / 100:.4f},{0.5}" for n in range(40)]
    table.write_text("image,Nodule,Effusion,Mass\n" + "\n".join(rows) + "\n")
    models = f"\n  - {{use: scores, strategy: bce, table: '{table}', values: probabilities}}"
    result = run(write_audit(controls="true", models=models), tmp_path / "run", device="cpu")
    found = read(tmp_path / "run").controls
    assert result.exit_code == ExitCode.COMPLETE
    assert {(control.outcome, control.says) for control in found} == {
        ("not applicable", "the model gives scores only, so there is no map.")
    }


def test_few_patients_and_weak_networks_decide_nothing_and_do_not_fail_an_audit(write_audit: Write, tmp_path: Path) -> None:
    path = write_audit(controls="true", analyses="[alignment]", dataset="{use: tiny, images: 12}")
    result = run(path, tmp_path / "run", device="cpu")
    found = {c.check: c for c in read(tmp_path / "run").controls}
    assert found["model_randomisation"].says == "3 patients have boxes, and 20 are needed."
    assert {c.outcome for c in found.values()} == {"not estimable", "passed"}
    assert result.exit_code == ExitCode.COMPLETE


def test_a_contrast_made_with_a_failed_method_is_made_and_says_so(tmp_path: Path) -> None:
    path = quickstart(tmp_path, network("bce") + network("focal"), "[gradcam, noisy]", images=60)
    run(path, tmp_path / "run", device="cpu")
    contrasts = [row for row in read(tmp_path / "run").contrasts("cbl") if row.difference is not None]
    assert {row.attribution for row in contrasts} == {"gradcam", "noisy"}
    stamp = "noisy failed its sanity check (repeat) for bce · small_cnn · seed 0, focal · small_cnn · seed 0"
    for row in contrasts:
        assert (stamp in (row.note or "")) == (row.attribution == "noisy")


def test_controls_take_no_more_images_than_the_limit_and_crowd_out_no_rare_class(tmp_path: Path) -> None:
    plan = planned(quickstart(tmp_path, network("bce"), "[gradcam]", images=3000))
    found = [plan.samples[number] for number in chosen(plan)]
    boxed = [sample for sample in plan.samples if sample.boxes]
    assert len(found) == LIMIT < len(boxed)
    for name in plan.classes:
        there, taken = (sum(any(box.label == name for box in s.boxes) for s in samples) for samples in (boxed, found))
        assert taken >= min(there, LIMIT // len(plan.classes)), name
    assert chosen(plan) == sorted(chosen(plan))
