"""`auditor new`: every template is short, lints, and keeps its kind's contract as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import AuditError, Evidence, OutputError, testing
from auditor.registry import KINDS, Registry, singular
from auditor.scaffold import lines, text, write

SINGULAR = {singular(kind): kind for kind in KINDS}


def component(kind: str, folder: Path, **options: Any) -> Any:
    write(kind, f"my_{kind}", folder)
    return Registry([f"my_{kind}.py"], folder).get(SINGULAR[kind], f"my_{kind}")(**options)


@pytest.mark.parametrize("kind", SINGULAR)
def test_a_template_is_at_most_thirty_lines_and_lints(kind: str, tmp_path: Path) -> None:
    path = write(kind, "mine", tmp_path)
    assert len(path.read_text().splitlines()) <= 30
    assert max(map(len, path.read_text().splitlines())) <= 128
    ruff = [sys.executable, "-m", "ruff", "--isolated"]
    for arguments in (["check", "--select", "E,F,I,B,UP"], ["format", "--check"]):
        found = subprocess.run(
            [ruff[0], *ruff[1:3], arguments[0], *ruff[3:], "--line-length", "128", *arguments[1:], str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "No module named ruff" in found.stderr:
            pytest.skip("ruff is not installed")
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("kind", SINGULAR)
def test_a_template_registers_under_its_name(kind: str, tmp_path: Path) -> None:
    write(kind, "my_own", tmp_path)
    cls = Registry(["my_own.py"], tmp_path).get(SINGULAR[kind], "my_own")
    assert cls.__name__ == "MyOwn"
    assert lines(kind, "my_own").endswith("plugins: [my_own.py]")
    assert (kind in ("strategy", "section")) != (lines(kind, "my_own").count("my_own") == 2)


def test_the_dataset_reads_pictures(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (12, 16), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,patient,abnormal\na.png,p1,1\nb.png,p2,0\n")
    dataset = component("dataset", tmp_path, root=tmp_path)
    testing.check_dataset(dataset)
    assert [sample.labels for sample in dataset.index()] == [(1,), (0,)]
    assert dataset.read(dataset.index()[0]).shape == (1, 12, 16)


def test_the_model_loads_its_checkpoint(tmp_path: Path) -> None:
    import torch

    from auditor import Preprocessing
    from auditor.checkpoint import save

    weights = {
        "0.0.weight": torch.randn(8, 3, 3, 3), "0.0.bias": torch.randn(8), "3.weight": torch.randn(2, 8), "3.bias": torch.randn(2),
    }  # fmt: skip
    save(tmp_path / "w.safetensors", weights, {})
    small = Preprocessing(size=16)
    path = tmp_path / "w.safetensors"
    loader = component("model", tmp_path, checkpoint=path, classes=("a", "b"), strategy="bce", preprocessing=small)
    testing.check_model(loader)
    assert torch.equal(loader.load().state_dict()["3.weight"], weights["3.weight"])


def test_the_strategy_the_attribution_and_the_analysis_keep_their_contracts(tmp_path: Path) -> None:
    testing.check_strategy(component("strategy", tmp_path))
    testing.check_attribution(component("attribution", tmp_path))
    testing.check_analysis(component("analysis", tmp_path))


def test_the_section_counts_what_was_found(tmp_path: Path) -> None:
    from auditor.statistics.rows import Summary

    found = Summary("auroc", "performance", None, "m", "bce", "a", 0.5, None, 10)
    missing = Summary("auroc", "performance", None, "m", "bce", "b", None, "no positives", 0)
    evidence = Evidence({}, {}, ({"id": "m"}, {"id": "n"}), {}, (found, missing), (), (), (), {}, {})
    rows = component("section", tmp_path).context(evidence)["rows"]
    assert rows == [{"model": "m", "found": 1, "missing": 1}, {"model": "n", "found": 0, "missing": 0}]


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(OutputError, match="is there already"):
        write("model", "mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "precious"


@pytest.mark.parametrize("name", ["", "Mine", "1st", "my-own", "class", "../x", "a" * 50, "a b"])
def test_a_name_that_is_no_module_is_refused(name: str) -> None:
    with pytest.raises(AuditError, match="allowed: small letters, digits and _, such as my_analysis"):
        text("analysis", name)
