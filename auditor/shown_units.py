"""The units of a network that the report shows, with the images that each responds to most; which ones is a printed rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_UNITS, SHOWN_IMAGES, COUNTED = 3, 4, 20
"""Units of a network, top images of a unit that are shown, and top images that its shares by class are counted on."""
FEWEST = SHOWN_IMAGES
"""Patients with a box that a class needs for its units to be ranked."""
KIND = "unit"
"""What a picture of a top image is called among the pictures."""

RULE = (
    f"Of the first network of each strategy and architecture at most {SHOWN_UNITS} channels: those with the largest IoU between their active places, over all annotated images, and the "
    f"boxes of a finding that at least {FEWEST} patients have a box of; every finding and every channel once, inactive channels never. "
    f"Of each channel the {SHOWN_IMAGES} images with its highest value, at most one per patient, among all annotated images whatever they show; "
    "equal values go to the first in the order of the data set. Nobody picked a channel or an image."
)


@dataclass(frozen=True)
class UnitImage:
    """A top image: its case, its id, the channel's highest value there, what counts as active, and whether the peak lies in a box
    of the class (None where the image has no such box)."""

    case: str
    id: str
    value: float
    threshold: float
    in_box: bool | None


@dataclass(frozen=True)
class UnitClass:
    """How many of a channel's counted top images show a class, and how many of all annotated images do."""

    class_name: str
    shown: int
    of_top: int
    shown_by_all: int
    of_all: int


@dataclass(frozen=True)
class ShownUnit:
    """A channel of the audited layer (from 0): the class whose boxes it overlaps most, over `n` cases of `n_patients` patients.

    The shares in `fires` are counted on its `tops` images with the highest values, one per patient; `images` are the first of
    them.
    """

    analysis: str
    model: str
    strategy: str
    unit: int
    class_name: str
    iou: float
    n: int
    n_patients: int
    tops: int
    images: tuple[UnitImage, ...]
    fires: tuple[UnitClass, ...]


def to_row(unit: ShownUnit) -> dict[str, Any]:
    """A unit as results.json holds it."""
    named = {("class" if name == "class_name" else name): value for name, value in vars(unit).items()}
    fires = [{("class" if name == "class_name" else name): value for name, value in vars(one).items()} for one in unit.fires]
    return {**named, "images": [dict(vars(image)) for image in unit.images], "fires": fires}


def from_row(row: Mapping[str, Any]) -> ShownUnit:
    """The unit that `to_row` wrote."""
    named = {("class_name" if name == "class" else name): value for name, value in row.items()}
    fires = [{("class_name" if name == "class" else name): value for name, value in one.items()} for one in row["fires"]]
    return ShownUnit(
        **{
            **named,
            "images": tuple(UnitImage(**image) for image in row["images"]),
            "fires": tuple(UnitClass(**one) for one in fires),
        }
    )
