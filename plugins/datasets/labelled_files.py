"""Any folder of images described by a table: what `image_folder` and `dicom_folder` share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditor import Box, Dataset, DatasetError, Sample, Unreadable, among, nearest

from .label_cells import Labelling, class_column, label_columns, label_names
from .tables import Table, number, read, told

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOOKED_AT = 1000
"""Names in a folder that are looked at for one like the name that is missing."""
BOX_COLUMNS = ("image", "label", "x", "y", "width", "height")


@dataclass(frozen=True)
class LabelledFiles(Dataset):
    """Files in `folder`, described by `table` (CSV, plain or .gz) with one row per image.

    The classes are columns of 1, 0, and -1 or nothing for unknown: those that `class_names` lists, or else every column that
    holds nothing but that. Or else one `label_column` has the names joined by "|", "No Finding" for none, and an empty cell
    for unknown. `boxes` is a CSV of image, label, x, y, width, height in pixels of the file. `suffix` is what the files' names
    have beyond the table's (".dcm", say). Without `folder` there are no pixels, and only tables of scores can be audited.
    `patient_column: ""` says that every image is a patient of its own; `split: ""` takes all rows. `groups` are columns that say
    something of a patient or image beside its findings (sex, age), which `subgroups:` of audit.yaml can tell results apart by.
    `objects` are labels in `boxes` of what is no finding (a marker, a tube), which `shortcuts` can look for.
    """

    table: Path
    folder: Path | None = None
    boxes: Path | None = None
    image_column: str = "image"
    patient_column: str = "patient"
    split_column: str = "split"
    split: str = ""
    class_names: tuple[str, ...] = ()
    label_column: str = ""
    suffix: str = ""
    groups: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()

    def size_of(self, path: Path) -> tuple[int, int]:
        """(height, width) of a file from its header; raises Unreadable."""
        raise NotImplementedError

    def pixels_of(self, path: Path) -> npt.NDArray[np.float32]:
        """Pixels [C, H, W] of a file as `read` returns them; raises Unreadable."""
        raise NotImplementedError

    def classes(self) -> tuple[str, ...]:
        """The names of `class_names`, or those that the table has."""
        return self._labelling(read(self.table)).classes

    def index(self) -> list[Sample]:
        """Every row of the split; of the files only those with boxes are opened, for their size."""
        table = read(self.table)
        images, labelling = self._images(table), self._labelling(table)
        patients, splits = self._patients(table, images), self._splits(table)
        boxes = self._box_rows(images, labelling)
        about = [table.column(name, "groups") for name in self.groups]
        samples: list[Sample] = []
        for row, (image, patient, split, labels) in enumerate(zip(images, patients, splits, labelling.labels, strict=True)):
            if self.split in ("", split):
                version, problem = self._whereabouts(image)
                drawn: tuple[Box, ...] = ()
                if image in boxes and problem is None:
                    drawn, problem = self._boxes(image, boxes[image])
                said = {name: column[row] for name, column in zip(self.groups, about, strict=True)}
                findings, objects = self._apart(drawn)
                source = image + self.suffix
                samples.append(Sample(image, patient, labels, findings, split, source, version, problem, said, objects))
        self._check_folder(samples)
        return samples

    def attributes(self) -> tuple[str, ...]:
        """The columns of `groups`."""
        return self.groups

    def mistakes(self) -> Iterator[str]:
        """Columns that are not there, cells that are no labels, boxes of nothing, a folder that has none of the files."""
        if not self.table.is_file():
            if self.table.exists():
                yield f"table: found a folder, {self.table}; allowed: a CSV file"
            return
        try:
            table = read(self.table)
        except DatasetError as error:
            yield f"table: {error}"
        else:
            yield from told(self._looks(table))

    def _looks(self, table: Table) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "image_column", lambda: self._images(table)
        yield "patient_column", lambda: self._patients(table, ())
        yield "split", lambda: self._splits(table)
        for place, name in enumerate(self.groups):
            yield f"groups[{place}]", partial(table.column, name)
        if self.label_column:
            yield "label_column", partial(table.column, self.label_column)
        else:
            for place, name in enumerate(self.class_names):
                yield f"class_names[{place}]", partial(class_column, table, name)
        yield "class_names", lambda: self._labelling(table)
        if self.boxes is not None and self.boxes.is_file():
            yield "boxes", lambda: self._box_rows(self._images(table), self._labelling(table))
        yield "folder", lambda: self._check_files(self._images(table))

    def _check_files(self, images: Iterable[str]) -> None:
        """The same as `_check_folder` before anything else is known of the images; the first file that is there ends it."""
        from auditor.imaging import path_problem

        if self.folder is not None and self.folder.is_file():
            raise DatasetError(f"found a file, {self.folder}; allowed: a folder of images")
        names = [image + self.suffix for image in images if path_problem(image + self.suffix) is None]
        if self.folder is not None and self.folder.is_dir() and not any((self.folder / name).is_file() for name in names):
            self._check_folder([Sample(name, "", (), source=name, problem="missing") for name in names])

    def _apart(self, drawn: Iterable[Box]) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
        """The boxes of findings, and those of objects."""
        kept = tuple(drawn)
        return tuple(b for b in kept if b.label not in self.objects), tuple(b for b in kept if b.label in self.objects)

    def _check_folder(self, samples: Sequence[Sample]) -> None:
        """Some files may be missing; that none is there is a wrong folder or suffix."""
        if self.folder is None or any(sample.problem != "missing" for sample in samples):
            return
        there = sorted(entry.name for entry in self.folder.iterdir()) if self.folder.is_dir() else []
        begins = {name[: place.start()]: name for name in reversed(there) for place in re.finditer(r"\.", name)}
        for sample in samples:
            if longer := begins.get(sample.source):
                ending = longer.removeprefix(sample.source)
                raise DatasetError(f"{self.folder}: found no file {sample.source!r}, but {longer!r}; say suffix: {ending}")
        for sample in samples[:1]:
            few = f"{', '.join(there[:3])}{' ...' if len(there) > 3 else ''}" if there else "nothing"
            raise DatasetError(
                f"{self.folder}: none of the {len(samples)} files that {self.table.name} names is there, such as {sample.source!r};"
                f" there is {few}{nearest(sample.source, there[:LOOKED_AT])}"
            )

    def read(self, sample: Sample) -> npt.NDArray[np.float32]:
        """Pixels of one file of the folder."""
        from auditor.imaging import safe_path

        if self.folder is None:
            raise Unreadable("missing", "the data set has no folder of images")
        return self.pixels_of(safe_path(self.folder, sample.source))

    def train_counts(self) -> tuple[int, Mapping[str, int]] | None:
        """(images, positives per class) of the rows whose split is "train"; None where there are none."""
        table = read(self.table)
        labelling = self._labelling(table)
        rows = [labels for labels, split in zip(labelling.labels, self._splits(table), strict=True) if split == "train"]
        if not rows:
            return None
        return len(rows), {name: sum(labels[k] or 0 for labels in rows) for k, name in enumerate(labelling.classes)}

    def notes(self) -> tuple[str, ...]:
        """Where the classes come from, labels that are unknown, names and boxes that were left out, and what a patient is."""
        table = read(self.table)
        images, labelling = self._images(table), self._labelling(table)
        notes = [labelling.origin]
        unknown = sum(label is None for labels in labelling.labels for label in labels)
        if unknown:
            notes.append(f"{unknown} labels are unknown (-1 or empty in the table) and are left out, class by class.")
        notes += [f"{times} labels {name!r} are not among the classes and were left out." for name, times in labelling.others]
        if self.boxes is not None:
            counts = Counter(row.label for rows in self._box_rows(images, labelling, others=True).values() for row in rows)
            known = (*labelling.classes, *self.objects)
            left = {name: times for name, times in sorted(counts.items()) if name not in known}
            notes += [
                f"{times} boxes of {name!r}, which is not among the classes, were left out." for name, times in left.items()
            ]
        if self.patient_column not in table.columns:
            notes.append(
                "The table names no patients: every image counts as a patient of its own, so intervals may be too narrow."
            )
        return tuple(notes)

    def _labelling(self, table: Table) -> Labelling:
        if self.label_column:
            return label_names(table, self.label_column, self.class_names)
        return label_columns(table, self.class_names, {self.image_column, self.patient_column, self.split_column, *self.groups})

    def _images(self, table: Table) -> Sequence[str]:
        images = table.column(self.image_column, "image_column")
        first: dict[str, int] = {}
        for image, line in zip(images, table.lines, strict=True):
            if not image:
                raise DatasetError(f"{table.path}:{line}: the image is not named")
            if first.setdefault(image, line) != line:
                raise DatasetError(f"{table.path}:{line}: {image!r} is listed a second time, first in line {first[image]}")
        return images

    def _patients(self, table: Table, images: Sequence[str]) -> Sequence[str]:
        if not self.patient_column:
            return images
        if self.patient_column not in table.columns:
            likely = [name for name in table.columns if "patient" in name.lower()]
            if self.patient_column != "patient" or likely:
                raise DatasetError(
                    f"{table.path}:1: patient_column: no column {self.patient_column!r}; name the one to use, or say"
                    f' patient_column: "" if every image is a patient of its own{nearest(self.patient_column, likely)}'
                )
            return images
        patients = table.columns[self.patient_column]
        if "" in patients:
            raise DatasetError(f"{table.path}:{table.lines[patients.index('')]}: the patient is not named")
        return patients

    def _splits(self, table: Table) -> Sequence[str]:
        if not self.split and self.split_column not in table.columns:
            return [""] * len(table.lines)
        splits = table.column(self.split_column, "split_column")
        if self.split and self.split not in splits:
            have = sorted(set(splits))
            raise DatasetError(f"{table.path}: split: no row of {self.split!r}; there is {among(self.split, have)}")
        return splits

    def _whereabouts(self, image: str) -> tuple[str, str | None]:
        """(version, problem) of a file that has not been opened."""
        from auditor.imaging import file_version, path_problem

        if self.folder is None:
            return "", "missing"
        problem = path_problem(image + self.suffix)
        if problem:
            return "", problem
        try:
            return file_version(self.folder / (image + self.suffix)), None
        except OSError:
            return "", "missing"

    def _box_rows(self, images: Iterable[str], labelling: Labelling, others: bool = False) -> dict[str, list[BoxRow]]:
        """The rows of the table of boxes by image; of the classes and objects only, unless `others`."""
        if self.boxes is None:
            return {}
        if self.folder is None:
            raise DatasetError("boxes: they are in pixels of the files, so folder must say where the files are")
        table, known = read(self.boxes), set(images)
        for name in sorted({*self.objects} & {*labelling.classes}):
            raise DatasetError(f"objects: {name!r} is a class; allowed: labels in {self.boxes.name} of what is no finding")
        names = (*labelling.classes, *self.objects, *(name for name, _ in labelling.others))
        found: dict[str, list[BoxRow]] = {}
        columns = (table.column(name) for name in BOX_COLUMNS)
        for line, image, label, *edges in zip(table.lines, *columns, strict=True):
            place = f"{table.path}:{line}"
            if image not in known:
                raise DatasetError(f"{place}: {image!r} has no row in {self.table.name}")
            if label not in names:
                raise DatasetError(f"{place}: unknown label {label!r}{nearest(label, names)}")
            if others or label in (*labelling.classes, *self.objects):
                x, y, width, height = (number(edge, place) for edge in edges)
                found.setdefault(image, []).append(BoxRow(label, x, y, width, height))
        return found

    def _boxes(self, image: str, rows: Iterable[BoxRow]) -> tuple[tuple[Box, ...], str | None]:
        """The boxes in fractions of the file's size, or the reason why the size cannot be had."""
        from auditor.imaging import safe_path

        assert self.folder is not None
        try:
            high, wide = self.size_of(safe_path(self.folder, image + self.suffix))
        except Unreadable as problem:
            return (), problem.reason
        return tuple(row.as_box(high, wide) for row in rows), None


@dataclass(frozen=True, slots=True)
class BoxRow:
    """A row of the table of boxes, in pixels of the file."""

    label: str
    x: float
    y: float
    width: float
    height: float

    def as_box(self, high: int, wide: int) -> Box:
        """The same rectangle in fractions of an image of this size."""
        return Box(self.label, self.x / wide, self.y / high, (self.x + self.width) / wide, (self.y + self.height) / high)
