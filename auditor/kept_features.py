"""Features kept on disk between the two looks of an analysis, so that the second look costs no forward pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .analysis import Analysis
from .batch import Batch
from .boxes import Frame
from .ledger import Quarantine, publish


@dataclass(frozen=True)
class Kept:
    """What is known of a chunk: the samples whose features were kept, the others that were read, and the quarantined."""

    rows: list[int]
    frames: list[Frame]
    size: tuple[int, int]
    shape: list[int]
    others: list[int]
    other_frames: list[Frame]
    quarantined: dict[str, list[Quarantine]]
    packs: list[list[int]]
    data: Path

    def parts(self) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """Features [n, C, h, w] batch by batch, as they were added, and which of `rows` they are."""
        if not self.rows:
            return
        from .thinned import Packed, unpack

        channels, height, width = self.shape
        first = 0
        with self.data.open("rb") as file:
            for lengths in self.packs:
                marks = np.fromfile(file, np.uint8, len(lengths) * channels * -(-height * width // 8))
                values, floor = np.fromfile(file, np.float32, sum(lengths)), np.fromfile(file, np.float32, channels)
                packed = Packed(marks.reshape(len(lengths), channels, -1), values, np.array(lengths, np.int64), floor)
                yield slice(first, first + len(lengths)), unpack(packed, height, width)
                first += len(lengths)


def observes(analysis: Analysis) -> frozenset[str]:
    """What an analysis needs on its first look."""
    return frozenset(getattr(analysis, "observes", analysis.needs))


def place(folder: Path, chunk: int) -> Path:
    """The file that says what was kept of a chunk; it is there only when all of it is."""
    return folder / f"{chunk:06d}.json"


def read(folder: Path, chunk: int) -> Kept:
    """What was kept of a chunk."""
    path = place(folder, chunk)
    about = json.loads(path.read_text())
    return Kept(
        about["rows"],
        [Frame(*frame) for frame in about["frames"]],
        (about["size"][0], about["size"][1]),
        about["shape"],
        about["others"],
        [Frame(*frame) for frame in about["other_frames"]],
        {scope: [Quarantine(*item) for item in items] for scope, items in about["quarantined"].items()},
        about["packs"],
        path.with_suffix(".packed"),
    )


class Keeper:
    """Writes the features of a chunk as its batches come; does nothing when no analysis looks twice."""

    def __init__(self, folder: Path, chunk: int, analyses: Sequence[Analysis]) -> None:
        self._path = place(folder, chunk)
        self._wanted = {needs for analysis in analyses for needs in (observes(analysis), analysis.needs)}
        self._about: dict[str, Any] = {"rows": [], "frames": [], "size": [0, 0], "shape": [], "others": [], "other_frames": []}
        self._about["packs"] = []
        self._data: IO[bytes] | None = None

    def __enter__(self) -> Keeper:
        if self._wanted:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._data = self._path.with_suffix(".packed").open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._data:
            self._data.close()

    def add(self, batch: Batch, numbers: list[int], floor: npt.NDArray[np.float32] | None) -> None:
        """Keep the features of the samples of this batch that any analysis can use, as far as they matter (see `Analysis.floor`)."""
        if self._data is None:
            return
        rows = sorted({image for needs in self._wanted for image, _ in batch.cases(needs)[0]})
        others = [image for image in range(len(numbers)) if image not in rows and image not in batch.skip]
        self._about["others"] += [numbers[image] for image in others]
        self._about["other_frames"] += [list(batch.frames[image]) for image in others]
        self._about["size"] = list(batch.size)
        if rows:
            self._about["rows"] += [numbers[image] for image in rows]
            self._about["frames"] += [list(batch.frames[image]) for image in rows]
            self._write(batch.features if len(rows) == len(numbers) else batch.features[rows], floor)

    def _write(self, features: Tensor, floor: npt.NDArray[np.float32] | None) -> None:
        from .thinned import pack
        from .thresholds import planes

        assert self._data is not None
        maps = planes(features)
        packed = pack(maps, np.full(maps.shape[1], -np.inf, np.float32) if floor is None else floor)
        for part in (packed.marks, packed.values, packed.floor):
            self._data.write(np.ascontiguousarray(part).data)
        self._about["shape"] = list(maps.shape[1:])
        self._about["packs"].append(packed.lengths.tolist())

    def finish(self, quarantined: dict[str, list[Quarantine]]) -> None:
        """Publish; the .json comes last, so that a killed run leaves no half of it.

        The quarantined samples of the chunk go with it: a chunk that need not be streamed again must not lose them.
        """
        if self._data is not None:
            self._data.close()
            publish(self._path, json.dumps({**self._about, "quarantined": quarantined}).encode())
