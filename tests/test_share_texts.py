"""Words that leave the house: what is said of options, of audit.yaml, of reasons, of plugins."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from auditor.registry import Registry
from auditor.share import record
from auditor.share.said import Said
from auditor.share.texts import Texts, code, exception

TEXTS = Texts({"film-17": "a1", "Jane Doe": "b2", "Mass": "c3", "p1": "d4"}, {"Mass", "bce", "performance", "auroc"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("film-17 ends early", "a1 ends early"),
        ("film-170 and my-film-17 are others", "film-170 and my-film-17 are others"),
        ("of Jane Doe.", "of b2."),
        ("No AUROC for Mass", "No AUROC for Mass"),  # a class may be called as a patient is
        ("p1 is too short to be looked for", "p1 is too short to be looked for"),
        ("see /data/nih/x and C:\\films\\y", "see (path) and (path)"),
        ("~jane has labels.csv and audit.yaml", "(path) has (file) and audit.yaml"),
        ("no output is called 'Smith'", "no output is called (text)"),
        ("bce: resnet50 / focal: t_densenet", "bce: resnet50 / focal: t_densenet"),
        ("the network's 3 classes aren't 'Mass'", "the network's 3 classes aren't 'Mass'"),
    ],
)
def test_a_sentence_of_ours_names_nobody(text: str, said: str) -> None:
    assert TEXTS.ours(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("failed: ValueError: of Smith\nand Doe", "failed: ValueError (its message is not shared)"),
        ("failed: the self-test did not pass", "failed: the self-test did not pass"),
        ("failed: nonfinite: no usable answer for 3 of 40 images", "failed: nonfinite: no usable answer for 3 of 40 images"),
        ("failed: SmithError: x", "failed: an exception of a plugin (its message is not shared)"),
        (
            "failed on the training images: KeyError: 'Smith'",
            "failed on the training images: KeyError (its message is not shared)",
        ),
        ("planted boxes are found (ValueError: /tmp/x)", "planted boxes are found (ValueError; its message is not shared)"),
        ("ModelRefused: /data/w.pt is no state dict", "ModelRefused (its message is not shared)"),
        ("not estimable (0 positives)", "not estimable (0 positives)"),
        ("the model gives scores only; alignment needs features", "the model gives scores only; alignment needs features"),
    ],
)
def test_of_an_exception_its_type_is_said(text: str, said: str) -> None:
    assert TEXTS.reason(text) == said


@pytest.mark.parametrize("name", ["print", "Smith", "SmithError", "errors", "nearest"])
def test_only_exceptions_of_python_and_of_auditor_are_named(name: str) -> None:
    assert exception(name) == "an exception of a plugin"


@pytest.mark.parametrize(
    "ours", ["missing", "decode:truncated", "cap:pixels", "mode:16-bit-colour", "nonfinite-pixels", "path:link"]
)
def test_our_codes_are_said(ours: str) -> None:
    assert code(ours) == ours


@pytest.mark.parametrize("strange", ["Smith", "decode:Jane Doe", "missing of Smith", "patient:Smith", "header\nSmith"])
def test_other_codes_are_not(strange: str) -> None:
    assert code(strange) == "other"


def audit(text: str) -> Any:
    said = Said(TEXTS, Registry(), "chestxray14")
    return yaml.safe_load(said.audit(SimpleNamespace(audit=text.encode())))  # type: ignore[arg-type]


def test_audit_yaml_is_said_without_paths_and_words_of_the_user() -> None:
    found = audit(
        "# by Smith\ntitle: T\ndataset: {use: chestxray14, root: /data/nih, split: test, task: binary}\n"
        "training_images: {split: train_val, limit: 20}\n"
        "models: [{use: factory, file: smith.py, function: smith_net, checkpoint: a.pt, strategy: bce, options: {who: smith, n: 3}}]\n"
        "reference: bce\nanalyses: [performance, {use: outcomes, specificity: 0.9}]\nplugins: [smith.py, a-distribution]\n"
        "claims: {primary: [auroc]}\ngates: [{metric: auroc, claim: at_least, value: 0.5, tier: advisory}]\nreport: {formats: [html]}\n"
    )
    assert found == {
        "title": "T",
        "dataset": {"use": "chestxray14", "root": "(path)", "split": "test", "task": "binary"},
        "training_images": {"split": "train_val", "limit": 20},
        "models": [
            {
                "use": "factory", "file": "(path)", "function": "(text)", "checkpoint": "(path)", "strategy": "bce",
                "options": {"who": "(text)", "n": 3},
            }
        ],
        "reference": "bce",
        "analyses": ["performance", {"use": "outcomes", "specificity": 0.9}],
        "plugins": ["(file)", "a-distribution"],
        "claims": {"primary": ["auroc"]},
        "gates": [{"metric": "auroc", "claim": "at_least", "value": 0.5, "tier": "advisory"}],
        "report": {"formats": ["html"]},
    }  # fmt: skip


def test_a_file_is_recorded_by_its_content_and_a_distribution_by_its_version(tmp_path: Path) -> None:
    import hashlib
    from importlib import metadata

    (tmp_path / "smith.py").write_text("x = 1\n")
    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    assert record._plugin("smith.py", tmp_path) == {"kind": "file", "sha256": digest}
    assert record._plugin("numpy", tmp_path) == {"kind": "distribution", "name": "numpy", "version": metadata.version("numpy")}
    assert "smith" not in json.dumps(record._plugin("smith.py", tmp_path))


@pytest.mark.parametrize(
    "general",
    [
        "not estimable (0 positives)", "fewer than 20 positive or negative patients: Mass; 2 of 3 classes left out: bce, Mass",
        "fewer than 20 patients: interval not reliable", "declared by a metric", "failed: ValueError (its message is not shared)",
    ],
)  # fmt: skip
def test_what_auditor_says_of_any_analysis_is_said_of_a_plugins(general: str) -> None:
    assert TEXTS.of_a_stranger(general, {"declared by a metric"}) == general


@pytest.mark.parametrize(
    "own",
    [
        "Smith moved",
        "not estimable (Smith)",
        "fewer than 20 patients: Smith",
        "not estimable in any class; Smith",
        "2 of 3 cases left out: Smith",
    ],
)
def test_a_plugins_own_words_are_not(own: str) -> None:
    assert TEXTS.of_a_stranger(own, ()) == "the reason is in a plugin's own words, which are not shared"


def test_a_few_cases_are_not_counted_in_a_note() -> None:
    assert TEXTS.reason("3 of 40 cases left out: no value") == "fewer than 5 of 40 cases left out: no value"
    assert TEXTS.reason("1 of 6 classes left out: Mass") == "1 of 6 classes left out: Mass"


def test_a_title_is_as_it_was_written_but_for_names() -> None:
    assert TEXTS.title("AUROC/AP of film-17, 'v2'") == "AUROC/AP of a1, 'v2'"


def test_a_class_with_a_stroke_in_its_name_is_no_path() -> None:
    assert (
        Texts({}, {"Pleural/Thickening"}).ours("left out: Pleural/Thickening, /data/x")
        == "left out: Pleural/Thickening, (path)"
    )
