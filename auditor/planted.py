"""Planted truth: who has which finding, on which film, where, and whether a laterality marker gives it away.

All random numbers come from Philox streams keyed by seed, split, patient and film: a film never depends on which films were
drawn before it, or on how many there are. `draw` makes the picture and the masks of a film, `bounds` the box of a lesion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .phantom_picture import Drawing, draw, stream
from .phantom_shapes import Anatomy, Film, Kind, Lesion, bounds

__all__ = ["CLASSES", "PREVALENCE", "VERSION", "Drawing", "Film", "Kind", "Lesion", "Split", "bounds", "draw", "film", "films"]

Split = Literal["train", "val", "test"]
Lots = npt.NDArray[np.float64]

CLASSES: tuple[Kind, ...] = get_args(Kind)
PREVALENCE: dict[Kind, float] = dict(zip(CLASSES, (0.24, 0.16, 0.105, 0.07, 0.046, 0.03), strict=True))
"""Share of the images that show each finding: a long tail, each class about two thirds of the one before."""

VERSION = 1
"""Goes up whenever a film of the same name would look different."""

PERSISTENCE = 0.5
"""Share of findings that belong to the patient, at the same place on every film, and not to the one film."""

_BUILDS = {
    "middle": (0.490, 0.510),
    "chest": (0.330, 0.385),
    "shoulder": (0.030, 0.075),
    "flank": (0.070, 0.115),
    "apex": (0.110, 0.150),
    "base": (0.720, 0.800),
    "angle": (0.065, 0.100),
    "heart": (0.420, 0.500),
    "tilt": (0.250, 0.450),
    "spacing": (0.074, 0.088),
    "phase": (0.000, 1.000),
    "density": (0.920, 1.060),
}


def films(seed: int, split: Split, images: int, repeats: int) -> Iterator[tuple[int, int]]:
    """(patient, film) of the first images of a split; patients have 1 to `repeats` films, most often 1."""
    patient = 0
    while images > 0:
        count = min(1 + int(repeats * _lots(seed, split, patient, 0)[0, 13] ** 2), images)
        yield from ((patient, film) for film in range(1, count + 1))
        patient, images = patient + 1, images - count


def film(seed: int, split: Split, patient: int, number: int, marker: float = 0.0, marker_class: Kind = "Nodule") -> Film:
    """The film of this name.

    `marker` is how far the laterality marker gives `marker_class` away: the share of films that carry a marker exactly when
    they show the finding. On the others it is there every second time, so that P(marker | finding) - P(marker | none) = marker.
    """
    own, kept = _lots(seed, split, patient, number), _lots(seed, split, patient, 0)
    lesions = tuple(lesion for row, kind in enumerate(CLASSES, 1) for lesion in _lesions(kind, kept[row], own[row]))
    lots = own[0]
    tells, there = lots[0] < marker, any(lesion.kind == marker_class for lesion in lesions)
    letter: Literal["L", "R"] = "L" if lots[2] < 0.5 else "R"
    return Film(
        anatomy=_posed(_build(kept[0]), lots),
        lesions=lesions,
        marker=letter if (there if tells else lots[1] < 0.5) else "",
        texture=_key(seed, split, patient, 0, 1),
        grain=_key(seed, split, patient, number, 1),
        lot=float(lots[3]),
    )


def group(seed: int, split: Split, patient: int) -> Literal["A", "B"]:
    """Which of two groups of patients this one is in, each with a probability of a half."""
    return "A" if _lots(seed, split, patient, 0)[0, 14] < 0.5 else "B"


def _key(seed: int, split: Split, patient: int, number: int, purpose: int) -> tuple[int, int]:
    place = get_args(Split).index(split)
    return seed, (place << 60) | (patient << 24) | (number << 4) | purpose


@lru_cache(maxsize=64)
def _lots(seed: int, split: Split, patient: int, number: int) -> Lots:
    """Uniform numbers: row 0 for the film as a whole, then a row per class. Film 0 stands for the patient."""
    return stream(_key(seed, split, patient, number, 0)).random((1 + len(CLASSES), 16))


def _lesions(kind: Kind, kept: Lots, own: Lots) -> Iterator[Lesion]:
    lots = kept if own[0] < PERSISTENCE else own
    if lots[1] >= PREVALENCE[kind]:
        return
    side = 1 if lots[2] < 0.5 else -1
    yield Lesion(kind, side, *(float(lot) for lot in lots[3:8]))
    if kind in ("Nodule", "Infiltration", "Effusion") and lots[8] < 0.25:
        yield Lesion(kind, -side, *(float(lot) for lot in lots[9:14]))


def _build(lots: Lots) -> Anatomy:
    return Anatomy(
        **{part: low + (high - low) * float(lot) for (part, (low, high)), lot in zip(_BUILDS.items(), lots, strict=False)}
    )


def _posed(build: Anatomy, lots: Lots) -> Anatomy:
    sway, lift, breath, dose = (float(lot) - 0.5 for lot in lots[4:8])
    return replace(
        build,
        middle=build.middle + 0.024 * sway,
        shoulder=build.shoulder + 0.016 * lift,
        apex=build.apex + 0.016 * lift,
        base=build.base + 0.03 * breath,
        density=build.density * (1 + 0.08 * dose),
    )
