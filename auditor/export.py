"""Results as tables for other tools: CSV that a spreadsheet cannot mistake for formulas, or Parquet."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from . import cases
from .errors import ConfigError, MissingLibrary, OutputError, nearest
from .evidence import Evidence, Gap, GateOutcome
from .ledger import refused
from .statistics.by_outcome import OutcomeRow
from .statistics.operating import OperatingPoint
from .statistics.rows import Comparison, Repeat, Summary
from .statistics.subgroups import SubgroupRow

FORMATS = ("csv", "parquet")
RISKY = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet may take for the beginning of a formula (OWASP, CSV injection), full-width forms included."""

Kind = type[str] | type[int] | type[float] | type[bool]


class Table(NamedTuple):
    """A name, the columns with their kind, and blocks of columns: one list (or array) per column."""

    name: str
    columns: Mapping[str, Kind]
    blocks: Iterable[Sequence[Sequence[Any]]]


def export(run: Path, format: str, out: Path | None = None) -> list[Path]:
    """Write summaries, comparisons, their repetitions, outcomes, gaps, gates, quarantined and (where a ledger is) cases of a run into `out`, or `RUN/export`.

    A number that is missing is an empty cell in CSV and null in Parquet; its reason stands in the column `missing`.
    """
    if format not in FORMATS:
        raise ConfigError(f"export format {format!r}: it is csv or parquet{nearest(format, FORMATS)}")
    results = run / "results.json"
    if not results.is_file():
        raise OutputError(f"{results} is not there; `auditor run` writes it at the end of an audit")
    evidence = Evidence.from_json(results.read_text(encoding="utf-8"))
    folder = out or run / "export"
    write = _write_csv if format == "csv" else _parquet_writer()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_whole(folder / f"{table.name}.{format}", table, write) for table in _tables(evidence, run)]
    except OSError as error:
        raise refused(folder, error) from error


def _tables(evidence: Evidence, run: Path) -> Iterator[Table]:
    yield _rows("summaries", Summary, evidence.summaries)
    yield _rows("comparisons", Comparison, evidence.comparisons)
    yield _rows("repeated", Repeat, evidence.repeated)
    yield _rows("operating", OperatingPoint, evidence.operating)
    yield _rows("by_outcome", OutcomeRow, evidence.by_outcome)
    yield _rows("subgroups", SubgroupRow, evidence.subgroups)
    yield _rows("gaps", Gap, evidence.gaps)
    yield _rows("gates", GateOutcome, evidence.gates)
    listed = [[row.get(name) for row in evidence.accounting.get("quarantined", ())] for name in ("id", "reason", "detail")]
    yield Table("quarantined", {"id": str, "reason": str, "detail": str}, [listed])
    if (run / "ledger.db").is_file():
        yield _cases(run)


def _rows(name: str, kind: type, rows: Sequence[Any]) -> Table:
    """A table of dataclass rows; `class_name` is called `class`, as in results.json."""
    hints = get_type_hints(kind)
    columns: dict[str, Kind] = {}
    for field in fields(kind):
        told = str(hints[field.name])
        column = next((number for number in (float, int, bool) if number.__name__ in told), str)
        columns["class" if field.name == "class_name" else field.name] = column
    return Table(name, columns, [[[getattr(row, field.name) for row in rows] for field in fields(kind)]])


def _cases(run: Path) -> Table:
    """A row per model, metric and case, straight from the ledger, one block per metric of a model."""

    def blocks() -> Iterator[Sequence[Sequence[Any]]]:
        for model, analysis, attribution, metric, samples, classes, values, split in cases.columns(run):
            n = len(samples)
            numbers = [None if math.isnan(value) else float(value) for value in values]
            yield [[model] * n, [analysis] * n, [attribution or None] * n, [metric] * n, [split] * n, samples, classes, numbers]

    names = ("model", "analysis", "attribution", "metric", "split", "sample", "class")
    return Table("cases", {**dict.fromkeys(names, str), "value": float}, blocks())


def _whole(path: Path, table: Table, write: Any) -> Path:
    """The file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial, table)
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink()
    return path


def _write_csv(path: Path, table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")  # RFC 4180; with "\n" a lone CR inside a cell would not be quoted
        writer.writerow(table.columns)
        for block in table.blocks:
            columns = [
                [safe_cell(value) for value in column] if kind is str else column
                for kind, column in zip(table.columns.values(), block, strict=True)
            ]
            writer.writerows(zip(*columns, strict=True))


def safe_cell(value: object) -> str:
    """Text that stays text: a quote before anything a spreadsheet might compute.

    >>> safe_cell("=1+1"), safe_cell("-0.5 units"), safe_cell("Mass")
    ("'=1+1", "'-0.5 units", 'Mass')
    """
    text = "" if value is None else str(value)
    return "'" + text if text.lstrip(" ").startswith(RISKY) else text


def _parquet_writer() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingLibrary("Parquet needs pyarrow: pip install auditor[parquet] (or export csv)") from None

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

    def write(path: Path, table: Table) -> None:
        schema = pa.schema([(name, kinds[kind]) for name, kind in table.columns.items()])
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for block in table.blocks:
                file.write_table(pa.table([pa.array(c, t) for c, t in zip(block, schema.types, strict=True)], schema=schema))

    return write
