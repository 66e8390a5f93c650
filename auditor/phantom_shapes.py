"""Where things are in a chest phantom: anatomy and lesions as spans over the pixel columns.

Lengths are fractions of the image's width (x) and height (y), so one patient can be drawn at any size. A span says for each
pixel column which rows it covers; its mask and its tight box follow from the same two curves, so the boxes are exact and
cost no drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["Infiltration", "Effusion", "Nodule", "Mass", "Cardiomegaly", "Pneumothorax"]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SPINE = 0.035
"""Half width of the part of the chest, either side of its middle, that no lung reaches."""


class Span(NamedTuple):
    """A region that meets every vertical line in one piece, from `top` to `bottom`; where top >= bottom it is not met."""

    top: Floats
    bottom: Floats


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The build of one patient, as posed on one film. `chest` is half the width of the rib cage, `heart` its share of it."""

    middle: float
    chest: float
    shoulder: float
    flank: float
    apex: float
    base: float
    angle: float
    heart: float
    tilt: float
    spacing: float
    phase: float
    density: float

    def floor(self, side: int) -> float:
        """Height of the diaphragm's dome; the patient's right one (the left in the picture) stands higher."""
        return self.base + (0.025 if side > 0 else 0.0)


@dataclass(frozen=True, slots=True)
class Lesion:
    """One planted finding; `side` is -1 for the left half of the picture, 1 for the right, and the rest is within 0..1."""

    kind: Kind
    side: int
    across: float
    down: float
    size: float
    stretch: float
    strength: float


@dataclass(frozen=True, slots=True)
class Film:
    """Everything that decides one image.

    `texture` and `grain` are the keys of the random patterns of the patient and of the film. `lot` is a number in 0..1 that
    belongs to the film, to choose a share of films by.
    """

    anatomy: Anatomy
    lesions: tuple[Lesion, ...]
    marker: Literal["", "L", "R"]
    texture: tuple[int, int]
    grain: tuple[int, int]
    lot: float

    def shows(self, kind: Kind) -> bool:
        """Whether the finding is on this film."""
        return any(lesion.kind == kind for lesion in self.lesions)


def columns(width: int) -> Floats:
    """Centres of the pixel columns as fractions of the width."""
    return (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)


def roof(build: Anatomy, side: int, u: Floats) -> Floats:
    """The upper border of a lung at u = 0 (spine) to 1 (costophrenic angle), where it has become the side wall."""
    out = np.clip((u - 0.32) / 0.68, 0, 1)
    height = build.floor(side) + build.angle - build.apex
    top: Floats = build.apex + height * (1 - (1 - out**2.3) ** (1 / 2.3)) + 0.06 * np.clip(1 - u / 0.32, 0, 1) ** 2
    return top


def lung(build: Anatomy, side: int, x: Floats) -> tuple[Span, Floats]:
    """A lung, and how far across it each column lies: 0 at the spine, 1 at the chest wall."""
    u = (side * (x - build.middle) - SPINE) / (build.chest - SPINE)
    inside, u = (u > 0) & (u < 1), np.clip(u, 0, 1)
    dome = build.floor(side) + build.angle * ((u - 0.35) / 0.65) ** 2
    return Span(np.where(inside, roof(build, side, u), 1), np.where(inside, dome, 0)), u


def heart(film: Film, x: Floats) -> Span:
    """The heart shadow, as wide as this film says."""
    large = [lesion for lesion in film.lesions if lesion.kind == "Cardiomegaly"]
    return _large_heart(film.anatomy, large[0], x, 1) if large else _heart(film.anatomy, film.anatomy.heart, x)


def outline(film: Film, lesion: Lesion, height: int, width: int) -> Span:
    """Where a lesion is."""
    return _SHAPES[lesion.kind](film.anatomy, lesion, columns(width), (width / height) ** 0.5)


def rows(span: Span, height: int) -> tuple[Rows, Rows]:
    """First row, and row after the last, whose centre lies in the span, for each column."""
    first = np.ceil(span.top * height - 0.5).clip(0, height).astype(np.int64)
    last = np.floor(span.bottom * height - 0.5).clip(-1, height - 1).astype(np.int64)
    return first, last + 1


def bounds(film: Film, lesion: Lesion, height: int, width: int) -> tuple[int, int, int, int]:
    """The tight box (left, top, right, bottom) of a lesion's mask in pixels, right and bottom exclusive; draws nothing."""
    first, end = rows(outline(film, lesion, height, width), height)
    met = np.flatnonzero(end > first)
    return int(met[0]), int(first[met].min()), int(met[-1]) + 1, int(end[met].max())


def _ellipse(x: Floats, centre: tuple[float, float], radii: tuple[float, float], slope: float = 0.0) -> Span:
    across = x - np.float32(centre[0])
    half = radii[1] * np.sqrt(np.clip(1 - (across / radii[0]) ** 2, 0, None))
    middle = centre[1] + slope * across
    return Span(np.where(half > 0, middle - half, 1), np.where(half > 0, middle + half, 0))


def _heart(build: Anatomy, ratio: float, x: Floats) -> Span:
    radii = (ratio * build.chest, 0.12 + 0.12 * ratio)
    return _ellipse(x, (build.middle + 0.30 * radii[0], build.base + 0.02 - 0.62 * radii[1]), radii, build.tilt)


# A shape gets the anatomy, the lesion, the columns and `squash`, the square root of width / height: a round lesion stays
# round, and of one area, on a film that is not square.
Shape = Callable[[Anatomy, Lesion, Floats, float], Span]


def _round(low: float, high: float, stretch: float) -> Shape:
    """An ellipse with radii of this range somewhere in a lung."""

    def shape(build: Anatomy, lesion: Lesion, x: Floats, squash: float) -> Span:
        radius = low + (high - low) * lesion.size
        ratio = (1 + stretch) ** (2 * lesion.stretch - 1)
        # On a coarse grid a radius of 0.8 pixels still holds the centre of at least one pixel.
        radii = (max(radius * ratio / squash, 0.8 / len(x)), max(radius / ratio * squash, 0.8 / len(x) * squash**2))
        u = 0.30 + 0.40 * lesion.across
        top = float(roof(build, lesion.side, np.array([u], np.float32))[0]) + radii[1]
        end = build.floor(lesion.side) - 0.02 - radii[1]
        across = build.middle + lesion.side * (SPINE + u * (build.chest - SPINE))
        return _ellipse(x, (across, top + (end - top) * (0.08 + 0.84 * lesion.down)), radii)

    return shape


def _fluid(build: Anatomy, lesion: Lesion, x: Floats, squash: float) -> Span:
    """Fluid at the base of a lung, its surface rising towards the chest wall."""
    whole, u = lung(build, lesion.side, x)
    level = build.base + build.angle - 0.07 - 0.17 * lesion.size
    return Span(np.maximum(whole.top, level + 0.11 * (1 - u) ** 1.5), whole.bottom)


def _free_air(build: Anatomy, lesion: Lesion, x: Floats, squash: float) -> Span:
    """Air over the apex of a lung that has come off the chest wall."""
    whole, u = lung(build, lesion.side, x)
    shrunk = 0.95 - 0.13 * lesion.size
    pleura = roof(build, lesion.side, np.clip(u / shrunk, 0, 1)) + 0.03 + 0.06 * lesion.size
    end = build.apex + (0.35 + 0.2 * lesion.down) * (build.base - build.apex)
    return Span(whole.top, np.where(whole.bottom > whole.top, np.minimum(pleura, end), 0))


def _large_heart(build: Anatomy, lesion: Lesion, x: Floats, squash: float) -> Span:
    return _heart(build, 0.56 + 0.10 * lesion.size, x)


_SHAPES: dict[Kind, Shape] = {
    "Infiltration": _round(0.070, 0.120, 0.35),
    "Effusion": _fluid,
    "Nodule": _round(0.022, 0.036, 0.10),
    "Mass": _round(0.050, 0.085, 0.30),
    "Cardiomegaly": _large_heart,
    "Pneumothorax": _free_air,
}
