"""Tables of untrusted text: CSV, plain or gzipped, whose mistakes are told by file and line."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor import AuditError, DatasetError, among

MAX_TABLE_BYTES = 512 * 2**20
_NO_TEXT = {
    b"PK\x03\x04": "a zip archive, such as an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def text_of(path: Path) -> str:
    """The text of a file, gunzipped if it ends in .gz, without a byte order mark; raises DatasetError."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            data = handle.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    for beginning, kind in _NO_TEXT.items():
        if data.startswith(beginning):
            raise DatasetError(f"{path}: found {kind}; allowed: a table as CSV")
    if len(data) > MAX_TABLE_BYTES:
        raise DatasetError(f"{path}: more than {MAX_TABLE_BYTES:,} bytes; a table of images is never that long")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}:{line}: not UTF-8 text; save the table as UTF-8") from error


def found(folder: Path, *names: str) -> Path | None:
    """The first of these files that the folder has, each tried plain and then gzipped."""
    return next((path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of every row that is not blank, the header first; raises DatasetError."""
    reader = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: {error}") from error


@dataclass(frozen=True)
class Table:
    """A table with one header row, by column; `lines` are the line numbers of its rows."""

    path: Path
    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def column(self, name: str, option: str = "") -> tuple[str, ...]:
        """The values of a column; raises DatasetError that says which option asked for it."""
        if name not in self.columns:
            asked = f"{option}: " if option else ""
            raise DatasetError(f"{self.path}:1: {asked}no column {name!r}; there is {among(name, self.columns)}")
        return self.columns[name]


def read(path: Path) -> Table:
    """The whole table; ids stay text, rows of the wrong width and columns named twice raise DatasetError."""
    lines = rows(path)
    _, header = next(lines, (0, []))
    names = [name.strip() for name in header]
    if not any(names):
        raise DatasetError(f"{path}: the table is empty; a header row with the names of the columns is expected")
    for sign, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and sign in names[0]:
            raise DatasetError(f"{path}:1: the columns are separated by {called}; allowed: commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"{path}:1: the column {twice[0]!r} is there more than once")
    numbers: list[int] = []
    body: list[Sequence[str]] = []
    for number, fields in lines:
        if len(fields) != len(names):
            raise DatasetError(f"{path}:{number}: {len(fields)} fields under {len(names)} columns")
        numbers.append(number)
        body.append(fields)
    columns = zip(*body, strict=True) if body else (() for _ in names)
    return Table(path, dict(zip(names, map(tuple, columns), strict=True)), tuple(numbers))


def told(looks: Iterable[tuple[str, Callable[[], object]]]) -> Iterator[str]:
    """What each look at an option finds wrong, "option: message"; one message per option, and none twice.

    `groups[0]` and `groups[1]` are options of their own; `groups` as a whole is not looked at where one of them is wrong.
    """
    wrong: set[str] = set()
    said: set[str] = set()
    for option, look in looks:
        if option in wrong:
            continue
        try:
            look()
        except AuditError as error:
            wrong |= {option, option.partition("[")[0]}
            if str(error) not in said:
                said.add(str(error))
                yield f"{option}: {error}"


def number(text: str, place: str) -> float:
    """A number of a table; `place` is its file and line."""
    try:
        return float(text)
    except ValueError as error:
        raise DatasetError(f"{place}: {text[:40]!r} is not a number") from error
