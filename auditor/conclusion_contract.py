"""What an analysis that concludes from all embeddings together must hold to; part of `check_analysis`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .analysis import Analysis
from .conclusion import Conclusion
from .contract import expect
from .embedded import Concluded, Decision, Embedded, Membership
from .measuring import checked, checked_conclusion

CLASSES = ("Nodule", "Effusion", "Mass")
IMAGES, FEATURES = 120, 8


def planted_embeddings(seed: int, count: int = IMAGES, by: Sequence[str] = ()) -> tuple[Decision, Embedded]:
    """Feature k is bright where class k shows, and the last layer reads it; no image shows the class Mass. Groups of the attributes `by`
    are told by feature 3, which the last layer hardly reads."""
    random = np.random.Generator(np.random.Philox(key=[7, seed]))
    labels = (random.random((count, 3)) < 0.4).astype(np.int8)
    labels[:, 2] = 0
    vectors = random.uniform(0, 0.3, (count, FEATURES)).astype(np.float32)
    vectors[:, :3] += labels
    patients, side = 1000 * seed + np.arange(count) // 2, (np.arange(count) // 2 % 2).astype(np.int64)
    vectors[:, 3] += side * bool(by)
    split = Embedded(
        vectors, labels, patients, random.permutation(count), {name: Membership(("left", "right"), side) for name in by}
    )
    return Decision(CLASSES, np.eye(3, FEATURES) * 2, np.full(3, -1.2)), split


def check_conclusion(analysis: Analysis) -> None:
    """The declared columns for both splits, within their bounds, the same in whatever order the images come, and profiles as JSON."""
    expect("embeddings" in analysis.needs, "concludes, and does not need embeddings: there is nothing to conclude from")
    expect(not analysis.tallies(), "concludes and looks twice; it can do one of them")
    decision, audited = planted_embeddings(1, by=analysis.grouped_by)
    _, training = planted_embeddings(2, 44)
    found = analysis.conclude(decision, audited, training)
    for side, split in ((found.audited, audited), (found.training, training)):
        for name, column in side.items():
            expect(column.shape == split.labels.shape, f"{name} has shape {column.shape}, not {split.labels.shape}")
        checked(analysis, {name: column.ravel() for name, column in side.items()}, split.labels.size)
    said = checked_conclusion(analysis, Conclusion(numbers=tuple(found.numbers))).numbers
    numbers = any(np.isfinite(column).any() for column in found.audited.values()) or any(one.value is not None for one in said)
    expect(numbers, "concludes nothing of the planted images")
    json.dumps(list(found.profiles), allow_nan=False)
    alone = analysis.conclude(decision, audited, None)
    expect(not alone.training, "says something of training images where there are none")
    _check_order(analysis, decision, audited, training, found)


def _check_order(analysis: Analysis, decision: Decision, audited: Embedded, training: Embedded, found: Concluded) -> None:
    turn = np.random.Generator(np.random.Philox(key=[7, 3])).permutation(IMAGES)
    turned = replace(
        audited,
        vectors=audited.vectors[turn],
        labels=audited.labels[turn],
        patients=audited.patients[turn],
        lot=audited.lot[turn],
        groups={by: group._replace(code=group.code[turn]) for by, group in audited.groups.items()},
    )
    again = analysis.conclude(decision, turned, training)
    for name, column in found.audited.items():
        same = np.allclose(column[turn], again.audited[name], rtol=1e-6, atol=1e-9, equal_nan=True)
        expect(same, f"{name} depends on the order of the images")
    for one, other in zip(found.numbers, again.numbers, strict=True):
        same = (one.metric, one.missing) == (other.metric, other.missing) and abs((one.value or 0) - (other.value or 0)) < 1e-6
        expect(same, f"{one.metric} depends on the order of the images")
