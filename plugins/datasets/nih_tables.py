"""The tables of ChestX-ray14, both generations of them, with their mistakes told by file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from auditor import DatasetError, among, nearest

from .tables import number, rows, text_of

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
NO_FINDING = "No Finding"
ALIASES = {"Infiltrate": "Infiltration", "Pleural Thickening": "Pleural_Thickening"}
UNLABELLED = ("Calcification", "Diffuse Nodule", "Fracture")
"""What ChestX-Det has boxes for and the NIH has no label for."""

MORE_BOXES = "chestxdet_boxes.csv"


class Entry(NamedTuple):
    """One row of Data_Entry."""

    line: int
    image: str
    findings: str
    patient: str
    age: str
    sex: str
    view: str


class BoxRow(NamedTuple):
    """One row of a list of boxes: x, y, width, height in pixels of the 1024 x 1024 distribution."""

    image: str
    finding: str
    corner_and_size: tuple[float, ...]


def box_rows(path: Path) -> Iterator[BoxRow]:
    """The first six fields of every row; the NIH's header claims nine."""
    more = path.name.startswith(MORE_BOXES)
    lines = rows(path)
    _, header = next(lines, (0, []))
    expected = ["image_index", "finding"] if more else ["Image Index", "Finding Label"]
    if [name.strip() for name in header[:2]] != expected:
        raise DatasetError(f"{path}:1: the columns should begin {', '.join(expected)}")
    known = (*FINDINGS, *ALIASES, *(UNLABELLED if more else ()))
    for line, fields in lines:
        place = f"{path}:{line}"
        if len(fields) < 6:
            raise DatasetError(f"{place}: {len(fields)} fields; image, finding, x, y, width, height are expected")
        if fields[1] not in known:
            raise DatasetError(f"{place}: unknown finding {fields[1]!r}{nearest(fields[1], known)}")
        yield BoxRow(fields[0], ALIASES.get(fields[1], fields[1]), tuple(number(field, place) for field in fields[2:6]))


def entries(path: Path) -> Iterator[Entry]:
    """The rows of Data_Entry; both generations of its header claim other widths than their rows have, so names count."""
    lines = rows(path)
    _, header = next(lines, (0, []))
    place = {name.strip(): column for column, name in enumerate(header)}
    for name in ("Image Index", "Finding Labels", "Patient ID"):
        if name not in place:
            raise DatasetError(f"{path}:1: no column {name!r}; there is {among(name, place)}")
    image, findings, patient = (place[name] for name in ("Image Index", "Finding Labels", "Patient ID"))
    age, view = place.get("Patient Age"), place.get("View Position")
    sex = place.get("Patient Gender", place.get("Patient Sex"))
    last = max(column for column in (image, findings, patient, age, sex, view) if column is not None)
    for line, fields in lines:
        if len(fields) <= last:
            raise DatasetError(f"{path}:{line}: {len(fields)} fields; at least {last + 1} are expected")
        if not (fields[image] and fields[patient]):
            raise DatasetError(f"{path}:{line}: the image or its patient is not named")
        yield Entry(
            line,
            fields[image],
            fields[findings],
            fields[patient],
            _years(fields[age]) if age is not None else "",
            fields[sex] if sex is not None else "",
            fields[view] if view is not None else "",
        )


def known_of_people(path: Path) -> tuple[str, ...]:
    """Which of age, sex and view the header of Data_Entry has."""
    _, header = next(rows(path), (0, []))
    names = {name.strip() for name in header}
    known = {"age": {"Patient Age"}, "sex": {"Patient Gender", "Patient Sex"}, "view": {"View Position"}}
    return tuple(what for what, columns in known.items() if names & columns)


def _years(age: str) -> str:
    """The first release writes 058Y where the second writes 58; months and days stay as they are."""
    return age[:-1].lstrip("0") or "0" if age.endswith("Y") else age


def findings_of(row: Entry, path: Path) -> frozenset[str]:
    """The findings of a row; empty for "No Finding"."""
    if row.findings == NO_FINDING:
        return frozenset()
    names = frozenset(ALIASES.get(name, name) for name in row.findings.split("|"))
    for name in sorted(names - set(FINDINGS)):
        raise DatasetError(f"{path}:{row.line}: unknown finding {name!r}{nearest(name, (*FINDINGS, NO_FINDING))}")
    return names


def listed(path: Path) -> list[tuple[int, str]]:
    """(line number, image) of every line that is not blank."""
    return [(number, line.strip()) for number, line in enumerate(text_of(path).splitlines(), 1) if line.strip()]
