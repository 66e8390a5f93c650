"""`auditor plan` says which declared claims about groups cannot be made, with the counts; the run then finds the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from auditor.cli import main
from auditor.run import run

from .grouped import write


def warnings(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["plan", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [
        line.removeprefix("  warning   ").replace(f"{path.parent}/", "") for line in lines if line.startswith("  warning   ")
    ]


def make_rare(path: Path, name: str, sex: str, keep: int) -> None:
    """Leave only so many positives of a class in a group."""
    table = path.parent / "images.csv"
    rows = list(csv.DictReader(table.read_text().splitlines()))
    for row in [row for row in rows if row["sex"] == sex and row[name] == "1"][keep:]:
        row[name] = "0"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_nothing_is_warned_of_where_every_group_is_large_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings(write(tmp_path), capsys) == []


def test_a_group_that_no_claim_can_be_made_about_is_told_with_its_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = warnings(write(tmp_path, few=8), capsys)
    assert line == (
        "audit.yaml:9:33: subgroups[0].primary[0]: auroc of sex X-jane is not estimable: 8 patients; 20 are needed;"
        " no claim can be made about this group"
    )


def test_only_what_is_declared_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings(write(tmp_path, few=8, subgroups="[sex]"), capsys) == []


def test_what_is_warned_of_is_what_the_run_cannot_estimate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, few=8)
    make_rare(path, "Nodule", "F", 4)
    first, second = warnings(path, capsys)
    assert first.endswith(
        "auroc of sex F is not estimable in 1 of 2 classes, which the claim leaves out: 4 positives; 10 are needed (Nodule)"
    )
    assert "X-jane" in second
    run(path, tmp_path / "run", device="cpu")
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["subgroups"]
    missing = {
        (row["group"], row["class"]): row["missing"]
        for row in rows
        if row["by"] == "sex" and row["against"] is None and row["missing"] and row["class"] in ("Mass", "Nodule")
    }
    few = "not estimable (8 patients; 20 are needed)"
    assert missing == {
        ("F", "Nodule"): "not estimable (4 positives; 10 are needed)",
        ("X-jane", "Mass"): few,
        ("X-jane", "Nodule"): few,
    }
