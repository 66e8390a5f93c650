"""The units that the analyses name, as rows, and the pictures of their top images."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .boxes import within
from .chosen import shown_networks
from .conclusion import TopImage, TopUnit
from .evidence import Picture
from .ledger import Ledger
from .pixels import PixelStore
from .plan import Plan, PlannedModel, Unit
from .shown_units import KIND, ShownUnit, UnitClass, UnitImage

Used = npt.NDArray[np.bool_]


@dataclass
class UnitGallery:
    """The rows, and the pictures where the report shows any."""

    units: list[ShownUnit] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def gather(plan: Plan, ledger: Ledger, store: PixelStore | None, used: Used, failed: Collection[str]) -> UnitGallery:
    """All of it from the ledger, pictures where there is a store of pixels; top images that cannot be used in this audit are left out. `failed` are keys of units of work."""
    found = UnitGallery()
    models, pictured = {model.id: model for model in plan.models}, {model.id for model in shown_networks(plan.models)}
    place = {sample.id: number for number, sample in enumerate(plan.samples)}
    for unit in plan.units:
        for top in ledger.conclusion(unit.key).units if unit.key not in failed else ():
            kept = [(place[image.sample], image) for image in top.images if used[place[image.sample]]]
            model = models[unit.model]
            found.units.append(_row(plan, unit, model, top, kept))
            if store is not None and plan.config.report.images and model.id in pictured:
                found.pictures += _pictures(plan, store, model, top, kept)
    return found


def _row(plan: Plan, unit: Unit, model: PlannedModel, top: TopUnit, kept: list[tuple[int, TopImage]]) -> ShownUnit:
    return ShownUnit(
        unit.name, model.id, model.loader.strategy, top.unit, plan.classes[top.target], top.iou, top.cases, top.patients, top.tops,
        tuple(UnitImage(_case(number), image.sample, image.value, image.threshold, image.in_box) for number, image in kept),
        tuple(UnitClass(plan.classes[one.target], *one[1:]) for one in top.fires),
    )  # fmt: skip


def _pictures(
    plan: Plan, store: PixelStore, model: PlannedModel, top: TopUnit, kept: list[tuple[int, TopImage]]
) -> Iterator[Picture]:
    for number, image in kept:
        pixels = store.get(model.loader.preprocessing, number // plan.chunk)
        (row,) = np.nonzero(pixels.rows == number)[0]
        name = plan.classes[top.target]
        boxes = [(box.label == name, seen) for box in plan.samples[number].boxes if (seen := within(box, pixels.frames[row]))]
        own, others = (
            tuple((b.left, b.top, b.right, b.bottom) for mine, b in boxes if mine is which) for which in (True, False)
        )
        yield Picture(
            case=_case(number),
            class_name=name,
            boxes=own,
            pixels=(pixels.stored[row].mean(0) / 257).round().astype(np.uint8),
            maps={KIND: {model.id: np.array(image.map, np.float32)}},
            kind=KIND,
            words=f"channel {top.unit}",
            unit=top.unit,
            threshold=image.threshold,
            other_boxes=others,
        )


def _case(number: int) -> str:
    return f"case {number + 1}"
