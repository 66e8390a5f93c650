"""Which units detect a class: overlap of their active areas with its boxes over a whole data set, against permuted boxes.

The published rule (Bau et al., 2017) takes a unit for a detector when its intersection over union, summed over the data set,
is above 0.04. Large boxes, or anatomy, lift unrelated units over it by the dozen. So the boxes of a class are also permuted
between its patients, and a unit stays a detector only if its overlap, as a z-score among its own permutations, is larger than
the largest of all units and classes that pass the rule in all but 5 % of the permutations (max-T, Westfall and Young 1993).

Areas are in nodes of the feature map; the intersection with all boxes is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .dataset import Box

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
UNITS_AT_ONCE = 64
SIGNIFICANT = 0.05


class Overlap(NamedTuple):
    """The n cases of a class against its boxes, for C units, in nodes.

    `patient` [n] codes; `area` [n, C] active, `boxes` [n] covered, `own` [n, C] both; `as_map` and `as_box` [n, C] the mean
    intersection of the case's map with all boxes, and of its boxes with all maps; `sums` [B, C] the intersection over all
    cases with permuted boxes and `box_sums` [B] what those cover.
    """

    patient: Integers
    area: Floats
    boxes: Floats
    own: Floats
    as_map: Floats
    as_box: Floats
    sums: Floats
    box_sums: Floats


class Judged(NamedTuple):
    """The overlap and adjusted p of K classes by C units, and the class that each unit [C] counts for, -1 for none.

    It counts for one class only, that of its largest IoU, by the published rule and by the controlled one. `chance_published` and
    `chance_controlled` [B, K] are the counts that permuted boxes give, `drawn` [R, K] those that resampled patients give.
    """

    iou: Floats
    p: npt.NDArray[np.float64]
    published: Integers
    controlled: Integers
    chance_published: Integers
    chance_controlled: Integers
    drawn: Integers


def coverage(boxes: Sequence[Box], height: int, width: int) -> Floats:
    """The share of each node's cell [height * width] that boxes cover, in fractions of the grid; where they overlap, at most 1."""
    found = np.zeros((height, width))
    for box in boxes:
        found += np.outer(_covered(box.top, box.bottom, height), _covered(box.left, box.right, width))
    return np.minimum(found, 1).astype(np.float32).ravel()


def _covered(low: float, high: float, cells: int) -> npt.NDArray[np.float64]:
    edges = np.arange(cells + 1)
    return np.asarray(np.clip(np.minimum(edges[1:], high * cells) - np.maximum(edges[:-1], low * cells), 0, 1))


def permutations(patient: Integers, count: int, random: np.random.Generator) -> Integers:
    """Whose boxes each case gets [count, n]: patients change places, and a case gets a box of the patient that took its own's.

    A patient with more cases than the other gives them the other's boxes in turn.
    """
    everyone, who = np.unique(patient, return_inverse=True)
    order = np.argsort(who, kind="stable")
    films = np.bincount(who)
    first = np.cumsum(films) - films
    turn = np.empty(len(who), np.int64)
    turn[order] = np.arange(len(who)) - first[who[order]]
    other = np.stack([random.permutation(len(everyone)) for _ in range(count)])[:, who]
    return np.asarray(order[first[other] + turn % films[other]], np.int64)


def overlap(packed: npt.NDArray[np.uint8], covered: Floats, patient: Integers, partners: Integers) -> Overlap:
    """The overlap of masks [n, C, bytes] of one bit per node with boxes [n, nodes], and with the boxes of `partners` [B, n]."""
    blocks = [
        _block(np.unpackbits(packed[:, first : first + UNITS_AT_ONCE], axis=2, count=covered.shape[1]), covered, partners)
        for first in range(0, packed.shape[1], UNITS_AT_ONCE)
    ]
    area, own, as_map, as_box, sums = (np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True))
    size = covered.sum(1)
    return Overlap(patient, area, size, own, as_map, as_box, sums, size[partners].sum(1))


def _block(masks: npt.NDArray[np.uint8], covered: Floats, partners: Integers) -> tuple[Floats, ...]:
    """Area, own intersection, its means by map and by box [n, c], and sums with permuted boxes [B, c], of masks [n, c, nodes]."""
    import torch

    cases, units, nodes = masks.shape
    # In torch: NumPy's own threads would wait for work on the cores that the network runs on.
    flat = torch.from_numpy(masks).float().reshape(cases * units, nodes)
    both = (flat @ torch.from_numpy(covered).T).reshape(cases, units, cases).numpy()
    each = np.arange(cases)
    sums = np.stack([both[each, :, partner].sum(0) for partner in partners])
    return masks.sum(2, dtype=np.float32), both[each, :, each], both.mean(2), np.ascontiguousarray(both.mean(0).T), sums


def judge(classes: Sequence[Overlap], level: float, random: np.random.Generator, resamples: int) -> Judged:
    """Every unit and class by the published rule and by max-T over all of them."""
    iou = np.stack([_iou(c.own.sum(0), c.area.sum(0), c.boxes.sum()) for c in classes])
    null = np.stack([_iou(c.sums, c.area.sum(0), c.box_sums[:, None]) for c in classes], axis=1)
    middle, spread = null.mean(0), null.std(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(spread > 0, (iou - middle) / spread, -np.inf)
        null_z = np.where((null > level) & (spread > 0), (null - middle) / spread, -np.inf)
    highest = null_z.max((1, 2))
    allowed = int(SIGNIFICANT * (len(highest) + 1))
    limit = np.sort(highest)[-allowed] if allowed else np.inf
    p = (1 + (highest[:, None, None] >= z).sum(0)) / (1 + len(highest))
    return Judged(
        iou, p, _best(iou > level, iou), _best((iou > level) & (z > limit), iou),
        _counted(null > level, null), _counted((null > level) & (null_z > limit), null),
        _resampled(classes, z, level, float(limit), random, resamples),
    )  # fmt: skip


def _iou(both: npt.NDArray[Any], area: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> Floats:
    """Intersection over union; 0 where there is nothing."""
    union = np.asarray(area + boxes - both, np.float32)
    return np.asarray(np.divide(both, union, out=np.zeros_like(union), where=union > 0))


def _best(passing: npt.NDArray[np.bool_], iou: Floats) -> Integers:
    """Of the classes [..., K, C] that each unit passes for, that of its largest IoU [..., C]; -1 for none."""
    return np.where(passing.any(-2), np.where(passing, iou, -1).argmax(-2), -1)


def _counted(passing: npt.NDArray[np.bool_], iou: Floats) -> Integers:
    """How many units count for each class [..., K]."""
    best = _best(passing, iou)
    return np.stack([(best == number).sum(-1) for number in range(passing.shape[-2])], axis=-1)


def _resampled(
    classes: Sequence[Overlap], z: Floats, level: float, limit: float, random: np.random.Generator, resamples: int
) -> Integers:
    """Controlled detectors of each class [R, K] in resamples of whole patients, which all classes share.

    How far a patient moves a z-score is linear: its own intersections less what its maps and its boxes share with everyone's.
    """
    everyone = np.unique(np.concatenate([c.patient for c in classes]))
    weights = random.multinomial(len(everyone), np.full(len(everyone), 1 / len(everyone)), resamples).astype(np.float32)
    iou = np.empty((resamples, *z.shape), np.float32)
    moved = np.empty_like(iou)
    for number, c in enumerate(classes):
        weight = weights[:, np.searchsorted(everyone, c.patient)]
        iou[:, number] = _iou(weight @ c.own, weight @ c.area, (weight @ c.boxes)[:, None])
        pull = c.own - c.as_map - c.as_box + c.as_map.mean(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved[:, number] = z[number] + (weight - 1) @ pull / c.sums.std(0)
    return _counted((iou > level) & (moved > limit), iou)
