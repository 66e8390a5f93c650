"""What single channels respond to: the images that a few of them are most active on, and what those images show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many, key
from auditor.shown_units import KIND, RULE, ShownUnit
from auditor.unit_plate import Top, unit_key, unit_plate

from ._reading import model_titles, ordered_classes, ordered_models, strategies


class UnitGallery(Section):
    """A part per network with its channels: their top images, and what these show beside what all annotated images show."""

    name = "unit_gallery"
    title = "What single channels respond to"
    template = "unit_gallery.html"
    order = 101

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A part for the first network of each strategy and architecture."""
        return {
            "rule": RULE,
            "key": unit_key(),
            "parts": [part for model in _first(evidence) if (part := _part(evidence, model))],
            "images": bool((evidence.audit.get("report") or {}).get("images", True)),
            "copy": bool(evidence.audit.get("shared")),
            "measured": bool(evidence.units) or any(row.metric == "active_channels" for row in evidence.summaries),
        }


def _first(evidence: Evidence) -> list[Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for model in ordered_models(evidence):
        found.setdefault((str(model["strategy"]), str(model["family"])), model)
    return list(found.values())


def _part(evidence: Evidence, model: Mapping[str, Any]) -> dict[str, Any] | None:
    """All of one network; None where no dissection was made of it."""
    name, title = str(model["id"]), f"{model['strategy']}, {model_titles(evidence)[str(model['id'])]}"
    channels = {
        row.metric: row.value
        for row in evidence.summaries
        if row.model == name and row.metric in ("active_channels", "inactive_channels", "dead_channels")
    }
    units = [unit for unit in evidence.units if unit.model == name]
    if not units and not channels:
        return None
    return {
        "title": title,
        "mark": key(str(model["strategy"]), strategies(evidence)),
        "channels": _channels(channels),
        "units": [_unit(evidence, unit, title) for unit in units],
        "table": _table(evidence, units),
    }


def _channels(counted: Mapping[str, float | None]) -> str:
    """How many channels could be chosen at all."""
    active, inactive, dead = (counted.get(f"{kind}_channels") for kind in ("active", "inactive", "dead"))
    if active is None or inactive is None:
        return ""
    of_these = f", {figure(round(dead))} of them dead" if dead else ""
    return f"{figure(round(active))} channels could be chosen; {figure(round(inactive))} are inactive{of_these} and could not."


def _unit(evidence: Evidence, unit: ShownUnit, network: str) -> dict[str, Any]:
    pictures = {
        picture.case: picture
        for picture in evidence.pictures
        if (picture.kind, picture.unit) == (KIND, unit.unit) and unit.model in picture.maps.get(KIND, {})
    }
    tops = [
        Top(image.case, picture.pixels, picture.boxes, picture.other_boxes, picture.maps[KIND][unit.model], image.threshold)
        for image in unit.images
        if (picture := pictures.get(image.case))
    ]
    title = f"Channel {unit.unit}, largest overlap with {unit.class_name}"
    named = any((one.model, one.unit, one.class_name) == (unit.model, unit.unit, unit.class_name) for one in evidence.detectors)
    return {
        "title": title,
        "iou": unit.iou,
        "says": f"IoU {figure(unit.iou)} with the boxes of {unit.class_name} over {how_many(unit.n, 'case')} of {how_many(unit.n_patients, 'patient')}"
        + ("; a controlled detector." if named else "; not among the controlled detectors." if evidence.detectors else "."),
        "drawing": unit_plate(tops, title=f"{network}: {title}, its top images", ident=f"unit-{evidence.units.index(unit) + 1}")
        if tops
        else None,
    }


def _table(evidence: Evidence, units: Sequence[ShownUnit]) -> dict[str, Any] | None:
    """A row per class, a column per channel; the first column says what all annotated images show."""
    if not units:
        return None
    shares = {(unit.unit, one.class_name): one for unit in units for one in unit.fires}
    of_all = {one.class_name: one for unit in units for one in unit.fires}
    names = ordered_classes(evidence, of_all)
    lacking = "not shared" if evidence.audit.get("shared") else "not counted"
    return {
        "columns": [f"Channel {unit.unit}" for unit in units],
        "counted": [f"{figure(unit.tops)} top images" for unit in units],
        "all": max((one.of_all for one in of_all.values()), default=0),
        "rows": [
            {
                "name": name,
                "all": _share(of_all[name].shown_by_all, of_all[name].of_all),
                "cells": [
                    (
                        _share(one.shown, one.of_top) if (one := shares.get((unit.unit, name))) else lacking,
                        unit.class_name == name,
                    )
                    for unit in units
                ],
            }
            for name in names
        ],
        "peaks": [lacking if evidence.audit.get("shared") else _peaks(unit) for unit in units],
    }


def _share(shown: int, of: int) -> str:
    return f"{figure(round(100 * shown / of))} % ({figure(shown)} of {figure(of)})" if of else "no label known"


def _peaks(unit: ShownUnit) -> str:
    boxed = [image for image in unit.images if image.in_box is not None]
    return f"{sum(bool(image.in_box) for image in boxed)} of {len(boxed)}"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [UnitGallery]
