"""Which images an audit is of: listed, checked, limited, their boxes as far as they can be used, the cases shown in the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from . import __version__
from .analysis import Analysis
from .boxes import usable
from .config import AuditConfig, Problems
from .dataset import Box, Dataset, Sample
from .errors import AuditError, PluginError, nearest
from .identity import digest, identity, options
from .plan import BoxCount
from .registry import Registry

PICTURES_PER_CLASS = 2


def listed_samples(dataset: Dataset, place: str) -> tuple[tuple[str, ...], list[Sample]]:
    """Class names, and samples in order of id; what a data set plugin raises is told with the place that named it."""
    try:
        return tuple(dataset.classes()), sorted(dataset.index(), key=lambda sample: sample.id)
    except AuditError as error:
        raise type(error)(f"{place}: {error}") from error
    except Exception as error:
        raise PluginError(f"{place}: the data set {dataset.name} cannot be listed: {type(error).__name__}: {error}") from error


def check_samples(samples: Sequence[Sample], classes: Sequence[str], place: str, problems: Problems) -> None:
    """Add what is wrong with the list of a data set: nothing in it, an id twice, labels or boxes that fit no class."""
    if not samples:
        problems.add(f"{place}: no sample is listed; check split, limit and folder")
    twice = [a.id for a, b in pairwise(samples) if a.id == b.id]
    if twice:
        problems.add(f"{place}: {len(twice)} ids are listed twice, the first is {twice[0]!r}; ids must be unique")
    wrong = [sample.id for sample in samples if len(sample.labels) != len(classes)]
    if wrong:
        problems.add(f"{place}: {len(wrong)} samples do not have {len(classes)} labels, the first is {wrong[0]!r}")
    strange = sorted({box.label for sample in samples for box in sample.boxes} - set(classes))
    for name in strange[:5]:
        problems.add(f"{place}: a box is labelled {name!r}, which is not a class{nearest(name, classes)}")
    for name in sorted({box.label for sample in samples for box in sample.objects} & set(classes)):
        problems.add(f"{place}: an object is labelled {name!r}, which is a class; its boxes belong to the findings")


def check_objects(analyses: Sequence[Analysis], samples: Sequence[Sample], config: AuditConfig, problems: Problems) -> None:
    """Add the objects that an analysis looks for and no image has."""
    known = sorted({box.label for sample in samples for box in sample.objects})
    for number, analysis in enumerate(analyses):
        for place, name in enumerate(analysis.objects):
            if name not in known:
                there = f"the data set has boxes of {', '.join(known)}" if known else "the data set has boxes of findings only"
                problems.add(
                    f"{config.place(f'analyses[{number}].objects[{place}]')}: no image has an object {name!r}; {there}{nearest(name, known)}"
                )


def limited(samples: list[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` samples, those with boxes first, otherwise spread over the list by a hash of the id."""
    if limit is None or limit >= len(samples):
        return samples
    order = sorted(samples, key=lambda s: (bool(s.problem), hashlib.sha256(s.id.encode()).digest()))
    boxed = [sample for sample in order if sample.boxes][: -(-limit // 2)]
    kept = {sample.id for sample in boxed}
    rest = [sample for sample in order if sample.id not in kept][: limit - len(boxed)]
    return sorted(boxed + rest, key=lambda sample: sample.id)


def with_usable_boxes(samples: Iterable[Sample], classes: Sequence[str]) -> tuple[tuple[Sample, ...], BoxCount]:
    """The samples with those of their boxes that can be used, and how many there are."""
    kept: list[Sample] = []
    listed = used = clipped = 0
    bad: list[tuple[str, str, str]] = []
    for sample in samples:
        boxes: list[Box] = []
        for box in sample.boxes:
            listed += 1
            found = usable(box)
            if isinstance(found, str):
                bad.append((sample.id, box.label, found))
                continue
            used += 1
            clipped += found != box
            boxes.append(found)
        kept.append(replace(sample, boxes=tuple(boxes)))
    return tuple(kept), BoxCount(listed, used, clipped, tuple(bad))


def choose_pictures(samples: Sequence[Sample], classes: Sequence[str], config: AuditConfig) -> frozenset[tuple[int, int]]:
    """The cases shown in the report, by a written rule: per class the readable boxed positives with the lowest hash."""
    chosen: set[tuple[int, int]] = set()
    for target, name in enumerate(classes):
        cases = [
            (digest(config.seed, sample.id, name), number)
            for number, sample in enumerate(samples)
            if not sample.problem and any(box.label == name for box in sample.boxes)
        ]
        chosen.update((number, target) for _, number in sorted(cases)[:PICTURES_PER_CLASS])
    return frozenset(chosen)


def _facts(sample: Sample) -> tuple[Any, ...]:
    """What is known of a sample apart from its file."""
    boxes = [(box.label, box.left, box.top, box.right, box.bottom) for box in sample.boxes]
    objects = [(box.label, box.left, box.top, box.right, box.bottom) for box in sample.objects]
    return sample.id, sample.patient, sample.labels, boxes, *([objects] if objects else [])


def data_keys(dataset: Dataset, classes: tuple[str, ...], samples: Sequence[Sample], registry: Registry) -> tuple[str, str]:
    """`data_digest` and `data_key` of a `Plan`."""
    data_digest = digest(dataset.name, options(dataset), classes, [_facts(sample) for sample in samples])
    versions = [(sample.version, sample.problem, sample.source) for sample in samples]
    code = registry.code_digest("datasets", dataset.name)
    return data_digest, digest(data_digest, identity(dataset), code, versions, __version__)
