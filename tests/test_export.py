"""Tables for other tools, and the pictures kept beside the results."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example import EXAMPLE
from pydantic import ValidationError

from auditor import results_schema
from auditor.errors import ConfigError, MissingLibrary, OutputError
from auditor.evidence import Evidence, Picture
from auditor.export import RISKY, export
from auditor.identity import digest
from auditor.ledger import Found, Ledger
from auditor.pictures import load, save
from auditor.statistics.rows import Values

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "results.json").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_has_a_row_per_number(run: Path) -> None:
    evidence = Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))
    written = {path.stem: rows(path) for path in export(run, "csv")}
    counts = {name: len(found) for name, found in written.items()}
    assert counts == {
        "summaries": len(evidence.summaries),
        "comparisons": len(evidence.comparisons),
        "repeated": len(evidence.repeated),
        "operating": len(evidence.operating),
        "by_outcome": len(evidence.by_outcome),
        "gaps": len(evidence.gaps),
        "gates": len(evidence.gates),
        "subgroups": len(evidence.subgroups),
        "quarantined": len(evidence.accounting["quarantined"]),
    }
    for row, summary in zip(written["summaries"], evidence.summaries, strict=True):
        assert (row["class"], row["missing"] or None) == (summary.class_name, summary.missing)
        assert (float(row["value"]) if row["value"] else None) == summary.value


def test_a_missing_number_is_an_empty_cell_with_a_reason_beside_it(run: Path) -> None:
    found = rows(export(run, "csv")[0])
    assert all(bool(row["value"]) != bool(row["missing"]) for row in found)


@pytest.mark.parametrize("start", RISKY)
def test_text_never_starts_a_formula_and_numbers_stay_numbers(run: Path, start: str) -> None:
    evidence = Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))
    bad = replace(evidence.comparisons[0], class_name=f"{start}1+1", difference=-0.5, low=-0.75, high=-0.25, missing=None)
    (run / "results.json").write_text(replace(evidence, comparisons=(bad,)).to_json(), encoding="utf-8")
    (row,) = rows(export(run, "csv")[1])
    assert row["class"] == f"'{start}1+1"
    assert (float(row["difference"]), row["low"]) == (-0.5, "-0.75")


def test_parquet_holds_the_same_numbers_with_their_types(run: Path) -> None:
    import pyarrow.parquet as pq

    evidence = Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))
    table = pq.read_table(export(run, "parquet", run / "tables")[0])
    assert table.column("value").to_pylist() == [summary.value for summary in evidence.summaries]
    assert [str(table.schema.field(name).type) for name in ("class", "n", "value")] == ["string", "int64", "double"]


def write_cases(run: Path) -> None:
    """Two units of work in a real ledger, and the plan that names them."""
    units = [("k1", "alignment", "cam", "iobb", [0, 1], [0.25, np.nan]), ("k2", "performance", None, "logit", [2], [-1.5])]
    plan = {
        "samples": ["a", "b", "=a"],
        "dataset": {"classes": ["Mass"]},
        "units": [{"key": k, "model": "bce-0", "analysis": a, "attribution": t} for k, a, t, *_ in units],
    }
    (run / "plan.json").write_text(json.dumps(plan))
    results = json.loads((run / "results.json").read_text())
    results["audit"]["plan"] = digest(json.dumps(plan))
    (run / "results.json").write_text(json.dumps(results))
    ledger = Ledger(run / "ledger.db")
    for key, _, _, metric, samples, values in units:
        column = Values(np.array(samples), np.zeros(len(samples), np.int64), np.array(values))
        ledger.write(0, {key: Found({metric: column}, {}, [])}, {})
    ledger.close()


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_cases_come_from_the_ledger_and_nan_becomes_an_empty_cell(run: Path, format: str) -> None:
    write_cases(run)
    path = export(run, format)[-1]
    assert path.name == f"cases.{format}"
    if format == "csv":
        found = [(row["sample"], row["value"]) for row in rows(path)]
        assert found == [("a", "0.25"), ("b", ""), ("'=a", "-1.5")]
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        assert table.column("value").to_pylist() == [0.25, None, -1.5]
        assert table.column("attribution").to_pylist() == ["cam", "cam", None]


def test_a_wrong_format_names_the_near_one(run: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean csv"):
        export(run, "cvs")


def test_a_folder_without_results_says_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="auditor run"):
        export(tmp_path, "csv")


def test_parquet_without_pyarrow_names_the_way_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingLibrary, match=r"pip install auditor\[parquet\]"):
        export(run, "parquet")


def picture() -> Picture:
    maps = {"cam": {"bce-0": np.arange(6, dtype=np.float32).reshape(2, 3)}, "gradcam": {}}
    return Picture("case 1", "Mass", ((0.1, 0.2, 0.3, 0.4),), np.arange(20, dtype=np.uint8).reshape(4, 5), {"cam": maps["cam"]})


def test_pictures_come_back_as_they_were_saved(tmp_path: Path) -> None:
    save(tmp_path, [picture(), picture()])
    first, second = load(tmp_path)
    for found in (first, second):
        assert (found.case, found.class_name, found.boxes) == ("case 1", "Mass", ((0.1, 0.2, 0.3, 0.4),))
        assert np.array_equal(found.pixels, picture().pixels)
        assert found.maps["cam"]["bce-0"].dtype == np.float32
        assert np.array_equal(found.maps["cam"]["bce-0"], picture().maps["cam"]["bce-0"])


def test_pictures_are_the_same_bytes_twice_and_absent_ones_are_none(tmp_path: Path) -> None:
    assert load(tmp_path) == []
    save(tmp_path, [picture()])
    first = (tmp_path / "arrays" / "pictures.npz").read_bytes()
    save(tmp_path, [picture()])
    assert (tmp_path / "arrays" / "pictures.npz").read_bytes() == first


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    save(tmp_path, [picture()])
    np.savez(tmp_path / "arrays" / "pictures.npz", pixels_0=np.array([{"evil": 1}], object), map_0_0=np.zeros((1, 1)))
    with pytest.raises(OutputError, match="pictures"):
        load(tmp_path)


def test_the_example_has_the_published_shape() -> None:
    results_schema.Results.model_validate_json(EXAMPLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (("summaries", 0), {"value": None, "missing": None}),
        (("summaries", 0), {"value": 0.5, "missing": "why"}),
        (("comparisons", 0), {"difference": None, "missing": None}),
        (("comparisons", 0), {"stars": "***"}),
        (("findings", 0), {"kind": "verdict"}),
        (("gaps", 0), {"n": -1}),
        (("gates", 0), {"estimate": None, "missing": None}),
        (("gates", 0), {"outcome": "not evaluated"}),
    ],
)
def test_the_schema_refuses_silent_absence_and_unknown_fields(place: tuple[str, int], change: dict[str, Any]) -> None:
    data = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    data[place[0]][place[1]] |= change
    with pytest.raises(ValidationError):
        results_schema.Results.model_validate_json(json.dumps(data))


def test_the_published_schema_is_the_one_in_the_code() -> None:
    assert (DOCS / "results.schema.json").read_text(encoding="utf-8") == results_schema.text(), (
        "run python -m auditor.results_schema > docs/results.schema.json"
    )
