"""What has been found so far, on disk: one SQLite file, append-only, one transaction per finished chunk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from .conclusion import Conclusion, from_json
from .errors import OutputError
from .identity import digest
from .statistics.rows import Values

SCHEMA = """
create table if not exists chunk(unit text, chunk int, primary key(unit, chunk)) without rowid;
create table if not exists measured(
  unit text, chunk int, metric text, samples blob, targets blob, vals blob, primary key(unit, chunk, metric)) without rowid;
create table if not exists elsewhere(
  unit text, chunk int, metric text, sample int, target int, vals blob, primary key(unit, metric, sample, target)) without rowid;
create table if not exists gap(
  unit text, chunk int, reason text, samples blob, targets blob, primary key(unit, chunk, reason)) without rowid;
create table if not exists picture(
  unit text, chunk int, sample int, target int, height int, width int, pixels blob,
  primary key(unit, sample, target)) without rowid;
create table if not exists vector(
  unit text, chunk int, samples blob, width int, vals blob, primary key(unit, chunk)) without rowid;
create table if not exists last_layer(unit text primary key, width int, vals blob) without rowid;
create table if not exists profile(unit text primary key, content text) without rowid;
create table if not exists quarantine(
  scope text, sample int, reason text, detail text, primary key(scope, sample)) without rowid;
create table if not exists summary(unit text, metric text, val real, primary key(unit, metric)) without rowid;
create table if not exists conclusion(unit text primary key, said text) without rowid;
create table if not exists failure(unit text primary key, error text) without rowid;
create table if not exists declared(scope text primary key, claims text) without rowid;
"""


class Quarantine(NamedTuple):
    """A sample that cannot be used: its number in the plan, a short reason code, and what happened."""

    sample: int
    reason: str
    detail: str


@dataclass
class Found:
    """What one unit of work found in one chunk, before it is written; `gaps` are (sample, target) by reason.

    `elsewhere` holds, by metric, a row of scores [J] for (sample, target): the case's map with boxes of other images. `vectors` are
    embeddings (samples, [n, d]), and `last_layer` [K, d + 1] the weights that read them, the biases last.
    """

    values: dict[str, Values]
    gaps: dict[str, list[tuple[int, int]]]
    pictures: list[tuple[int, int, npt.NDArray[np.float32]]]
    elsewhere: dict[str, list[tuple[int, int, npt.NDArray[np.float64]]]] = field(default_factory=dict)
    vectors: list[tuple[list[int], npt.NDArray[np.float32]]] = field(default_factory=list)
    last_layer: npt.NDArray[np.float64] | None = None


class Ledger:
    """Append-only; a unit of work is named by a digest of all it depends on, so nothing is ever asked for twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file; what was written stays."""
        self._db.close()

    def done(self, unit: str) -> set[int]:
        """Chunks of this unit that are finished."""
        return {chunk for (chunk,) in self._db.execute("select chunk from chunk where unit=?", (unit,))}

    def write(self, chunk: int, found: Mapping[str, Found], quarantined: Mapping[str, Iterable[Quarantine]]) -> None:
        """One chunk of several units: all of it, or none. `quarantined` is by scope: what the finding depends on."""
        with self._transaction() as db:
            for unit, part in found.items():
                db.execute("insert into chunk values (?, ?)", (unit, chunk))
                for metric, values in part.values.items():
                    db.execute(
                        "insert into measured values (?, ?, ?, ?, ?, ?)",
                        (
                            unit,
                            chunk,
                            metric,
                            _bytes(values.sample, "<i4"),
                            _bytes(values.target, "<i4"),
                            _bytes(values.value, "<f8"),
                        ),
                    )
                db.executemany(
                    "insert into elsewhere values (?, ?, ?, ?, ?, ?)",
                    [
                        (unit, chunk, metric, sample, target, _bytes(scores, "<f4"))
                        for metric, rows in part.elsewhere.items()
                        for sample, target, scores in rows
                    ],
                )
                if part.vectors:
                    numbers, width = [number for some, _ in part.vectors for number in some], part.vectors[0][1].shape[1]
                    rows = _bytes(np.concatenate([vectors for _, vectors in part.vectors]), "<f4")
                    db.execute("insert into vector values (?, ?, ?, ?, ?)", (unit, chunk, _bytes(numbers, "<i4"), width, rows))
                if part.last_layer is not None:
                    layer = (unit, part.last_layer.shape[1], _bytes(part.last_layer, "<f8"))
                    db.execute("insert or ignore into last_layer values (?, ?, ?)", layer)
                for reason, cases in part.gaps.items():
                    samples, targets = zip(*cases, strict=True)
                    columns = (_bytes(samples, "<i4"), _bytes(targets, "<i4"))
                    db.execute("insert into gap values (?, ?, ?, ?, ?)", (unit, chunk, reason, *columns))
                db.executemany(
                    "insert into picture values (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (unit, chunk, sample, target, *pixels.shape, _bytes(pixels, "<f4"))
                        for sample, target, pixels in part.pictures
                    ],
                )
            for scope, items in quarantined.items():
                db.executemany("insert or replace into quarantine values (?, ?, ?, ?)", [(scope, *item) for item in items])

    def finish(self, unit: str, summary: Mapping[str, float | None]) -> None:
        """Write what a unit says of the model as a whole; None where that is undefined."""
        with self._transaction() as db:
            db.executemany(
                "insert or replace into summary values (?, ?, ?)", [(unit, name, value) for name, value in summary.items()]
            )

    def conclude(self, unit: str, conclusion: Conclusion) -> None:
        """Write what a unit says of all its cases together."""
        with self._transaction() as db:
            said = json.dumps(conclusion, allow_nan=False)
            db.execute("insert or replace into conclusion values (?, ?)", (unit, said))

    def conclusion(self, unit: str) -> Conclusion:
        """What a unit said of all its cases together."""
        row = self._db.execute("select said from conclusion where unit=?", (unit,)).fetchone()
        return from_json(json.loads(row[0])) if row else Conclusion()

    def fail(self, unit: str, error: str) -> None:
        """Record that a unit failed; it is not called again in this run."""
        with self._transaction() as db:
            db.execute("insert or replace into failure values (?, ?)", (unit, error))

    def failures(self) -> dict[str, str]:
        """{unit: error} of everything that failed."""
        return dict(self._db.execute("select unit, error from failure"))

    def forgive(self) -> None:
        """Forget failures, so that they are tried again."""
        with self._transaction() as db:
            for table in (
                "chunk", "measured", "elsewhere", "vector", "last_layer", "profile", "gap", "picture", "summary", "conclusion",
            ):  # fmt: skip
                db.execute(f"delete from {table} where unit in (select unit from failure)")
            db.execute("delete from failure")

    def declare(self, scope: str, claims: str) -> None:
        """Keep the claims under which something is measured for the first time; later ones change nothing."""
        with self._transaction() as db:
            db.execute("insert or ignore into declared values (?, ?)", (scope, claims))

    def declared(self, scope: str) -> str | None:
        """The claims under which something was first measured."""
        row = self._db.execute("select claims from declared where scope=?", (scope,)).fetchone()
        return None if row is None else str(row[0])

    def values(self, unit: str) -> dict[str, Values]:
        """{metric: its values over all chunks, in sample order} of a unit."""
        parts: dict[str, list[Values]] = {}
        for metric, samples, targets, vals in self._db.execute(
            "select metric, samples, targets, vals from measured where unit=? order by metric, chunk", (unit,)
        ):
            columns = (np.frombuffer(samples, "<i4"), np.frombuffer(targets, "<i4"), np.frombuffer(vals, "<f8"))
            parts.setdefault(metric, []).append(Values(columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2]))
        return {
            metric: Values(*(np.concatenate([getattr(v, field) for v in values]) for field in ("sample", "target", "value")))
            for metric, values in parts.items()
        }

    def elsewhere(self, unit: str) -> dict[str, dict[tuple[int, int], npt.NDArray[np.float32]]]:
        """{metric: {(sample, target): its scores with the boxes of other images [J]}} of a unit."""
        found: dict[str, dict[tuple[int, int], npt.NDArray[np.float32]]] = {}
        for metric, sample, target, scores in self._db.execute(
            "select metric, sample, target, vals from elsewhere where unit=? order by metric, target, sample", (unit,)
        ):
            found.setdefault(metric, {})[sample, target] = np.frombuffer(scores, "<f4")
        return found

    def vectors(self, unit: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """(samples [n], embeddings [n, d]) of a unit, in sample order."""
        rows = self._db.execute("select samples, width, vals from vector where unit=? order by chunk", (unit,)).fetchall()
        if not rows:
            return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
        samples = np.concatenate([np.frombuffer(numbers, "<i4").astype(np.int64) for numbers, _, _ in rows])
        return samples, np.concatenate([np.frombuffer(values, "<f4").reshape(-1, width) for _, width, values in rows])

    def last_layer(self, unit: str) -> npt.NDArray[np.float64] | None:
        """The weights [K, d + 1] that read a unit's embeddings, the biases last."""
        row = self._db.execute("select width, vals from last_layer where unit=?", (unit,)).fetchone()
        return None if row is None else np.frombuffer(row[1], "<f8").reshape(-1, row[0])

    def tell(self, unit: str, content: str) -> None:
        """Write what a unit concluded, as JSON."""
        with self._transaction() as db:
            db.execute("insert or replace into profile values (?, ?)", (unit, content))

    def told(self, unit: str) -> str | None:
        """What a unit concluded, as JSON."""
        row = self._db.execute("select content from profile where unit=?", (unit,)).fetchone()
        return None if row is None else str(row[0])

    def gaps(self, unit: str) -> dict[str, Values]:
        """{reason: the cases that a unit could not use for it}; their values are NaN."""
        parts: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]] = {}
        for reason, samples, targets in self._db.execute(
            "select reason, samples, targets from gap where unit=? order by 1", (unit,)
        ):
            columns = (np.frombuffer(samples, "<i4").astype(np.int64), np.frombuffer(targets, "<i4").astype(np.int64))
            parts.setdefault(reason, []).append(columns)
        found = {reason: [np.concatenate(column) for column in zip(*columns, strict=True)] for reason, columns in parts.items()}
        return {reason: Values(sample, target, np.full(len(sample), np.nan)) for reason, (sample, target) in found.items()}

    def pictures(self, unit: str) -> dict[tuple[int, int], npt.NDArray[np.float32]]:
        """{(sample, target): raw map} kept for the report."""
        rows = self._db.execute("select sample, target, height, width, pixels from picture where unit=?", (unit,))
        return {(s, t): np.frombuffer(data, "<f4").reshape(h, w) for s, t, h, w, data in rows}

    def quarantined(self, scope: str) -> list[Quarantine]:
        """Samples that could not be used, by number."""
        rows = self._db.execute("select sample, reason, detail from quarantine where scope=? order by sample", (scope,))
        return [Quarantine(*row) for row in rows]

    def summary(self, unit: str) -> dict[str, float | None]:
        """{metric: value, or None where undefined} that a unit says of the model as a whole."""
        return dict(self._db.execute("select metric, val from summary where unit=?", (unit,)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _disk(self.path):
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")


def concluded_key(unit: str, training: str | None, left_out: Sequence[Sequence[int]]) -> str:
    """What is concluded from the work on both splits is kept under this; `training` None where only the audited images were seen.

    `left_out` are the samples of both splits that cannot be used, because of this network or of another.
    """
    return digest("concluded", unit, training, [sorted(samples) for samples in left_out])


def of_training(concluded: str) -> str:
    """What was concluded of the training images is kept under this."""
    return f"{concluded} training"


def _bytes(values: Sequence[float] | npt.NDArray[np.generic], kind: str) -> bytes:
    return np.ascontiguousarray(values, dtype=kind).tobytes()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn the ways in which a disk can refuse into one error that says what is wrong and that the run can be resumed."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            f"{path}: {error}; free space or choose another --out, then run again: finished chunks are kept"
        ) from error
    except OSError as error:
        raise refused(path, error) from error


def refused(path: Path, error: OSError) -> OutputError:
    """The error for a place that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(f"{path}: no space left; free some and run again: finished chunks are kept")
    return OutputError(f"{path}: {error.strerror or error}; choose another --out or mend its permissions")


def publish(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise refused(path, error) from error


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the run folder for one process; the kernel lets go when the process ends, however it ends."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        file: IO[str] = (run / ".lock").open("a+")
    except OSError as error:
        raise refused(run, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise OutputError(f"{run} is in use by {holder}; wait for it or choose another --out") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield
