"""kappa_loc and its kin are made again from what a bundle holds of maps and the boxes of other patients."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auditor.elsewhere import Elsewhere
from auditor.errors import AuditError
from auditor.registry import Registry
from auditor.run import run
from auditor.share.bundle import share
from auditor.verification.bundle_numbers import of_bundle
from auditor.verification.drawn import _verdict
from auditor.verification.found import Level
from auditor.verification.numbers import told_in

TINY = Path(__file__).parent / "plugins_for_tests" / "tiny.py"
LENS = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"
AUDIT = (
    "title: Boxes\ndataset: {use: tiny, images: 90, unreadable: [5]}\nmax_quarantine: 0.1\nmodels:\n"
    + "".join(f"  - {{use: tiny_network, strategy: s{n}, weights: {n}, {LENS}}}\n" for n in (1, 2))
    + "reference: s1\nattributions: [gradcam]\nanalyses: [alignment, {use: dissection, quantile: 0.04}]\n"
    + f"claims: {{primary: [kappa_loc]}}\nplugins: ['{TINY}']\nbatch: 8\ncontrols: false\nreport: {{formats: [html], images: false}}\n"
)
FEW = 20
"""Boxed cases of a class that maps are held against here, so that maps and boxes are not the same cases."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("boxes")
    (folder / "audit.yaml").write_text(AUDIT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Elsewhere.__init__, "__defaults__", (FEW,))
        run(folder / "audit.yaml", folder / "run", device="cpu")
        share(folder / "run")
        yield folder / "run" / "share"


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def verified(bundle: Path) -> Level:
    level = Level(2, "", "")
    of_bundle(bundle, told_in(bundle), Registry((str(TINY),), bundle), level)
    return level


def test_a_good_bundle_agrees_and_says_nothing_of_kappa(whole: Path) -> None:
    level = verified(whole)
    assert level.differences == []
    with (whole / "cases" / "alignment-gradcam.boxes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    columns = {row[2]: row[4].split() for row in rows[1:] if not row[0]}
    assert {len(images) for images in columns.values()} == {FEW - 1, FEW}  # one of them cannot be read
    assert all(len(row[4].split()) == len(columns[row[2]]) for row in rows[1:])
    assert len({row[3] for row in rows if row[1] == "cbl_elsewhere" and row[2] == "Mass"}) > FEW


@pytest.mark.parametrize(
    ("metric", "table", "field"),
    [("kappa_loc", "summaries", "value"), ("kappa_loc", "comparisons", "difference"), ("disjoint_lift", "summaries", "low")],
)
def test_a_number_that_was_changed_is_found(bundle: Path, metric: str, table: str, field: str) -> None:
    results = json.loads((bundle / "results.json").read_text())
    row = next(row for row in results[table] if row["metric"] == metric and row[field] is not None and row["strategy"] == "s2")
    row[field] += 0.001
    (bundle / "results.json").write_text(json.dumps(results))
    assert any(metric in found.line() and field in found.line() for found in verified(bundle).differences)


def changed(bundle: Path, edit: Callable[[list[list[str]]], Any]) -> None:
    place = bundle / "cases" / "alignment-gradcam.boxes.csv"
    with place.open(newline="") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with place.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_a_score_that_was_changed_is_found(bundle: Path) -> None:
    def edit(rows: list[list[str]]) -> None:
        row = next(row for row in rows[1:] if row[0] and row[1] == "cbl_elsewhere")
        row[4] = " ".join(["0.9", "0.9", *row[4].split()[2:]])

    changed(bundle, edit)
    assert any("kappa_loc" in found.line() for found in verified(bundle).differences)


def cell(line: int, column: int, value: str) -> Callable[[list[list[str]]], None]:
    def edit(rows: list[list[str]]) -> None:
        rows[line][column] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            cell(0, 1, "metrics"),
            "boxes.csv:1: found 'model,metrics,class,image,scores'; allowed: model,metric,class,image,scores",
        ),
        (lambda rows: rows[2].append("1"), "boxes.csv:3: found 6 cells; allowed: 5, as in the first line"),
        (cell(1, 2, "Hernia"), "boxes.csv:2: class: found 'Hernia'; allowed: a class of results.json"),
        (cell(1, 4, "nobody"), "boxes.csv:2: scores: found what names no images of cases/"),
        (cell(2, 0, "another"), "boxes.csv:3: found a row of 'another', "),
        (cell(2, 4, "0.5"), f"boxes.csv:3: scores: found 1; allowed: {FEW}, one for each image that the class names first"),
        (cell(2, 4, "nan " * FEW), "boxes.csv:3: scores: found 'nan'; allowed: a finite number, or - where there is none"),
        (lambda rows: rows.append(list(rows[2])), "a second time; allowed: each map once"),
        (lambda rows: rows.pop(1), "boxes.csv:2: found a row of "),
    ],
)
def test_a_hostile_table_is_refused_in_a_sentence(bundle: Path, edit: Callable[[list[list[str]]], Any], words: str) -> None:
    changed(bundle, edit)
    with pytest.raises(AuditError) as refused:
        verified(bundle)
    assert words in str(refused.value)


def test_without_the_table_its_numbers_are_counted_as_not_made_again(bundle: Path) -> None:
    for place in (bundle / "cases").glob("*.boxes.csv"):
        place.unlink()
    level = verified(bundle)
    assert level.differences == []
    assert any("with boxes of other patients, of which the bundle holds no table" in words for words in level.said)


def test_a_verdict_of_different_needs_an_interval_without_0(whole: Path) -> None:
    """Found here: a bundle was refused whose adjusted p was below .05 beside an interval that held 0."""
    row = next(row for row in told_in(whole).comparisons if row.verdict == "different")
    assert _verdict(row, 0.01) == "different"
    assert row.low is not None
    assert row.high is not None
    object.__setattr__(row, "low", -1.0)
    object.__setattr__(row, "high", 1.0)
    assert _verdict(row, 0.01) == "inconclusive"
