"""Cells: groups of patients that a number rests on, and which of them are too small to be shared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .. import cases
from ..cases import CaseColumn
from ..dataset import Sample
from ..evidence import Evidence
from .record import Record

FEWEST = 5
"""Patients that a shared number rests on at least; nobody is in a cell of 0, so that 0 is shared."""
REASON = f"fewer than {FEWEST} patients: not shared"
LABELS: Mapping[int | None, str] = {1: "positive", 0: "negative", None: "unknown"}
OUTCOMES = ("TP", "FN", "FP", "TN")
CHOOSES = 1.0
"""outcome_role of a case that only chooses the threshold."""

Measured = tuple[str, str, str | None, str, str]
"""Model, analysis, attribution, metric, class."""


def few(patients: int | None) -> bool:
    """Whether so many patients are somebody, and too few to be shared.

    >>> [few(n) for n in (0, 1, 4, 5, None)]
    [False, True, True, False, False]
    """
    return patients is not None and 0 < patients < FEWEST


@dataclass(frozen=True)
class Cells:
    """Who is counted where.

    `withheld` are the classes of which nothing is shared. `of_class` has, for each split, class and kind (positive, negative,
    unknown, boxed), the patients; `measured` how many patients have a value; `outcomes` how many patients are found, missed,
    falsely called, left alone, set apart, by model and class; `images` the number of images of each patient, the most first.
    """

    withheld: frozenset[str]
    of_class: Mapping[tuple[str, str, str], frozenset[str]]
    measured: Mapping[Measured, int]
    outcomes: Mapping[tuple[str, str], tuple[int, ...]]
    images: Sequence[int]
    filled: Sequence[int] = field(default=(), repr=False)

    def at_least(self, images: int) -> int:
        """The fewest patients that so many images can be of."""
        return int(np.searchsorted(self.filled, images)) + 1 if images > 0 else 0

    def people(self, name: str, kind: str = "positive", split: str = "audited") -> frozenset[str]:
        """The patients of a class: those with the finding unless another kind is asked for."""
        return self.of_class.get((split, name, kind), frozenset())

    def boxes_are_few(self) -> bool:
        """Whether the boxes of some class must not be counted: of too few patients, or of a class that is withheld."""
        boxed = {name: who for (_, name, kind), who in self.of_class.items() if kind == "boxed"}
        return any(few(len(who)) or name in self.withheld for name, who in boxed.items())


def count(run: Path, record: Record, evidence: Evidence) -> Cells:
    """The cells of a finished run, counted on the images that are used."""
    accounting = evidence.accounting
    splits = {
        "audited": used(record.audited, accounting),
        "training": used(record.training, accounting.get("training_images") or {"quarantined": ()}),
    }
    classes = tuple(evidence.dataset["classes"])
    of_class = {key: frozenset(who) for key, who in _by_class(splits, classes).items()}
    images: dict[str, int] = defaultdict(int)
    for sample in (sample for samples in splits.values() for sample in samples):
        images[sample.patient] += 1
    most = sorted(images.values(), reverse=True)
    patient_of = {sample.id: sample.patient for samples in splits.values() for sample in samples}
    measured: dict[Measured, int] = {}
    for column in cases.columns(run):
        if column.split == "audited":
            for name, who in _with_value(column, patient_of).items():
                measured[column.model, column.analysis, column.attribution, column.metric, name] = who
    return Cells(
        withheld=_withheld(of_class, classes, splits["audited"]), of_class=of_class, measured=measured,
        outcomes=_outcomes(run, evidence, {sample.id: sample for sample in splits["audited"]}, classes),
        images=most, filled=list(accumulate(most)),
    )  # fmt: skip


def used(samples: Iterable[Sample], accounting: Mapping[str, Any]) -> list[Sample]:
    """The samples of a split that were not set aside."""
    gone = {row["id"] for row in accounting["quarantined"]}
    return [sample for sample in samples if sample.id not in gone]


def _by_class(splits: Mapping[str, Sequence[Sample]], classes: Sequence[str]) -> dict[tuple[str, str, str], set[str]]:
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for split, samples in splits.items():
        for sample in samples:
            for name, label in zip(classes, sample.labels, strict=True):
                found[split, name, LABELS[label]].add(sample.patient)
            for box in sample.boxes:
                found[split, box.label, "boxed"].add(sample.patient)
    return found


def _withheld(
    of_class: Mapping[tuple[str, str, str], Collection[str]], classes: Sequence[str], audited: Sequence[Sample]
) -> frozenset[str]:
    """Classes with a small cell of labels in either split; and more, where the labels of the others would give these away.

    Where every image has a finding (one of them may be "No Finding"), an image without any of the shared ones must have one that is
    withheld: then two classes at least are withheld, of 5 patients at least, the rarest first.
    """
    small = {name for (_, name, kind), who in of_class.items() if kind in LABELS.values() and few(len(who))}
    if audited and all(1 in sample.labels for sample in audited):
        rest = sorted(set(classes) - small, key=lambda name: (len(of_class.get(("audited", name, "positive"), ())), name))
        while small and rest and (len(small) < 2 or few(len(_together(of_class, small)))):
            small.add(rest.pop(0))
    return frozenset(small)


def _together(of_class: Mapping[tuple[str, str, str], Collection[str]], names: Iterable[str]) -> set[str]:
    return {patient for name in names for patient in of_class.get(("audited", name, "positive"), ())}


def _with_value(column: CaseColumn, patient_of: Mapping[str, str]) -> dict[str, int]:
    """{class: patients that have a value}."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample, name, value in zip(column.samples, column.classes, column.values.tolist(), strict=True):
        if value == value:
            found[name].add(patient_of[sample])
    return {name: len(who) for name, who in found.items()}


def _outcomes(
    run: Path, evidence: Evidence, samples: Mapping[str, Sample], classes: Sequence[str]
) -> dict[tuple[str, str], tuple[int, ...]]:
    """{(model, class): patients found, missed, falsely called, left alone, set apart}, where a class has a threshold."""
    limits = {(point.model, point.class_name): point.threshold for point in evidence.operating}
    rate = next((metric for metric in evidence.metrics.values() if metric["statistic"] == "sensitivity"), None)
    found: dict[tuple[str, str], list[set[str]]] = {}
    for scores, roles in _scored(run, rate["of"], rate["against"]) if rate else ():
        role = dict(zip(zip(roles.samples, roles.classes, strict=True), roles.values.tolist(), strict=True))
        for sample, name, score in zip(scores.samples, scores.classes, scores.values.tolist(), strict=True):
            limit, label = limits.get((scores.model, name)), samples[sample].labels[classes.index(name)]
            if limit is None or label is None or score != score:
                continue
            sets = found.setdefault((scores.model, name), [set() for _ in (*OUTCOMES, "apart")])
            number = len(OUTCOMES) if role[sample, name] == CHOOSES else (1 if label else 3) - (score > limit)
            sets[number].add(samples[sample].patient)
    return {key: tuple(len(who) for who in sets) for key, sets in found.items()}


def _scored(run: Path, of: str, against: str) -> Iterator[tuple[CaseColumn, CaseColumn]]:
    """The scores that outcomes are told from, each with the roles of its cases."""
    waiting: dict[str, CaseColumn] = {}
    for column in cases.columns(run):
        if column.metric in (of, against) and column.split == "audited":
            other = waiting.pop(column.model, None)
            if other is None:
                waiting[column.model] = column
            else:
                yield (column, other) if column.metric == of else (other, column)
