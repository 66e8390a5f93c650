"""What a network is trained and validated on: labels, class counts, and pixels decoded once into a file.

Pixels are kept as the audit keeps them (16 bits, resized with antialiasing), in one file per geometry that is mapped into memory,
so that an epoch reads only what it needs in the order it needs it and every network of the plan shares one decoding.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..dataset import Dataset, Sample
from ..errors import DatasetError, Unreadable
from ..identity import digest, identity
from ..ledger import publish, refused
from ..model import Preprocessing
from ..pixels import read_prepared
from ..planned_samples import check_samples, listed_samples
from ..problems import Problems
from ..strategy import ClassCounts
from ..wording import how_many
from .config import TrainingPlan
from .ranks import Ranks

Quarantined = tuple[str, str]
"""The id of a sample and the reason why it is not used."""

NO_LABEL = "no label is known"
COLOURED = "has colours"


@dataclass(frozen=True)
class Side:
    """The training or the validation side: samples with their labels int8 [N, K], 1, 0 or -1 where unknown.

    `rows` [N] says where the pixels of each sample lie in the side's pixel files; `key` names what these were made from.
    """

    name: str
    dataset: Dataset
    samples: tuple[Sample, ...]
    labels: npt.NDArray[np.int8]
    rows: npt.NDArray[np.int64]
    key: str

    @property
    def patients(self) -> int:
        """How many patients they come from."""
        return len({sample.patient for sample in self.samples})

    def only(self, kept: Sequence[int]) -> Side:
        """The same side with these samples only."""
        numbers, samples = np.array(kept, np.int64), tuple(self.samples[number] for number in kept)
        return replace(self, samples=samples, labels=self.labels[numbers], rows=self.rows[numbers])


@dataclass(frozen=True)
class Material:
    """Both sides, and what was listed and is not used: listed = training + validation + quarantined."""

    classes: tuple[str, ...]
    training: Side
    validation: Side
    listed: int
    quarantined: tuple[Quarantined, ...]

    @property
    def counts(self) -> ClassCounts:
        """Positives and negatives of the training side."""
        labels = self.training.labels
        positives, negatives = ((labels == value).sum(0).tolist() for value in (1, 0))
        return ClassCounts(self.classes, tuple(positives), tuple(negatives))


def gather(plan: TrainingPlan) -> Material:
    """List both sides without opening an image; raises DatasetError where they share a patient."""
    config, problems = plan.config, Problems()
    classes, listed = listed_samples(plan.dataset, config.place("dataset"))
    check_samples(listed, classes, config.place("dataset"), problems)
    if plan.validation is None:
        assert isinstance(config.validation, float)
        held = _held_out(listed, config.validation)
        sides = [[s for s in listed if s.patient not in held], [s for s in listed if s.patient in held]]
    else:
        others, more = listed_samples(plan.validation, config.place("validation"))
        check_samples(more, classes, config.place("validation"), problems)
        if others != classes:
            problems.add(f"{config.place('validation')}: found the classes {', '.join(others)}; allowed: {', '.join(classes)}")
        sides = [listed, more]
    problems.stop()
    for side, key in zip(sides, ("dataset", "validation"), strict=True):
        if not side:
            raise DatasetError(f"{config.place(key)}: no sample is left for this side; change the share of the validation")
    if not config.shared_patients:
        _check_patients(sides[0], sides[1], config.place("validation" if plan.validation else "dataset"))
    quarantined: list[Quarantined] = []
    datasets = (plan.dataset, plan.validation or plan.dataset)
    made = [
        side_of(name, dataset, side, plan, quarantined)
        for name, dataset, side in zip(("training", "validation"), datasets, sides, strict=True)
    ]
    _check_filled(made, config.place("dataset"))
    return Material(classes, made[0], made[1], sum(map(len, sides)), tuple(quarantined))


def _check_filled(sides: Iterable[Side], place: str) -> None:
    for side in sides:
        if not side.samples:
            raise DatasetError(f"{place}: none of the images listed for {side.name} can be used; nothing is left to work with")


def described(material: Material) -> Iterator[str]:
    """How many images there are, and of what there are none, a line each."""
    training, validation = (len(side.samples) for side in (material.training, material.validation))
    yield (
        f"{how_many(material.listed, 'image')} listed: {training} for training, {validation} for validation,"
        f" {len(material.quarantined)} quarantined"
    )
    for side, so in ((material.training, "cannot be learned"), (material.validation, "has no AUROC to choose epochs by")):
        for value, word in ((1, "positive"), (0, "negative")):
            absent = [name for name, column in zip(material.classes, side.labels.T, strict=True) if value not in column]
            if absent:
                yield f"no {word} {side.name} image: {', '.join(absent)}; such a class {so}"


def _held_out(samples: Sequence[Sample], share: float) -> set[str]:
    """Patients of the validation, in the order of a hash of their names until they have this share of the images."""
    images = Counter(sample.patient for sample in samples)
    wanted, held, taken = share * len(samples), set(), 0
    for patient in sorted(images, key=lambda name: hashlib.sha256(f"validation|{name}".encode()).digest()):
        if taken >= wanted:
            break
        held.add(patient)
        taken += images[patient]
    return held


def _check_patients(training: Sequence[Sample], validation: Sequence[Sample], place: str) -> None:
    both = sorted({sample.patient for sample in training} & {sample.patient for sample in validation})
    if both:
        raise DatasetError(
            f"{place}: {len(both)} patients are in both the training and the validation images, so that the validation would"
            " reward recognising them; allowed: disjoint patients, or shared_patients: true if that is meant"
        )


def side_of(name: str, dataset: Dataset, samples: Sequence[Sample], plan: TrainingPlan, quarantined: list[Quarantined]) -> Side:
    """A side of the samples that have a label and no known problem; the others are added to the quarantined."""
    usable = []
    for sample in samples:
        problem = sample.problem or (None if any(label is not None for label in sample.labels) else NO_LABEL)
        if problem:
            quarantined.append((sample.id, problem))
        else:
            usable.append(sample)
    labels = np.array([[-1 if label is None else label for label in s.labels] for s in usable], np.int8)
    code = plan.registry.code_digest("datasets", dataset.name)
    facts = [(s.id, s.patient, s.labels, s.version, s.source) for s in usable]
    key = digest(dataset.name, identity(dataset), code, facts, __version__)
    return Side(name, dataset, tuple(usable), labels, np.arange(len(usable)), key)


class PixelFile:
    """The prepared pixels of one side in one geometry: uint16 [N, C, S, S] mapped into memory, and which rows can be read."""

    def __init__(self, path: Path, side: Side, lens: Preprocessing) -> None:
        about = json.loads(path.with_suffix(".json").read_text())
        shape = (len(side.samples), about["channels"], lens.size, lens.size)
        self.stored: npt.NDArray[np.uint16] = np.memmap(path, np.uint16, "r", shape=shape)
        self.unreadable: dict[int, str] = {int(row): reason for row, reason in about["unreadable"].items()}

    def rows(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """The pixels of these samples; read in the order of the file, given in the order asked for."""
        order = np.argsort(numbers, kind="stable")
        found = np.empty((len(numbers), *self.stored.shape[1:]), np.uint16)
        found[order] = self.stored[numbers[order]]
        return found


def prepare(folder: Path, side: Side, lens: Preprocessing, ranks: Ranks) -> PixelFile:
    """The pixels of a side, decoded now unless they lie in the folder already; the processes share the decoding."""
    path = folder / f"{side.name}-{side.key}-{lens.recipe}.u16"
    there = ranks.gather(path.exists() and path.with_suffix(".json").exists())[0]
    if not there and not _decode(path, side, lens, 1, ranks):
        _decode(path, side, lens, 3, ranks)
    return PixelFile(path, side, lens)


def _decode(path: Path, side: Side, lens: Preprocessing, channels: int, ranks: Ranks) -> bool:
    """Write the file with so many channels; False if an image has colours and there is one channel."""
    shape = (len(side.samples), channels, lens.size, lens.size)
    if ranks.first:
        _reserve(path, 2 * int(np.prod(shape)))
    ranks.wait()
    stored = np.memmap(path, np.uint16, "r+", shape=shape)
    mine = ranks.share(len(side.samples))

    def fill(row: int) -> tuple[int, str] | None:
        try:
            pixels, _ = read_prepared(side.dataset, side.samples[row], lens)
        except Unreadable as problem:
            return row, problem.reason
        if len(pixels) > channels:
            return row, COLOURED
        stored[row] = pixels
        return None

    with ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // ranks.of), thread_name_prefix="decode") as pool:
        found = [problem for problem in pool.map(fill, mine) if problem]
    stored.flush()
    problems = dict(problem for part in ranks.gather(found) for problem in part)
    if COLOURED in problems.values():
        return False
    if ranks.first:
        publish(path.with_suffix(".json"), json.dumps({"channels": channels, "unreadable": problems}).encode())
    ranks.wait()
    return True


def _reserve(path: Path, size: int) -> None:
    """Make the file at its full size: a disk that cannot hold it says so now and not with a bus error later."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise refused(path, error) from error


def without_unreadable(material: Material, found: Sequence[tuple[Side, PixelFile]], limit: float, place: str) -> Material:
    """The material without the images that cannot be read; raises DatasetError where they are more than a share `limit`."""
    kept = {"training": material.training, "validation": material.validation}
    quarantined = list(material.quarantined)
    for name, side in list(kept.items()):
        bad = {row: why for of, pixels in found if of.name == name for row, why in pixels.unreadable.items()}
        quarantined += [(side.samples[row].id, why) for row, why in sorted(bad.items())]
        kept[name] = side.only([row for row in range(len(side.samples)) if row not in bad])
    if len(quarantined) > limit * material.listed:
        reasons = ", ".join(f"{why} ({n})" for why, n in Counter(reason for _, reason in quarantined).most_common())
        raise DatasetError(
            f"{place}: {len(quarantined)} of {material.listed} images cannot be used: {reasons}; allowed: a share of {limit:g};"
            " mend them, or raise max_quarantine"
        )
    _check_filled(kept.values(), place)
    return Material(material.classes, kept["training"], kept["validation"], material.listed, tuple(quarantined))
