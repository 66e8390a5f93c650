"""The case tables of a bundle, read with suspicion: every cell is checked before a number is made of it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..cases import CaseColumn
from ..errors import AuditError, among, nearest
from ..evidence import Evidence
from ..share.boxed_tables import END
from ..share.case_tables import ABOUT, FOLDER, UNDEFINED, file_name
from ..statistics.rows import IMAGE
from .files import LARGEST

SPLITS = ("audited", "training")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
LABELS: Mapping[str, int | None] = {"1": 1, "0": 0, "": None}
KEPT = 131_072
"""Letters of one cell at most."""
Floats = npt.NDArray[np.float64]


class Part(NamedTuple):
    """The rows of one network on one split: images and classes [P], and by metric the values [P].

    NaN where a value is undefined, infinite where the case was not measured for the metric.
    """

    split: str
    model: str
    analysis: str
    attribution: str | None
    images: list[str]
    classes: list[str]
    values: dict[str, Floats]


class Cases(NamedTuple):
    """All tables of a bundle; `patients` by split and image, `labels` by split, image and class."""

    parts: list[Part]
    patients: dict[tuple[str, str], str]
    labels: dict[tuple[str, str, str], int | None]

    def columns(self, analysis: str, attribution: str | None) -> set[str]:
        """The metrics that the table of an analysis holds."""
        return {
            name for part in self.parts if (part.analysis, part.attribution) == (analysis, attribution) for name in part.values
        }


def read(bundle: Path, told: Evidence) -> Cases:
    """Every table in cases/; raises AuditError naming the file, line and column of what cannot be a case."""
    allowed, boxed = names(told, ".csv"), names(told, END)
    found = Cases([], {}, {})
    folder = bundle / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in boxed:
            continue
        if path.name not in allowed:
            raise AuditError(f"{path}: belongs to no analysis of results.json; allowed: {', '.join(sorted(allowed))}")
        if path.stat().st_size > LARGEST:
            raise AuditError(f"{path}: found {path.stat().st_size:,} bytes; allowed: at most {LARGEST:,}")
        _read_table(path, allowed[path.name], told, found)
    return found


def names(told: Evidence, end: str) -> dict[str, tuple[str, str | None]]:
    """{file name: (analysis, attribution)} of every table with this end that this audit could have."""
    looks: list[str | None] = [None, *(item["use"] for item in told.audit["attributions"])]
    pairs = [(item["use"], look) for item in told.audit["analyses"] for look in looks]
    return {file_name(CaseColumn("", *pair, "", [], [], np.zeros(0))).removesuffix(".csv") + end: pair for pair in pairs}


def _read_table(path: Path, about: tuple[str, str | None], told: Evidence, found: Cases) -> None:
    models, classes = [str(model["id"]) for model in told.models], [*told.dataset["classes"], IMAGE]
    rows = lines(path)
    header = next(rows, (1, []))[1]
    metrics = header[len(ABOUT) :]
    _check_header(path, header, metrics, told)
    table: dict[tuple[str, str], tuple[list[str], list[str], list[list[float]]]] = {}
    seen: set[tuple[str, ...]] = set()
    for number, row in rows:
        place = f"{path}:{number}"
        if len(row) != len(header):
            raise AuditError(f"{place}: found {len(row)} cells; allowed: {len(header)}, as in the first line")
        split, model, image, patient, name, label = (plain(cell) for cell in row[: len(ABOUT)])
        _choice(place, "split", split, SPLITS)
        _choice(place, "model", model, models)
        _choice(place, "class", name, classes)
        _choice(place, "label", label, tuple(LABELS))
        if (split, model, image, name) in seen:
            raise AuditError(f"{place}: found {image} with {name} of {model} a second time; allowed: each case once")
        seen.add((split, model, image, name))
        if found.patients.setdefault((split, image), patient) != patient:
            raise AuditError(
                f"{place}: patient: found {patient}; allowed: {found.patients[split, image]}, whose image it is elsewhere"
            )
        if name != IMAGE and found.labels.setdefault((split, image, name), LABELS[label]) != LABELS[label]:
            raise AuditError(f"{place}: label: found {label!r}; allowed: what the other rows of this image and class say")
        images, names, values = table.setdefault((split, model), ([], [], []))
        images.append(image)
        names.append(name)
        values.append([_value(place, metric, cell) for metric, cell in zip(metrics, row[len(ABOUT) :], strict=True)])
    for (split, model), (images, names, values) in table.items():
        columns = np.array(values, np.float64).reshape(len(images), len(metrics)).T
        found.parts.append(Part(split, model, *about, images, names, dict(zip(metrics, columns, strict=True))))


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of a table."""
    csv.field_size_limit(KEPT)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                yield reader.line_num, row
    except UnicodeDecodeError:
        raise AuditError(f"{path}: found bytes that are not UTF-8; allowed: text in UTF-8") from None
    except csv.Error as error:
        raise AuditError(f"{path}: found what is no table of cells separated by commas ({error})") from error


def _check_header(path: Path, header: Sequence[str], metrics: Sequence[str], told: Evidence) -> None:
    for number, name in enumerate(ABOUT):
        if header[number : number + 1] != [name]:
            got = header[number] if number < len(header) else "nothing"
            raise AuditError(f"{path}:1: column {number + 1}: found {got[:60]!r}; allowed: {name!r}")
    for name in metrics:
        if name not in told.metrics:
            hint = nearest(name, told.metrics)
            raise AuditError(f"{path}:1: found the column {name[:60]!r}; allowed: a metric of results.json{hint}")
    if len(set(metrics)) < len(metrics):
        raise AuditError(f"{path}:1: found a column twice; allowed: each metric once")


def _choice(place: str, column: str, found: str, allowed: Sequence[str]) -> None:
    if found not in allowed:
        choices = among(found, [choice or "(empty)" for choice in allowed])
        raise AuditError(f"{place}: {column}: found {found[:60]!r}; allowed: {choices}")


def plain(cell: str) -> str:
    """Text without the quote that keeps a spreadsheet from computing it."""
    return cell[1:] if cell.startswith("'") else cell


def _value(place: str, metric: str, cell: str) -> float:
    if not cell:
        return math.inf
    if cell == UNDEFINED:
        return math.nan
    value = float(cell) if NUMBER.fullmatch(cell) else math.nan
    if not math.isfinite(value):
        raise AuditError(
            f"{place}: {metric}: found {cell[:40]!r}; allowed: a finite number, {UNDEFINED}, or an empty cell where none was asked for"
        )
    return value
