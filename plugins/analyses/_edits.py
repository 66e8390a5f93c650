"""A change of an image and its control: something taken out or put in, and as much changed where it should not matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auditor import Edges
from auditor.boxes import union_mask
from auditor.erasing import filled
from auditor.letter import Letter, letter, letter_bounds
from auditor.other_places import border, elsewhere, frame_inside

Pixels = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]
Pair = tuple[Pixels, Pixels]


def without_border(image: Pixels, share: float) -> Pair:
    """The image [C, H, W] without its border; and without a frame of at least as many pixels right inside it."""
    size = image.shape[1:]
    return filled(image, border(*size, share)), filled(image, frame_inside(*size, share))


def without_object(image: Pixels, boxes: Sequence[Edges], taken: Mask, random: np.random.Generator) -> Pair | None:
    """The image without what the boxes hold; and without patches of their sizes elsewhere. None where there is no room for those."""
    others = elsewhere(boxes, taken, random)
    if others is None:
        return None
    pair = tuple(filled(image, union_mask(where, *taken.shape)) for where in (boxes, others))
    return pair[0], pair[1]


def with_letter(image: Pixels, taken: Mask, random: np.random.Generator) -> Pair | None:
    """The image with a letter as bright as its brightest place in an upper corner; and with the letter's pixels elsewhere, shuffled.

    None where the grid is too coarse for a letter, or where there is no room elsewhere.
    """
    name: Letter = "L" if random.random() < 0.5 else "R"
    height, width = taken.shape
    bounds = letter_bounds(name, height, width)
    if bounds is None:
        return None
    drawn, box = letter(name, height, width), Edges(*bounds)
    places = elsewhere([box], taken | union_mask([box], height, width), random)
    if places is None:
        return None
    shape = drawn[box.top : box.bottom, box.left : box.right]
    shuffled = np.zeros_like(drawn)
    shuffled[places[0].top : places[0].bottom, places[0].left : places[0].right] = random.permutation(shape.ravel()).reshape(
        shape.shape
    )
    return _brightened(image, drawn), _brightened(image, shuffled)


def _brightened(image: Pixels, where: Mask) -> Pixels:
    return np.where(where, image.max((1, 2), keepdims=True), image)
