"""What a chest phantom looks like: soft tissue, lungs, ribs, heart, lesions, grain and a letter, as a radiograph shows them.

The numbers are shades on a scale of 0 (air) to 1, and lengths as in `phantom_shapes`; all were chosen by eye [I].
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .letter import letter
from .phantom_shapes import Anatomy, Film, Floats, Kind, Lesion, Span, bounds, columns, heart, lung, outline, roof, rows

Mask = npt.NDArray[np.bool_]


class Drawing(NamedTuple):
    """Pixels [H, W] in 0..1, and where things are: a mask per lesion of the film, the laterality marker, the patient's body."""

    pixels: Floats
    masks: tuple[Mask, ...]
    marker: Mask
    body: Mask


class Look(NamedTuple):
    """How much a lesion adds to the shade of aerated lung, at the least and at the most, and how soft its edge is."""

    faint: float
    strong: float
    edge: float
    patchy: bool = False


LOOKS: dict[Kind, Look] = {
    "Infiltration": Look(0.09, 0.20, 0.060, patchy=True),
    "Effusion": Look(0.20, 0.36, 0.030),
    "Nodule": Look(0.14, 0.28, 0.012),
    "Mass": Look(0.14, 0.30, 0.030),
    "Pneumothorax": Look(-0.06, -0.12, 0.012),
}
"""Without Cardiomegaly, which adds nothing: it is the heart itself, drawn larger."""


def stream(key: tuple[int, int]) -> np.random.Generator:
    """The random numbers of this key."""
    return np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64)))


def draw(film: Film, height: int = 128, width: int = 128) -> Drawing:
    """The film as an image of this size; air is exactly 0, and the body nowhere is."""
    x, y = columns(width), columns(height)[:, None]
    body = _body(film.anatomy, x, y)
    picture = _chest(film, x, y)
    masks = tuple(_add(picture, film, lesion, y) for lesion in film.lesions)
    picture += np.float32(0.022) * stream(film.grain).standard_normal((height, width), dtype=np.float32)
    picture *= np.float32(film.anatomy.density)
    np.clip(picture, 0.02, 1, out=picture)
    picture *= body
    marker = letter(film.marker, height, width) if film.marker else np.zeros((height, width), bool)
    picture[marker] = 0.97
    return Drawing(picture, masks, marker, body > 0)


def _cover(span: Span, y: Floats, edge: float) -> Floats:
    """How much of a span each pixel sees: 0 outside, rising to 1 over `edge`."""
    depth: Floats = np.minimum(y - span.top, span.bottom - y)
    depth *= np.float32(1 / edge)
    np.clip(depth, 0, 1, out=depth)
    return depth


def _body(build: Anatomy, x: Floats, y: Floats) -> Floats:
    """Neck, shoulders and flanks: 0 in air, 1 where the body is thick."""
    out = np.abs(x - build.middle)
    reach = build.chest + build.flank
    side = np.clip(out / reach, 0, 1)
    slope = (build.shoulder + 0.05) * (1 - np.exp((0.08 - out) / 0.075)) + 0.04 * side
    skin = np.maximum(slope, 1 - np.sqrt(1 - side**14))
    thick: Floats = np.sqrt(np.clip((y - skin) / 0.05, 0, 1) * np.clip((reach - out) / 0.045, 0, 1))
    return thick


def _chest(film: Film, x: Floats, y: Floats) -> Floats:
    """The inside of the body without its lesions, the heart as large as it is."""
    build = film.anatomy
    lungs = np.maximum(*(_cover(lung(build, side, x)[0], y, 0.035) for side in (-1, 1)))
    out = np.abs(x - build.middle)
    vessels, haze = _texture(film.texture, len(y), len(x))
    hilum = np.exp(-(((out - 0.085) / 0.07) ** 2) - ((y - build.apex - 0.29) / 0.13) ** 2)
    picture: Floats = 0.60 + 0.05 * haze + 0.20 * np.clip((y - build.base + 0.05) / 0.12, 0, 1)
    picture -= lungs * (0.40 - 0.13 * hilum - (0.04 + 0.08 * hilum) * vessels)
    picture += _bones(build, x, y)
    picture += _middle(build, x, y, lungs)
    picture += 0.27 * lungs * _cover(heart(film, x), y, 0.035)
    return picture


def _middle(build: Anatomy, x: Floats, y: Floats, lungs: Floats) -> Floats:
    """Great vessels with the aortic knob, the spine with its discs, and the windpipe, which is dark."""
    out = np.abs(x - build.middle)
    knob = 0.030 * np.exp(-(((y - build.apex - 0.17) / 0.05) ** 2)) * (x > build.middle)
    edge = 0.050 + knob + 0.012 * np.cos((y - build.apex) * 9)
    vessels = 0.30 * lungs * np.clip((edge - out) / 0.03 + 0.5, 0, 1)
    spine = np.clip((0.03 - out) / 0.012, 0, 1) * (0.075 + 0.025 * np.cos(y * np.float32(2 * np.pi / 0.052)))
    windpipe = 0.11 * np.clip((0.013 - out) / 0.008, 0, 1) * np.clip((build.apex + 0.16 - y) / 0.03, 0, 1)
    total: Floats = vessels + spine - windpipe
    return total


def _bones(build: Anatomy, x: Floats, y: Floats) -> Floats:
    """Pairs of ribs that arch at the back, fainter ones that slope in front, and the collar bones."""
    far = np.clip(np.abs(x - build.middle) / build.chest, 0, 1)
    turn = np.float32(2 * np.pi / build.spacing)
    cage = _cover(Span(roof(build, -1, np.clip(far, 0.32, 1)) - 0.01, np.full_like(x, build.base + 0.1)), y, 0.02)
    back = np.cos((y - 0.20 * (far - 0.35) ** 2) * turn + np.float32(2 * np.pi * build.phase))
    front = np.cos((y + 0.30 * far) * turn * np.float32(0.9))
    ribs = 0.075 * np.clip(back - 0.1, 0, 1) + 0.045 * np.clip(front - 0.2, 0, 1) * np.clip((far - 0.3) / 0.2, 0, 1)
    collar = np.clip((0.016 - np.abs(y - build.apex - 0.075 + 0.16 * far**1.5)) / 0.008, 0, 1)
    total: Floats = cage * ribs + 0.11 * collar * np.clip((far - 0.12) / 0.05, 0, 1)
    return total


@lru_cache(maxsize=16)
def _smoothing(size: int, cells: int) -> Floats:
    """Weights [size, cells] that spread a coarse grid of numbers smoothly over `size` pixels."""
    weights = np.exp(-((columns(size)[:, None] * cells - columns(cells) * cells) ** 2))
    even: Floats = weights / np.sqrt((weights**2).sum(1, keepdims=True))
    return even


def _texture(key: tuple[int, int], height: int, width: int) -> tuple[Floats, Floats]:
    """Branching vessels (0..1) and slow haze (-1..1), the same at every size."""
    lots = stream(key).standard_normal((2, 34, 34), dtype=np.float32)
    fine = _smoothing(height, 34) @ lots[0] @ _smoothing(width, 34).T
    slow = _smoothing(height, 6) @ lots[1, :6, :6] @ _smoothing(width, 6).T
    return np.exp(-((fine / 0.35) ** 2)), np.clip(slow / 2, -1, 1)


def _add(picture: Floats, film: Film, lesion: Lesion, y: Floats) -> Mask:
    """Draw one lesion into the picture; its mask. What is bright already gains less, as film does."""
    height, width = picture.shape
    span = outline(film, lesion, height, width)
    first, end = rows(span, height)
    row = np.arange(height)[:, None]
    mask: Mask = (row >= first) & (row < end)
    if lesion.kind in LOOKS:
        look = LOOKS[lesion.kind]
        left, top, right, bottom = bounds(film, lesion, height, width)
        window = (slice(top, bottom), slice(left, right))
        depth = _cover(Span(span.top[left:right], span.bottom[left:right]), y[top:bottom], look.edge)
        amount = np.float32(look.faint + (look.strong - look.faint) * lesion.strength) * (0.3 + 0.7 * depth)
        if look.patchy:
            amount *= 0.65 + 0.35 * _texture((film.texture[0], film.texture[1] + 1), height, width)[0][window]
        room = np.clip((0.80 - picture[window]) / 0.45, 0.2, 1)
        picture[window] += np.where(mask[window], amount * room, 0)
    return mask
