"""The cases of two runs on one list: the samples, classes and boxes that both have, and where each run keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..evidence import Evidence
from ..statistics.columns import Case, Columns
from ..statistics.rows import GROUPS, Cohort, Values, frequency_groups
from .side import Cases

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """Where the samples and classes of one run lie on the shared list: `sample` [S] and `target` [K + 1], -1 and -2 for nowhere.

    `target` is indexed by a run's class number plus 1, so that the image as a whole (-1) comes first and stays what it is.
    `held` are, per shared class, the columns of its scores with other boxes that both runs have.
    """

    sample: Integers
    target: Integers
    training: Integers
    held: Sequence[Integers]


@dataclass(frozen=True)
class Matched:
    """Two runs on one list. `relabelled` and `reboxed` [S, K]: the cases that the runs do not ask the same way.

    The cohort takes patients from the new run; `regrouped` says whether the old one groups the shared samples otherwise.
    """

    cohort: Cohort
    samples: tuple[str, ...]
    places: tuple[Place, Place]
    relabelled: Flags
    reboxed: Flags
    regrouped: bool

    def moved(self, columns: Columns, side: int, boxed: bool) -> Columns:
        """What one network left, on the shared list; only cases that both runs ask the same way (`boxed`: boxes count too)."""
        place = self.places[side]
        unlike = self.relabelled | self.reboxed if boxed else self.relabelled
        values = {name: self._moved(column, place, unlike) for name, column in columns.values.items()}
        training = columns.training
        if not isinstance(training, str):
            training = {name: _placed(column, place.training, place.target) for name, column in training.items()}
        return Columns(values, self._elsewhere(columns.elsewhere, place), columns.whole, training)

    def _moved(self, column: Values, place: Place, unlike: Flags) -> Values:
        found = _placed(column, place.sample, place.target)
        whole = found.target == -1
        changed = np.where(whole, unlike[found.sample].any(1), unlike[found.sample, found.target])
        return Values(found.sample[~changed], found.target[~changed], found.value[~changed])

    def _elsewhere(
        self, scores: Mapping[str, Mapping[Case, npt.NDArray[np.floating[Any]]]], place: Place
    ) -> dict[str, dict[Case, npt.NDArray[np.floating[Any]]]]:
        found: dict[str, dict[Case, npt.NDArray[np.floating[Any]]]] = {}
        for metric, rows in scores.items():
            kept = found.setdefault(metric, {})
            for (sample, target), row in rows.items():
                where = int(place.sample[sample]), int(place.target[target + 1])
                if where[0] >= 0 and where[1] >= 0:
                    kept[where] = row[place.held[where[1]]]
        return found


def _placed(column: Values, samples: Integers, targets: Integers) -> Values:
    sample, target = samples[column.sample], targets[column.target + 1]
    kept = (sample >= 0) & (target >= -1)
    return Values(sample[kept], target[kept], column.value[kept])


def match(old: Cases, new: Cases, evidence: Evidence) -> Matched:
    """Both runs on the samples that both list and the classes that both have, in the order of the new run (`evidence` is its own)."""
    both = set(old.samples)
    samples = [name for name in new.samples if name in both]
    classes = [name for name in new.classes if name in set(old.classes)]
    numbers = [_numbers(side.samples, samples) for side in (old, new)]
    kinds = [[side.classes.index(name) for name in classes] for side in (old, new)]
    labels = [side.labels[rows][:, of] for side, rows, of in zip((old, new), numbers, kinds, strict=True)]
    boxes = [_boxes(side, rows, of) for side, rows, of in zip((old, new), numbers, kinds, strict=True)]
    reboxed = np.array([[a != b for a, b in zip(*rows, strict=True)] for rows in zip(*boxes, strict=True)], bool)
    training = [name for name in new.training_samples if name in set(old.training_samples)]
    held, boxed = _held((old, new), numbers, kinds, reboxed)
    places = [
        Place(
            _placing(len(side.samples), rows),
            np.concatenate(([-1], _placing(len(side.classes), np.array(of, np.int64), nowhere=-2))),
            _placing(len(side.training_samples), _numbers(side.training_samples, training)),
            held[which],
        )
        for which, (side, rows, of) in enumerate(zip((old, new), numbers, kinds, strict=True))
    ]
    cohort = Cohort(
        tuple(classes),
        new.patients[numbers[1]],
        labels[1],
        groups=frequency_groups(tuple(classes), _train(evidence)),
        boxed=boxed,
        training_patients=new.training_patients[_numbers(new.training_samples, training)],
    )
    regrouped = not _same_partition(old.patients[numbers[0]], new.patients[numbers[1]])
    unlike = reboxed.reshape(len(samples), len(classes))
    return Matched(cohort, tuple(samples), (places[0], places[1]), labels[0] != labels[1], unlike, regrouped)


def _numbers(listed: Sequence[str], wanted: Sequence[str]) -> Integers:
    number = {name: place for place, name in enumerate(listed)}
    return np.array([number[name] for name in wanted], np.int64)


def _placing(size: int, numbers: Integers, nowhere: int = -1) -> Integers:
    """The inverse: for each of `size` its place among `numbers`."""
    placed = np.full(size, nowhere, np.int64)
    placed[numbers] = np.arange(len(numbers))
    return placed


def _boxes(side: Cases, numbers: Integers, classes: Sequence[int]) -> list[list[str | None]]:
    """Per sample and class a digest of its boxes, None for none."""
    return [[side.boxes[k].get(str(number)) for k in classes] for number in numbers.tolist()]


def _held(
    sides: tuple[Cases, Cases], numbers: Sequence[Integers], classes: Sequence[Sequence[int]], reboxed: Flags
) -> tuple[tuple[list[Integers], list[Integers]], tuple[tuple[int, ...], ...]]:
    """Per run and shared class the columns with boxes that both runs held maps against, and the shared samples these are of."""
    columns: tuple[list[Integers], list[Integers]] = ([], [])
    boxed: list[tuple[int, ...]] = []
    for place in range(len(classes[0])):
        known = []
        for side, rows, of in zip(sides, numbers, classes, strict=True):
            where = _placing(len(side.samples), rows)
            held = enumerate(side.held_against[of[place]])
            known.append({int(where[n]): column for column, n in held if side.used[n] and where[n] >= 0})
        shared = [sample for sample in known[1] if sample in known[0] and not reboxed[sample][place]]
        boxed.append(tuple(shared))
        for found, mine in zip(columns, known, strict=True):
            found.append(np.array([mine[sample] for sample in shared], np.int64))
    return columns, tuple(boxed)


def _same_partition(old: Integers, new: Integers) -> bool:
    """Whether two codes of patients put the same samples together."""
    pairs = len(set(zip(old.tolist(), new.tolist(), strict=True)))
    return pairs == len(set(old.tolist())) == len(set(new.tolist()))


def _train(evidence: Evidence) -> tuple[int, Mapping[str, int]] | None:
    """How many training images show each class, where the new run took its rare classes from that."""
    told = evidence.dataset.get("train")
    if not told or not any(row.class_name in GROUPS for row in evidence.summaries):
        return None
    return told["images"], told["positives"]
