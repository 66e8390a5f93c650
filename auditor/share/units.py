"""The gallery of units under pseudonyms, without counts of too few patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..dataset import Sample
from ..evidence import Evidence, Picture
from ..shown_units import KIND, ShownUnit, UnitClass
from .by_group import any_few
from .cells import LABELS, Cells, few
from .pseudonyms import Pseudonyms


def shared(evidence: Evidence, cells: Cells, audited: Sequence[Sample], pseudonyms: Pseudonyms) -> tuple[ShownUnit, ...]:
    """The units of classes that enough patients have a box of; whether a peak lies in a box, which is counted on 4, is not told."""
    hidden = _hidden(evidence.dataset["classes"], cells, audited)
    return tuple(
        replace(
            unit,
            images=tuple(
                replace(image, id=(name := pseudonyms.image(image.id)), case=f"image {name}", in_box=None)
                for image in unit.images
            ),
            fires=tuple(_enough(unit, hidden)),
        )
        for unit in evidence.units
        if unit.class_name not in cells.withheld and not few(unit.n_patients) and not few(unit.tops)
    )


def shows(picture: Picture, units: Sequence[ShownUnit]) -> bool:
    """Whether a picture is none of a unit, or of one that is shared."""
    told = {(unit.model, unit.unit, unit.class_name) for unit in units}
    return picture.kind != KIND or all((model, picture.unit, picture.class_name) in told for model in picture.maps[KIND])


def _hidden(classes: Sequence[str], cells: Cells, audited: Sequence[Sample]) -> set[str]:
    """Classes that too few patients with a box have, do not have, or are unlabelled for: all of them are counted beside every unit."""
    boxed = [sample for sample in audited if any(box.label in classes for box in sample.boxes)]
    found = set(cells.withheld)
    for place, name in enumerate(classes):
        sides = [{sample.patient for sample in boxed if sample.labels[place] == label} for label in LABELS]
        found |= {name} if any_few(sides) else set()
    return found


def _enough(unit: ShownUnit, hidden: set[str]) -> list[UnitClass]:
    """What the top images show, one of each patient; beside a class of few never all others, which together could tell it."""
    lost = {one.class_name for one in unit.fires if one.class_name in hidden or _is_small(unit, one)}
    small = [one for one in unit.fires if one.class_name in lost]
    rest = sorted((one for one in unit.fires if one.class_name not in lost), key=lambda one: (one.shown == 0, one.shown))
    while small and rest and (len(small) < 2 or few(sum(one.shown for one in small))):
        small.append(rest.pop(0))
    return [one for one in unit.fires if one not in small]


def _is_small(unit: ShownUnit, one: UnitClass) -> bool:
    return any(few(n) for n in (one.shown, one.of_top - one.shown, unit.tops - one.of_top))
