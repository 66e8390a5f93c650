"""Concept counts beside chance, the channels they come from, and the units that detect a class: a row per network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence
from auditor.chance_bars import Counted, chance_bars, chance_key
from auditor.drawing import Interval, figure, forest, key

from ._reading import counted as without_decimals
from ._reading import model_titles, ordered_classes, ordered_models, strategies, title

COUNTS = {
    "disjoint": "Disjoint concepts: every separate bright region counts",
    "unique": "Unique concepts: every channel counts once",
}
BESIDE = ("concepts", "chance", "others", "excess", "lift", "excess_per_channel")
CHANNELS = ("active_channels", "inactive_channels", "dead_channels", "active_fraction")
DETECTORS = (
    "published_detectors",
    "published_detectors_by_chance",
    "controlled_detectors",
    "controlled_detectors_by_chance",
)
ONLY_HERE = (*CHANNELS, *(f"{kind}_{number}" for kind in COUNTS for number in ("others", "excess_per_channel")))
"""Metrics that the tables show and that get no block of their own."""
NAMED = 12
"""Units of a network and finding that are listed in the report; results.json has them all."""


def lift_chart(evidence: Evidence, analysis: str) -> dict[str, Any] | None:
    """The log lift of every network, over the classes; None where there is none."""
    names = model_titles(evidence)
    rows = {row.model: row for row in evidence.select("disjoint_lift", analysis, "(macro)")}
    if all(row.value is None for row in rows.values()):
        return None
    marks = [
        Interval(f"{row.strategy}, {names[row.model]}", row.strategy, row.value, row.low, row.high, row.missing)
        for model in ordered_models(evidence)
        if (row := rows.get(str(model["id"])))
    ]
    heading = "Concepts in the patients' own boxes against other patients' boxes"
    return {
        "title": heading,
        "caption": "Log lift of the disjoint count, mean over classes with its 95 % interval over patients. 0 is chance, 0.7 twice as "
        "many as in other patients' boxes; an interval that contains 0 shows no knowledge of the individual patient.",
        "series": [],
        "chance": False,
        "drawing": forest(marks, strategies(evidence), title=heading, axis=title("disjoint_lift")),
    }


def count_charts(evidence: Evidence, analysis: str) -> list[dict[str, Any]]:
    """Each count as a bar per network beside both chance levels, over the classes; none where nothing was counted."""
    order, names, charts = strategies(evidence), model_titles(evidence), []
    for kind in COUNTS:
        heading = title(f"{kind}_concepts")
        found = {
            number: {row.model: row for row in evidence.select(f"{kind}_{number}", analysis, "(macro)")}
            for number in ("concepts", "chance", "others")
        }
        rows = [
            Counted(
                f"{model['strategy']}, {names[name]}", str(model["strategy"]), row.value,
                *(getattr(found[beside].get(name), "value", None) for beside in ("chance", "others")), row.missing,
            )
            for model in ordered_models(evidence)
            if (row := found["concepts"].get(name := str(model["id"])))
        ]  # fmt: skip
        if any(row.value is not None for row in rows):
            charts.append(
                {
                    "title": f"{heading} beside chance",
                    "caption": "Mean over the classes; a bar that ends at a mark holds no more than such boxes collect by chance. The table "
                    "below gives the numbers.",
                    "series": chance_key(),
                    "chance": False,
                    "drawing": chance_bars(
                        rows, order, title=f"{heading} beside chance", axis="Count per case, mean over the classes"
                    ),
                }
            )
    return charts


def count_tables(evidence: Evidence, analysis: str) -> list[dict[str, Any]]:
    """The raw count, the same in other patients' boxes, and the two ways of setting them against each other."""
    note = "Means over the classes that have the number; 95 % intervals over patients. Classes follow below."
    return [
        _table(evidence, analysis, "(macro)", [f"{kind}_{number}" for number in BESIDE], caption, note)
        for kind, caption in COUNTS.items()
        if any(row.value is not None for row in evidence.select(f"{kind}_excess", analysis))
    ]


def channel_table(evidence: Evidence, analysis: str) -> dict[str, Any]:
    """How many channels are active, inactive and dead."""
    note = (
        "Channels of the audited layer. A channel is inactive where its threshold is not above 0 or fewer than 0.1 % of its values "
        "are above it; dead channels never change."
    )
    return _table(evidence, analysis, "(model)", CHANNELS, "Channels of each network", note, counted="")


def detector_table(evidence: Evidence, analysis: str) -> dict[str, Any]:
    """How many units detect a class, by the published rule and against permuted boxes, and how many would by chance."""
    note = (
        "Units of the audited layer, each counted for one class only. By chance: the mean count with the boxes of each class permuted "
        "between patients. 95 % intervals from resampled patients."
    )
    return _table(
        evidence, analysis, "(model)", DETECTORS, "Units that detect a finding, all findings together", note, counted="Cases"
    )


def named_units(evidence: Evidence, analysis: str) -> list[dict[str, Any]]:
    """A line for each network and finding with its controlled detectors, those with the largest overlap first."""
    order, names = strategies(evidence), model_titles(evidence)
    lines = []
    for model in ordered_models(evidence):
        mine = [one for one in evidence.detectors if (one.analysis, one.model) == (analysis, str(model["id"]))]
        for name in ordered_classes(evidence, (one.class_name for one in mine)):
            found = sorted((one for one in mine if one.class_name == name), key=lambda one: -one.iou)
            said = ", ".join(f"{one.unit} ({figure(one.iou)})" for one in found[:NAMED])
            lines.append(
                {
                    "name": f"{model['strategy']}, {names[str(model['id'])]}",
                    "mark": key(str(model["strategy"]), order),
                    "class": name,
                    "n": len(found),
                    "units": said if len(found) <= NAMED else f"{said} and {len(found) - NAMED} more",
                    "p": figure(max(one.p for one in found)),
                }
            )
    return lines


def _table(
    evidence: Evidence, analysis: str, over: str, metrics: Sequence[str], caption: str, note: str, counted: str = "Classes"
) -> dict[str, Any]:
    order, names = strategies(evidence), model_titles(evidence)
    numbers: dict[str, Mapping[str, Any]] = {
        str(model["id"]): {
            row.metric: without_decimals(evidence, row)
            for row in evidence.select(analysis=analysis, class_name=over)
            if row.model == model["id"]
        }
        for model in ordered_models(evidence)
    }
    shown = [name for name in metrics if any(name in of_model for of_model in numbers.values())]
    return {
        "caption": caption,
        "note": note,
        "first": "Network",
        "counted": counted,
        "columns": [title(name) for name in shown],
        "rows": [
            {
                "name": f"{model['strategy']}, {names[str(model['id'])]}",
                "mark": key(str(model["strategy"]), order),
                "null": False,
                "cells": [numbers[str(model["id"])].get(name) for name in shown],
            }
            for model in ordered_models(evidence)
            if numbers[str(model["id"])]
        ],
    }
