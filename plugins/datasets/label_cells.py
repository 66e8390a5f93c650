"""Labels as tables hold them: a column of 0 and 1 per class, or one column of names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from auditor import DatasetError, nearest

from .tables import Table

Labels = tuple[int | None, ...]

VALUES: dict[str, int | None] = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": None, "-1.0": None, "": None}
"""What a cell of a class column may hold; -1 and nothing at all mean that the label is unknown."""

WORDS = frozenset({"nan", "na", "n/a", "none", "null", "?", "yes", "no", "true", "false", "uncertain"})
"""What others write in such cells; a column that mixes them with 0 and 1 is a class written otherwise, and no column to pass over."""

NO_FINDING = "No Finding"


@dataclass(frozen=True)
class Labelling:
    """The labels of every row, where the classes come from, and the names that the table has beyond them, with how often."""

    classes: tuple[str, ...]
    labels: Sequence[Labels]
    origin: str
    others: tuple[tuple[str, int], ...] = ()


def label_columns(table: Table, chosen: Sequence[str], reserved: Set[str]) -> Labelling:
    """Labels from a column per class; without a choice every column that holds nothing but 0, 1, -1 and blanks is a class."""
    if not table.lines:
        raise DatasetError(f"{table.path}: there is no row under the header")
    for name in () if chosen else [name for name in table.columns if name not in reserved]:
        if _is_nearly_class(table.columns[name]):
            class_column(table, name)  # raises with the line
    fitting = [name for name, cells in table.columns.items() if name and name not in reserved and _is_class(cells)]
    if not (chosen or fitting):
        raise DatasetError(f"{table.path}:1: no column holds only 0, 1, -1 or nothing; say class_names or label_column")
    classes = tuple(chosen or fitting)
    columns = [class_column(table, name) for name in classes]
    others = tuple(
        (name, sum(VALUES[cell.strip()] == 1 for cell in table.columns[name])) for name in fitting if name not in classes
    )
    origin = "Classes are the columns " + ("named in class_names." if chosen else f"of 0 and 1: {', '.join(classes)}.")
    return Labelling(classes, list(zip(*columns, strict=True)), origin, others)


def _is_class(cells: Sequence[str]) -> bool:
    values = {cell.strip() for cell in set(cells)}
    return values <= VALUES.keys() and any(VALUES[value] is not None for value in values)


def _is_nearly_class(cells: Sequence[str]) -> bool:
    values = {cell.strip() for cell in set(cells)}
    others = values - VALUES.keys()
    return bool(others) and bool(values & {"0", "1", "0.0", "1.0"}) and all(value.lower() in WORDS for value in others)


def class_column(table: Table, name: str) -> list[int | None]:
    """The labels of one class; raises DatasetError where there is no such column, or a cell that is no label."""
    cells = table.column(name, "class_names")
    value_of = {cell: VALUES[cell.strip()] for cell in set(cells) if cell.strip() in VALUES}
    for cell, line in zip(cells, table.lines, strict=True):
        if cell not in value_of:
            raise DatasetError(f"{table.path}:{line}: {name} is {cell[:40]!r}; 1, 0, and -1 or nothing for unknown are read")
    return [value_of[cell] for cell in cells]


def label_names(table: Table, column: str, chosen: Sequence[str]) -> Labelling:
    """Labels from one column of names joined by "|"; an empty cell is unknown, "No Finding" is none."""
    cells = table.column(column, "label_column")
    times, line_of = Counter(cells), dict(zip(reversed(cells), reversed(table.lines), strict=True))
    names_of = {cell: _names(cell, f"{table.path}:{line_of[cell]}") for cell in times}
    seen: Counter[str] = Counter()
    for cell, names in names_of.items():
        seen.update(dict.fromkeys(names, times[cell]))
    classes = tuple(chosen) or tuple(sorted(set(seen) - {NO_FINDING}))
    if not classes:
        raise DatasetError(f"{table.path}: {column} names no finding; say class_names")
    others = tuple((name, seen[name]) for name in sorted(set(seen) - {*classes, NO_FINDING}))
    for name in classes:
        hint = nearest(name, [other for other, _ in others])
        if not seen[name] and hint:
            raise DatasetError(f"{table.path}: class_names: no row is labelled {name!r}{hint}")
    labels_of = {cell: _labels(names, classes) for cell, names in names_of.items()}
    origin = f"Classes are the names in the column {column}" + (" that class_names lists." if chosen else ".")
    return Labelling(classes, [labels_of[cell] for cell in cells], origin, others)


def _names(cell: str, place: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in cell.split("|") if name.strip())
    if NO_FINDING in names and len(names) > 1:
        raise DatasetError(f"{place}: {cell[:80]!r} says {NO_FINDING} and a finding")
    return names


def _labels(names: frozenset[str], classes: Sequence[str]) -> Labels:
    return tuple(int(name in names) if names else None for name in classes)
