"""What must not go wrong between runs, between plugins, and with networks that are a little odd."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor import ExitCode
from auditor.errors import AuditError, ConfigError, ModelRefused, OutputError
from auditor.ledger import Ledger
from auditor.run import run

Write = Callable[..., Path]
ODD = Path(__file__).resolve().parent / "plugins_for_tests" / "odd.py"
LENS = "preprocessing: {size: 16, mean: [0, 0, 0], std: [1, 1, 1]}"


def results(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def auroc(out: Path, class_name: str = "(macro)") -> Any:
    return [row["value"] for row in results(out)["summaries"] if row["metric"] == "auroc" and row["class"] == class_name]


def lamp(
    folder: Path, model: str = "head: softmax", analyses: str = "[performance]", dataset: str = "use: lamp", extra: str = ""
) -> Path:
    audit = folder / "audit.yaml"
    audit.parent.mkdir(parents=True, exist_ok=True)
    audit.write_text(
        f"title: lamps\ndataset: {{{dataset}}}\nmodels: [{{use: two_outputs, strategy: bce, {model}, {LENS}}}]\nreference: bce\n"
        f"analyses: {analyses}\nreport: {{formats: [html]}}\nplugins: ['{ODD}'{extra}]\n"
    )
    return audit


def test_one_class_of_a_two_output_softmax_network_is_audited_on_its_log_odds(tmp_path: Path) -> None:
    run(lamp(tmp_path), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert auroc(tmp_path / "out", "Unhealthy") == [1.0]
    assert found["accounting"]["used"] == 24
    assert found["models"][0]["unused"] == ["Healthy"]


def test_a_network_that_needs_contiguous_memory_is_audited_all_the_same(tmp_path: Path) -> None:
    assert run(lamp(tmp_path, "style: view"), tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    assert auroc(tmp_path / "out", "Unhealthy") == [1.0]


@pytest.mark.parametrize(("style", "words"), [("style: broken", "KeyError"), ("layers: {attribution: '7'}", "no layer '7'")])
def test_a_model_that_cannot_be_loaded_is_refused_with_its_place(tmp_path: Path, style: str, words: str) -> None:
    with pytest.raises(ModelRefused, match=rf"audit.yaml:3:\d+: models\[0\].*{words}"):
        run(lamp(tmp_path, style), tmp_path / "out", device="cpu")


def test_a_model_without_layers_has_gaps_and_not_failures(tmp_path: Path) -> None:
    result = run(lamp(tmp_path, "style: no layers", "[performance, dissection]"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    assert result.exit_code == ExitCode.COMPLETE
    assert any("layers.dissection" in gap["reason"] for gap in found["gaps"])


def test_data_without_boxes_have_gaps_and_not_failures(tmp_path: Path) -> None:
    result = run(
        lamp(tmp_path, "layers: {attribution: '0'}", "[performance, alignment, dissection]"), tmp_path / "out", device="cpu"
    )
    found = results(tmp_path / "out")
    assert {gap["reason"] for gap in found["gaps"]} == {"no box"}
    assert result.exit_code == ExitCode.COMPLETE


def test_a_summary_that_is_no_number_is_missing_with_its_reason(tmp_path: Path) -> None:
    assert (
        run(lamp(tmp_path, analyses="[performance, undefined]"), tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    )
    (row,) = [row for row in results(tmp_path / "out")["summaries"] if row["metric"] == "ratio"]
    assert (row["value"], row["missing"]) == (None, "nothing to divide by")


def test_an_image_as_a_whole_has_no_logit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs overall"):
        run(lamp(tmp_path, analyses="[whole]"), tmp_path / "out", device="cpu")


def test_an_analysis_without_an_attribution_is_a_gap(write_audit: Write, tmp_path: Path) -> None:
    run(write_audit(attributions="[]"), tmp_path / "out", device="cpu")
    assert {gap["reason"] for gap in results(tmp_path / "out")["gaps"] if gap["n"] == 0} == {
        "alignment needs an attribution, and audit.yaml lists none"
    }


def test_another_folder_of_the_same_names_is_measured_anew(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b" / "swap").touch()
    for name, expected in (("a", 1.0), ("b", 0.0)):
        run(lamp(tmp_path, dataset=f"use: lamp, root: {name}"), tmp_path / "out", device="cpu")
        assert auroc(tmp_path / "out", "Unhealthy") == [expected]
    assert len(list((tmp_path / "out" / "arrays" / "pixels").iterdir())) == 1


def test_a_file_among_the_options_counts_by_its_content(tmp_path: Path) -> None:
    for text in ("1.5", "2.5"):
        (tmp_path / "number.txt").write_text(text)
        run(lamp(tmp_path, analyses="[{use: from_file, file: number.txt}]"), tmp_path / "out", device="cpu")
        found = {row["value"] for row in results(tmp_path / "out")["summaries"] if row["metric"] == "factor"}
        assert found == {float(text)}


def test_quarantine_does_not_outlive_what_it_was_for(write_audit: Write, tmp_path: Path) -> None:
    run(write_audit(dataset="{use: tiny, unreadable: [3, 7]}"), tmp_path / "out", device="cpu")
    assert results(tmp_path / "out")["accounting"]["used"] == 38
    assert run(write_audit(), tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    run(write_audit(), tmp_path / "clean", device="cpu")
    assert (tmp_path / "out" / "results.json").read_bytes() == (tmp_path / "clean" / "results.json").read_bytes()
    run(write_audit(dataset="{use: tiny, unreadable: [3]}"), tmp_path / "out", device="cpu", limit=20)
    run(write_audit(dataset="{use: tiny, unreadable: [3]}"), tmp_path / "out", device="cpu")
    assert [item["id"] for item in results(tmp_path / "out")["accounting"]["quarantined"]] == ["image-003"]


def test_measured_and_gaps_add_up_to_the_used_images_for_every_class(write_audit: Write, tmp_path: Path) -> None:
    run(write_audit(dataset="{use: tiny, unreadable: [1, 3, 7], odd_boxes: true}"), tmp_path / "out", device="cpu")
    found = results(tmp_path / "out")
    for metric, analysis in (("iobb", "alignment"), ("disjoint_concepts", "dissection")):
        for name in ("Nodule", "Effusion", "Mass"):
            rows = [r["n"] for r in found["summaries"] if (r["metric"], r["class"], r["strategy"]) == (metric, name, "bce")]
            gaps = [
                g["n"]
                for g in found["gaps"]
                if (g["analysis"], g["class"]) == (analysis, name) and g["model"].startswith("bce")
            ]
            assert sum(rows) + sum(gaps) == found["accounting"]["used"] == 37
    boxes = found["accounting"]["boxes"]
    assert boxes["listed"] == boxes["used"] + len(boxes["quarantined"])
    assert sum(count["boxes"] for count in found["dataset"]["counts"].values()) == boxes["used"]


def test_a_kill_between_kept_features_and_ledger_loses_no_quarantine(
    write_audit: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {"analyses": "[dissection]", "attributions": "[]", "dataset": "{use: tiny, unreadable: [3, 7]}"}
    run(write_audit(**lines), tmp_path / "straight", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(write_audit(**lines), tmp_path / "cut", device="cpu")
    run(write_audit(**lines), tmp_path / "cut", device="cpu")
    assert results(tmp_path / "cut")["accounting"]["used"] == 38
    assert (tmp_path / "cut" / "results.json").read_bytes() == (tmp_path / "straight" / "results.json").read_bytes()


OBSERVER = """
from auditor import hookimpl

@hookimpl
def {hook}({arguments}):
    raise OSError("tracker is down")
"""


@pytest.mark.parametrize(
    ("hook", "arguments"),
    [
        ("plan_made", "plan"),
        ("chunk_done", "model"),
        ("judge", "comparisons"),
        ("prepare_environment", "environment"),
        ("audit_done", "report"),
    ],
)
def test_an_observer_that_fails_costs_nothing_but_the_exit_code(
    write_audit: Write, tmp_path: Path, hook: str, arguments: str
) -> None:
    (tmp_path / "observer.py").write_text(OBSERVER.format(hook=hook, arguments=arguments))
    plain = write_audit(tmp_path / "plain")
    run(plain, tmp_path / "without", device="cpu")
    listed = plain.read_text().split("plugins: [")[1].split("]")[0]
    result = run(write_audit(plugins=f"[{listed}, observer.py]"), tmp_path / "out", device="cpu")
    assert result.exit_code == ExitCode.INCOMPLETE
    assert any("tracker is down" in message for message in result.messages)
    assert results(tmp_path / "out")["summaries"] == results(tmp_path / "without")["summaries"]
    assert result.html is not None


def test_a_refused_run_leaves_the_finished_one_whole(write_audit: Write, tmp_path: Path) -> None:
    from auditor.cases import columns

    run(write_audit(), tmp_path / "out", device="cpu")
    before = sum(len(column.samples) for column in columns(tmp_path / "out"))
    bad = f"[{{use: tiny_network, strategy: bce, layers: {{attribution: featurs}}, {LENS.replace('16', '32')}}}]"
    with pytest.raises(AuditError):
        run(write_audit(models=bad), tmp_path / "out", device="cpu", limit=20)
    assert sum(len(column.samples) for column in columns(tmp_path / "out")) == before > 0


def test_cases_of_another_plan_are_not_exported(write_audit: Write, tmp_path: Path) -> None:
    from auditor.export import export

    run(write_audit(), tmp_path / "out", device="cpu")
    plan = tmp_path / "out" / "plan.json"
    plan.write_text(plan.read_text().replace("Two tiny", "Three tiny"))
    with pytest.raises(OutputError, match=r"older than plan\.json"):
        export(tmp_path / "out", "csv")


def test_scores_of_other_images_are_refused_before_anything_is_measured(
    write_audit: Write, tmp_path: Path, counts: Counter[str]
) -> None:
    (tmp_path / "scores.csv").write_text("image,Nodule,Effusion,Mass\nelsewhere.png,0.1,0.2,0.3\n")
    models = (
        f"\n  - {{use: tiny_network, strategy: bce, {LENS.replace('16', '32')}}}"
        "\n  - {use: scores, strategy: focal, table: scores.csv, values: probabilities}"
    )
    with pytest.raises(ModelRefused, match=r"models\[1\].*none of the 40 images has a score.*image-000"):
        run(write_audit(models=models), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out" / "results.json").exists()
