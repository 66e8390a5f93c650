"""What the maps and channels of the planted networks must come to, worked out by hand: overlap, chance, concepts, a contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import self_test_truth as truth
from .evidence import Evidence
from .self_test_check import Check, summary
from .self_test_truth import CLASSES, FINDINGS, PLATEAU, SHOWS, SIDE

Array = npt.NDArray[Any]
BESIDE = 4


def checks() -> Iterator[Check]:
    """Everything that must hold of maps and channels."""
    for part in (_alignment, _dissection, _contrast):
        yield from part()


def _alignment() -> Iterator[Check]:
    for strategy, shift, words in (
        ("own", 0, "a map that shows its finding"),
        ("beside", BESIDE, "a map four columns beside it"),
    ):
        expected = {name: _overlaps(name, shift) for name in CLASSES}
        for place, metric in enumerate(("iobb", "ior", "iou", "pointing_game")):
            yield Check(
                "alignment", f"{metric} of {words}", summary(metric, strategy, *CLASSES),
                tuple(expected[name][place] for name in CLASSES),
            )  # fmt: skip
    for strategy, words in (("blind", "a network that sees nothing"), ("averse", "a network that looks away")):
        yield Check("alignment", f"every map of {words} is empty", summary("empty_map", strategy, *CLASSES), (1.0,) * 3)
        yield Check("alignment", f"IoBB of {words}", summary("iobb", strategy, *CLASSES), (0.0,) * 3)
        yield Check("alignment", f"CBL of {words}", summary("cbl", strategy, *CLASSES), (0.0,) * 3)
    shares = tuple(float(truth.seen(name, 0)[1].mean()) for name in CLASSES)
    yield Check(
        "alignment", "a map that points nowhere scores the share of its box in the pointing game", summary("pointing_game", "blind", *CLASSES),
        shares,
    )  # fmt: skip
    yield from _corrected_for_chance()


def _corrected_for_chance() -> Iterator[Check]:
    """CBL of three networks, and what is left of it against the boxes of other patients, where a class has three of them."""
    for strategy, words in (
        ("own", "a map that shows its finding, 1 where all of it lies in the box"), ("beside", "a map four columns beside it"),
        ("next", "a map of the next finding on a constant, 0 where there is the constant alone"),
    ):  # fmt: skip
        means = tuple(
            float(np.mean([_cbl(_map(strategy, name, n), truth.seen(name, n)[1]) for n in showing(name)])) for name in CLASSES
        )
        yield Check("alignment", f"CBL of {words}", summary("cbl", strategy, *CLASSES), means)
    own, others = _in_own_and_other_boxes(lambda mine, box: _cbl(_map("beside", "second", mine), box))
    yield Check(
        "alignment",
        "CBL beyond that in the boxes of other patients",
        summary("cbl_excess", "beside", "second"),
        (own - others,),
    )
    yield Check("alignment", "kappa_loc", summary("kappa_loc", "beside", "second"), ((own - others) / (1 - others),))


def showing(name: str) -> list[int]:
    """The three images that show a class."""
    return [number for number, shown in enumerate(SHOWS) if name in shown]


def _in_own_and_other_boxes(score: Callable[[int, Array], float]) -> tuple[float, float]:
    """The mean score of the images that show `second`, each of another patient, in their own box and in the boxes of the others."""
    images = showing("second")
    found = np.array([[score(mine, truth.seen("second", other)[1]) for other in images] for mine in images])
    return float(found.trace() / 3), float((found.sum() - found.trace()) / 6)


def _map(strategy: str, name: str, number: int) -> Array:
    """What a network looks at for a class, but for a scale and a constant, which change no CBL."""
    looked_at = truth.after(name) if strategy == "next" else name
    if looked_at not in SHOWS[number]:
        return np.zeros((SIDE, SIDE))
    return _moved(truth.seen(looked_at, number)[0], BESIDE if strategy == "beside" else 0)


def _moved(pixels: Array, columns: int) -> Array:
    """The same so many columns further right."""
    moved = np.zeros_like(pixels)
    moved[:, columns:] = pixels[:, : SIDE - columns]
    return moved


def _cbl(pixels: Array, box: Array) -> float:
    """(I - A k/N) / (T - A k/N); 0 for a constant map."""
    if np.ptp(pixels) == 0:
        return 0.0
    size = int(box.sum())
    chance = float(pixels.sum()) * size / pixels.size
    most = float(np.sort(pixels, axis=None)[-size:].sum())
    return (float(pixels[box].sum()) - chance) / (most - chance)


def _overlaps(name: str, shift: int) -> tuple[float, ...]:
    """IoBB, IoR, IoU and pointing game, averaged over the three images that show the class, from their definitions."""
    found = []
    for number, shown in enumerate(SHOWS):
        if name not in shown:
            continue
        pixels, box = truth.seen(name, number)
        moved = _moved(pixels, shift)
        inside, peaks = float(moved[box].sum()), moved == moved.max()
        found.append(
            (
                inside / box.sum(),
                inside / moved.sum(),
                inside / (box.sum() + moved.sum() - inside),
                (peaks & box).sum() / peaks.sum(),
            )
        )
    return tuple(float(value) for value in np.mean(found, axis=0))


def _dissection() -> Iterator[Check]:
    boxed = [shown for shown in SHOWS if shown]
    disjoint = sum(_regions(name, number) for number, shown in enumerate(SHOWS) for name in shown) / len(boxed)
    of_class = tuple(np.mean([_regions(name, n) for n, shown in enumerate(SHOWS) if name in shown]) for name in CLASSES)
    unique = sum(len(shown) for shown in boxed) / len(boxed)
    yield Check(
        "dissection", "regions in the boxes: corners join, holes do not count, a region that crosses the edge counts once",
        summary("disjoint_concepts", "own", *CLASSES, "(image)"), (*map(float, of_class), disjoint),
    )  # fmt: skip
    yield Check(
        "dissection", "channels with a region in the boxes", summary("unique_concepts", "own", *CLASSES, "(image)"),
        (1.0, 1.0, 1.0, unique),
    )  # fmt: skip
    yield Check("dissection", "one channel is dead", summary("dead_channels", "own", "(model)"), (1.0,))
    yield from _beyond_other_boxes()
    # the plateau is the threshold, and only what is above it is active: the hot pixels, and the raised finding of image 1; of four channels
    (top, bottom), (left, right), hottest = FINDINGS["first"]
    hot = sum(3 * len(finding.hot) for finding in FINDINGS.values()) + (bottom - top) * (right - left) - len(hottest)
    yield Check(
        "dissection", "the share of active pixels, ties with the threshold left out", summary("active_fraction", "own", "(model)"),
        (hot / (4 * len(boxed) * SIDE * SIDE),),
    )  # fmt: skip


def _beyond_other_boxes() -> Iterator[Check]:
    """Regions of `second` in the own box against those in the boxes of other patients: its ring is there or not."""
    ring = {number: truth.seen("second", number)[0] > PLATEAU for number in showing("second")}
    own, others = _in_own_and_other_boxes(lambda mine, box: float((ring[mine] & box).any()))
    yield Check(
        "dissection", "regions beyond those in the boxes of other patients", summary("disjoint_excess", "own", "second"),
        (own - others,),
    )  # fmt: skip
    yield Check(
        "dissection", "log of regions over those in the boxes of other patients", summary("disjoint_lift", "own", "second"),
        (math.log(own / others),),
    )  # fmt: skip


def _regions(name: str, number: int) -> int:
    """Active regions of a finding in an image: two in `first`, but where it is raised it is active as a whole."""
    return 2 if name == "first" and number != 1 else 1


def _contrast() -> Iterator[Check]:
    """IoBB of the blind network minus that of the reference: minus the reference's, paired by case, patients independent."""
    values = []
    for number in (0, 1, 2):
        pixels, box = truth.seen("first", number)
        values.append(-float(pixels[box].mean()))
    mean = math.fsum(values) / 3
    of_last = abs(values[2] - mean)  # images 0 and 1 are of one patient: the residuals of the two patients cancel out
    half = 12.706204736 * 2 * of_last / 3  # t of one degree of freedom; SE^2 = 2 (r1^2 + r2^2) / 9

    def find(evidence: Evidence) -> Iterator[float | None]:
        for row in evidence.contrasts("iobb", class_name="first"):
            if row.strategy == "blind":
                yield from (row.difference, row.low, row.high, row.n_cases, row.n_patients)

    yield Check(
        "alignment", "a difference with its interval: paired by case, clustered by patient", find,
        (mean, max(mean - half, -1.0), min(mean + half, 1.0), 3, 2),
    )  # fmt: skip
