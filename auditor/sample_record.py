"""What plan.json keeps of every sample, so that a finished run can be recomputed where its data set is not at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .dataset import Box, Sample
from .groups import Grouping, groups

LABELS: Mapping[int | None, str] = {1: "1", 0: "0", None: "?"}
_READ = {letter: label for label, letter in LABELS.items()}


def written(samples: Sequence[Sample], subgroups: Sequence[Grouping] = ()) -> dict[str, Any]:
    """Patients, labels and boxes in the order of the samples: a letter per class (1 present, 0 absent, ? unknown), a row per box.

    Of the metadata only the group of each declared subgroup is kept: its place among `names`, -1 where it is not known.

    >>> written([Sample("a.png", "p1", (1, None), (Box("Mass", 0, 0, 0.5, 1),))])["labels"]
    ['1?']
    """
    found = [groups(grouping, samples) for grouping in subgroups]
    told = {one.by: {"names": list(one.names), "of": one.code.tolist()} for one in found}
    return {
        "patients": [sample.patient for sample in samples],
        "labels": ["".join(LABELS[label] for label in sample.labels) for sample in samples],
        "boxes": [
            f"{number} {box.left!r} {box.top!r} {box.right!r} {box.bottom!r} {box.label}"
            for number, sample in enumerate(samples)
            for box in sample.boxes
        ],
        "problems": {sample.id: sample.problem for sample in samples if sample.problem},
        **({"groups": told} if told else {}),
    }


def read(record: Mapping[str, Any], ids: Sequence[str]) -> tuple[Sample, ...]:
    """The samples of these ids as far as `written` keeps them; ValueError or KeyError where the record does not fit them."""
    boxes: dict[int, list[Box]] = {}
    for row in record["boxes"]:
        number, left, top, right, bottom, label = row.split(" ", 5)
        boxes.setdefault(int(number), []).append(Box(label, float(left), float(top), float(right), float(bottom)))
    metadata: list[dict[str, str]] = [{} for _ in ids]
    for by, told in (record.get("groups") or {}).items():
        for said, place in zip(metadata, told["of"], strict=True):
            if place >= 0:
                said[by] = told["names"][place]
    return tuple(
        Sample(
            name,
            patient,
            tuple(_READ[letter] for letter in labels),
            tuple(boxes.get(number, ())),
            problem=record["problems"].get(name),
            metadata=metadata[number],
        )
        for number, (name, patient, labels) in enumerate(zip(ids, record["patients"], record["labels"], strict=True))
    )
