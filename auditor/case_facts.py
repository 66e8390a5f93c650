"""What plan.json keeps of every case beside its id: enough to count the same numbers again, and to pair two runs case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .identity import digest

if TYPE_CHECKING:
    from .dataset import Sample
    from .plan import Plan

LETTERS = {1: "1", 0: "0", None: "?"}


def case_facts(plan: Plan) -> dict[str, Any]:
    """`patients`: a number per sample, patients in the order of their names, those of training images only after them.

    `labels`: per class a letter per sample (1, 0, ? unknown). `boxes`: per class a digest of the boxes of each boxed sample, by
    its number. `held_against`: per class the samples whose boxes every map was held against, in the order of the scores.
    """
    trained_on = plan.training.samples if plan.training else ()
    codes = _codes(plan.samples, trained_on)
    return {
        "patients": [codes[sample.patient] for sample in plan.samples],
        "labels": ["".join(LETTERS[sample.labels[k]] for sample in plan.samples) for k in range(len(plan.classes))],
        "boxes": [_boxes(plan.samples, name) for name in plan.classes],
        "held_against": plan.elsewhere.cases,
        "training_patients": [codes[sample.patient] for sample in trained_on],
    }


def _codes(audited: Sequence[Sample], trained_on: Sequence[Sample]) -> dict[str, int]:
    first = sorted({sample.patient for sample in audited})
    later = sorted({sample.patient for sample in trained_on} - set(first))
    return {patient: number for number, patient in enumerate([*first, *later])}


def _boxes(samples: Sequence[Sample], name: str) -> dict[str, str]:
    found = {}
    for number, sample in enumerate(samples):
        edges = [(box.left, box.top, box.right, box.bottom) for box in sample.boxes if box.label == name]
        if edges:
            found[str(number)] = digest(sorted(edges))
    return found
