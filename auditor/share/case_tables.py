"""cases/: the value of every case under pseudonyms, a wide table per analysis, so that every number can be made again."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from .. import cases
from ..cases import CaseColumn
from ..dataset import Sample
from ..export import safe_cell
from ..statistics.rows import IMAGE
from .cells import Cells, few
from .pseudonyms import Pseudonyms
from .record import Record

UNDEFINED = "undefined"
"""In the place of a value that a case was measured for and does not have; empty: it was not measured for it."""
ABOUT = ("split", "model", "image", "patient", "class", "label")
FOLDER = "cases"


class Written(NamedTuple):
    """How many tables, rows and cells were written, and how many classes of a table were left out for having too few patients."""

    tables: int
    rows: int
    left_out: int


def write(run: Path, into: Path, record: Record, cells: Cells, pseudonyms: Pseudonyms) -> Written:
    """Write every table into `into/cases`; numbers in full precision, `undefined` where there is none, an empty cell where none was asked for.

    Rows are in order of split, model (as in results.json), class, pseudonym of the image.
    """
    metrics: dict[str, list[str]] = defaultdict(list)
    for column in cases.columns(run):
        if column.metric not in metrics[name := file_name(column)]:
            metrics[name].append(column.metric)
    samples = {sample.id: sample for sample in record.samples}
    rows = left_out = 0
    (into / FOLDER).mkdir()
    for name, found in metrics.items():
        (into / FOLDER / name).write_bytes(line([*ABOUT, *found]))
    for about, group in groupby(cases.columns(run), key=lambda column: (file_name(column), column.model, column.split)):
        columns, name = list(group), about[0]
        table, gone = _table(columns, metrics[name], samples, record, cells, pseudonyms)
        with (into / FOLDER / name).open("ab") as file:
            for row in table:
                file.write(line(row))
                rows += 1
        left_out += gone
    return Written(len(metrics), rows, left_out)


def file_name(column: CaseColumn) -> str:
    """`<analysis>[-<attribution>].csv`, with a `_` for what no file name should hold.

    >>> file_name(CaseColumn("m", "alignment", "captum:Occlusion", "cbl", [], [], None))
    'alignment-captum_Occlusion.csv'
    """
    parts = [column.analysis, column.attribution] if column.attribution else [column.analysis]
    return "-".join(re.sub(r"[^\w.]", "_", part) for part in parts) + ".csv"


def _table(
    columns: list[CaseColumn],
    metrics: list[str],
    samples: Mapping[str, Sample],
    record: Record,
    cells: Cells,
    pseudonyms: Pseudonyms,
) -> tuple[Iterator[list[str]], int]:
    """(rows of one network on one split, number of classes left out)."""
    classes = list(record.plan["dataset"]["classes"])
    values: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for column in columns:
        for sample, name, value in zip(column.samples, column.classes, column.values.tolist(), strict=True):
            values[name][sample][column.metric] = value
    kept = [name for name in (*classes, IMAGE) if name in values and not _too_small(name, values[name], samples, cells)]
    about = (columns[0].split, columns[0].model)

    def rows() -> Iterator[list[str]]:
        for name in kept:
            for image, sample in sorted((pseudonyms.image(sample), sample) for sample in values[name]):
                known, found = samples[sample], values[name][sample]
                label = known.labels[classes.index(name)] if name != IMAGE else None
                yield [
                    *about, image, pseudonyms.patient(known.patient), name, "" if label is None else str(label),
                    *(_cell(found.get(metric)) for metric in metrics),
                ]  # fmt: skip

    return rows(), len(values) - len(kept)


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value) if value == value else UNDEFINED


def _too_small(name: str, cases_of: Iterable[str], samples: Mapping[str, Sample], cells: Cells) -> bool:
    return name in cells.withheld or few(len({samples[sample].patient for sample in cases_of}))


def line(cells: Iterable[str]) -> bytes:
    """A line of a table, in which no text is a formula."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow([_text(cell) for cell in cells])
    return file.getvalue().encode("utf-8")


def _text(cell: str) -> str:
    """Text that no spreadsheet takes for a formula; a number as it is."""
    try:
        float(cell)
    except ValueError:
        return safe_cell(cell)
    return cell
