"""NIH ChestX-ray14 as the NIH distributes it: 112,120 radiographs of 30,805 patients, 984 boxes.

Wang et al., ChestX-ray8, CVPR 2017. The additional boxes are those of ChestX-Det (Lian et al., 2021).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from auditor import Box, ConfigError, Dataset, DatasetError, Sample, hookimpl
from auditor.imaging import file_version
from auditor.wording import how_many

from .nih_tables import (
    FINDINGS,
    MORE_BOXES,
    NO_FINDING,
    UNLABELLED,
    Entry,
    box_rows,
    entries,
    findings_of,
    known_of_people,
    listed,
)
from .tables import found, told

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UNHEALTHY = "Unhealthy"
BOX_FRAME = 1024
ENTRIES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOXES = "BBox_List_2017.csv"
LISTS = {"test": "test_list.txt", "train_val": "train_val_list.txt"}


@dataclass(frozen=True)
class ChestXray14(Dataset):
    """ChestX-ray14 in `root`: the NIH's tables and lists, and images in `images/`, `images_001/images/` ... or `root` itself.

    `split` picks the official list: "test", or "train_val" ("train" is the same list), or "all". `task: binary` has the one
    class "Unhealthy"; `no_finding` adds "No Finding" as a fifteenth class. Tables may be gzipped.
    """

    name: ClassVar[str] = "chestxray14"

    root: Path
    split: Literal["test", "train", "train_val", "all"] = "test"
    task: Literal["multilabel", "binary"] = "multilabel"
    no_finding: bool = False
    boxes: Literal["nih", "nih+chestxdet"] = "nih"

    def classes(self) -> tuple[str, ...]:
        """The 14 findings in the NIH's order, or "Unhealthy"."""
        if self.task == "binary":
            if self.no_finding:
                raise ConfigError("no_finding: true means nothing with task: binary; leave one of them out")
            return (UNHEALTHY,)
        return (*FINDINGS, NO_FINDING) if self.no_finding else FINDINGS

    def index(self) -> list[Sample]:
        """Every image of the split, in the order of Data_Entry; no image is opened."""
        table = self._entries_path()
        split_of = self._splits()
        wanted = "train_val" if self.split == "train" else self.split
        boxes, files = self._boxes(), _files(self.root)
        labels: dict[str, tuple[int | None, ...]] = {}
        about: dict[tuple[str, str, str], Mapping[str, str]] = {}
        samples: list[Sample] = []
        seen: set[str] = set()
        for row in entries(table):
            if row.image in seen:
                raise DatasetError(f"{table}:{row.line}: {row.image} is listed a second time")
            seen.add(row.image)
            if row.findings not in labels:
                labels[row.findings] = self._labels(findings_of(row, table))
            split = split_of.get(row.image, "")
            if wanted not in ("all", split):
                continue
            source, version, problem = _whereabouts(files.get(row.image))
            person = (row.age, row.sex, row.view)
            if person not in about:
                about[person] = dict(zip(("age", "sex", "view"), person, strict=True))
            samples.append(
                Sample(
                    row.image, row.patient, labels[row.findings], boxes.get(row.image, ()), split, source, version,
                    problem, about[person],
                )
            )  # fmt: skip
        self._check_rows("the official lists", split_of, seen, table)
        self._check_rows(BOXES if self.boxes == "nih" else f"{BOXES} and {MORE_BOXES}", boxes, seen, table)
        return samples

    def read(self, sample: Sample) -> npt.NDArray[np.float32]:
        """Pixels [1, H, W] of a PNG."""
        from auditor.imaging import read_picture, safe_path

        folder, _, file = sample.source.rpartition("/")
        return read_picture(safe_path(self.root / folder, file or sample.id))

    def train_counts(self) -> tuple[int, Mapping[str, int]] | None:
        """(images, positives per class) of the official train_val list; None where the list is not there."""
        path = found(self.root, LISTS["train_val"])
        if path is None:
            return None
        table, chosen = self._entries_path(), {image for _, image in listed(path)}
        occurrences: dict[str, int] = {}
        first: dict[str, Entry] = {}
        for row in entries(table):
            if row.image in chosen:
                occurrences[row.findings] = occurrences.get(row.findings, 0) + 1
                first.setdefault(row.findings, row)
        counts = dict.fromkeys(self.classes(), 0)
        for findings, times in occurrences.items():
            for name, label in zip(counts, self._labels(findings_of(first[findings], table)), strict=True):
                counts[name] += times * (label or 0)
        return sum(occurrences.values()), counts

    def attributes(self) -> tuple[str, ...] | None:
        """Age, sex and view position, as far as Data_Entry has them."""
        path = found(self.root, *ENTRIES)
        return None if path is None else known_of_people(path)

    def mistakes(self) -> Iterator[str]:
        """Tables and lists that are not there, or are not those of the NIH; options that do not go together."""
        if self.root.is_file():
            yield f"root: found a file, {self.root}; allowed: the folder of the NIH's tables"
        if self.root.is_dir():
            yield from told(
                (
                    ("root", lambda: next(entries(self._entries_path()), None)),
                    ("split", self._splits),
                    ("boxes", self._boxes),
                    ("no_finding", self.classes),
                )
            )

    def notes(self) -> tuple[str, ...]:
        """Label noise, the frame of the boxes, where the boxes are, and what of them was left out."""
        split_of = self._splits()
        boxes = [box for source in self._box_sources() for box in box_rows(source)]
        used = [box for box in boxes if box.finding in FINDINGS]
        images = {box.image for box in used}
        notes = [
            "Labels were mined from radiology reports by text processing (Wang et al., CVPR 2017), not read from the images.",
            f"Boxes are in pixels of the {BOX_FRAME} x {BOX_FRAME} distribution, whatever the size of the files here.",
            "Boxed images were taken at higher prevalence than the data set's; shares among them are not prevalences.",
        ]
        if not found(self.root, BOXES):
            notes.append(f"{BOXES} is not in the folder: nothing that needs boxes of the NIH can be measured.")
        if used:
            where = {split: sum(split_of.get(image) == split for image in images) for split in LISTS}
            notes.append(
                f"{len(used)} boxes on {len(images)} images, of which {where['test']} in the official test list"
                f" and {where['train_val']} in train_val."
            )
        if len(used) < len(boxes):
            notes.append(
                f"{len(boxes) - len(used)} boxes of ChestX-Det were left out: {', '.join(UNLABELLED)} have no label here."
            )
        return tuple(notes)

    def _labels(self, findings: frozenset[str]) -> tuple[int | None, ...]:
        if self.task == "binary":
            return (int(bool(findings)),)
        labels = tuple(int(name in findings) for name in FINDINGS)
        return (*labels, int(not findings)) if self.no_finding else labels

    def _entries_path(self) -> Path:
        path = found(self.root, *ENTRIES)
        if path is None:
            raise DatasetError(
                f"{self.root}: no {' or '.join(ENTRIES)} here (plain or .gz); root is the folder of the NIH's tables"
            )
        return path

    def _splits(self) -> dict[str, str]:
        """The official list each image is in; the list that `split` asks for must be there."""
        needed = {"all": "", "train": "train_val"}.get(self.split, self.split)
        split_of: dict[str, str] = {}
        for split, file in LISTS.items():
            path = found(self.root, file)
            if path is None:
                if split == needed:
                    raise DatasetError(
                        f"{self.root}: split {self.split} needs the NIH's {file} (plain or .gz), which is not here"
                    )
                continue
            for line, image in listed(path):
                if split_of.setdefault(image, split) != split:
                    raise DatasetError(f"{path}:{line}: {image} is in {LISTS[split_of[image]]} too")
        return split_of

    def _check_rows(self, where: str, images: Iterable[str], seen: set[str], table: Path) -> None:
        strangers = [image for image in images if image not in seen]
        if strangers:
            raise DatasetError(
                f"{self.root}: found {how_many(len(strangers), 'image')} of {where} without a row in {table.name}, the first is"
                f" {strangers[0]!r}; the tables do not belong together, or one was cut short"
            )

    def _box_sources(self) -> list[Path]:
        files = [BOXES] if self.boxes == "nih" else [BOXES, MORE_BOXES]
        paths = [found(self.root, file) for file in files]
        if self.boxes != "nih" and paths[-1] is None:
            raise DatasetError(f"{self.root}: boxes {self.boxes} needs {MORE_BOXES} (plain or .gz), which is not here")
        return [path for path in paths if path is not None]

    def _boxes(self) -> dict[str, tuple[Box, ...]]:
        boxes: dict[str, tuple[Box, ...]] = {}
        for source in self._box_sources():
            for row in box_rows(source):
                if row.finding in FINDINGS:
                    label = UNHEALTHY if self.task == "binary" else row.finding
                    left, top, width, height = (value / BOX_FRAME for value in row.corner_and_size)
                    boxes[row.image] = (*boxes.get(row.image, ()), Box(label, left, top, left + width, top + height))
        return boxes


def _files(root: Path) -> dict[str, tuple[str, os.DirEntry[str]]]:
    """Every PNG by name with the folder it lies in; a folder is listed once, and no file is opened."""
    folders = [root / "images", *sorted(root.glob("images_*/images")), *sorted(root.glob("images_*")), root]
    files: dict[str, tuple[str, os.DirEntry[str]]] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        where = "" if folder == root else folder.relative_to(root).as_posix()
        try:
            with os.scandir(folder) as inside:
                for entry in inside:
                    if entry.name.endswith(".png"):
                        files.setdefault(entry.name, (where, entry))
        except OSError as error:
            raise DatasetError(f"{folder}: cannot be listed ({error.strerror})") from error
    return files


def _whereabouts(file: tuple[str, os.DirEntry[str]] | None) -> tuple[str, str, str | None]:
    """(source, version, problem) of an image."""
    if file is None:
        return "", "", "missing"
    folder, entry = file
    try:
        return f"{folder}/{entry.name}" if folder else entry.name, file_version(entry), None
    except OSError:
        return "", "", "missing"


@hookimpl
def register_datasets() -> Iterable[type[Dataset]]:
    """The data set of this file."""
    return [ChestXray14]
