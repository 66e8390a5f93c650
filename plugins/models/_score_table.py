"""Reads a CSV file of scores strictly: every complaint names the file and the line."""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from auditor import ModelRefused, nearest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LONGEST_LINE = 1 << 20


def read_header(path: Path) -> list[str]:
    """The column names, which must differ from one another."""
    with _opened(path) as lines:
        header = next(csv.reader(lines), [])
    if len(header) < 2:
        raise ModelRefused(f"{path}:1: found {header}; allowed: a header with the image column and one column per class")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise ModelRefused(f"{path}:1: the columns {', '.join(map(repr, twice))} are there twice; rename one")
    return header


@lru_cache(maxsize=16)
def read_table(
    path: Path, digest: str, image: int, columns: tuple[int, ...], kind: str
) -> tuple[dict[str, int], npt.NDArray[np.float64]]:
    """({image id: row}, values [N, K]) of these columns, all finite, probabilities within 0..1.

    `digest` is that of the file, so that a changed file is read again.
    """
    import numpy as np

    del digest
    rows: dict[str, int] = {}
    values: list[list[float]] = []
    width = len(read_header(path))
    with _opened(path) as lines:
        reader = csv.reader(lines)
        next(reader)
        for cells in reader:
            if not cells:
                continue
            place = f"{path}:{reader.line_num}"
            if len(cells) != width:
                raise ModelRefused(f"{place}: {len(cells)} cells under {width} columns")
            if cells[image] in rows:
                raise ModelRefused(f"{place}: {cells[image]!r} has a row already; an image has one")
            rows[cells[image]] = len(values)
            values.append([_number(cells[column], kind, place) for column in columns])
    if not values:
        raise ModelRefused(f"{path} has no rows of scores")
    table = np.array(values, dtype=np.float64)
    table.flags.writeable = False
    return rows, table


def _number(cell: str, kind: str, place: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # float() reads 1_0 as 10
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ModelRefused(f"{place}: found {cell!r}; allowed: a finite number (leave an image without scores out)")
    if kind == "probabilities" and not 0 <= value <= 1:
        raise ModelRefused(f"{place}: found {cell}; allowed: probabilities within 0..1, or say `values: logits`")
    return value


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[str]]:
    """The lines of a .csv or .csv.gz; whatever is wrong with the file becomes ModelRefused."""
    if not path.is_file():
        near = nearest(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""
        raise ModelRefused(f"table: there is no file {path}{near}")
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield _lines(text, path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ModelRefused(f"{path} cannot be read as CSV ({type(error).__name__}: {error})") from error


def _lines(text: IO[str], path: Path) -> Iterator[str]:
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise ModelRefused(f"{path}:{number}: a line of more than {LONGEST_LINE} characters is no row of scores")
        yield line
