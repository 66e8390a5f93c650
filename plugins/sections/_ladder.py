"""The null ladder: each network's localisation beside untrained networks and maps that never saw the image, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence
from auditor.drawing import Interval, forest, key

from ._reading import BLIND, model_titles, ordered_models, strategies, title

CORRECTED = ("kappa_loc", "kappa_auc", "kappa_pointing", "cbl", "pixel_auc")
RAW = ("iobb", "ior", "iou", "pointing_game", "map_mass", "effective_support", "empty_map")
ONLY_HERE = ("kappa_auc", "kappa_pointing", "cbl_excess", "effective_support")
"""Metrics that the ladder shows for the mean over classes and that get no block of their own."""


def ladder(evidence: Evidence, analysis: str, attribution: str) -> dict[str, Any] | None:
    """Chart and tables of one attribution; None where no kappa_loc was measured."""
    rows = [
        row
        for row in evidence.select(analysis=analysis, class_name="(macro)")
        if row.attribution == attribution or (_baseline(row) and row.attribution is None)
    ]
    if not any(row.metric == "kappa_loc" and row.value is not None for row in rows):
        return None
    rungs = _rungs(evidence, rows)
    return {
        "chart": _chart(evidence, rungs, attribution),
        "tables": [
            _table(evidence, rungs, CORRECTED, f"Corrected for chance, {title(attribution)}"),
            _table(evidence, rungs, RAW, f"As published, and what explains it, {title(attribution)}"),
        ],
    }


def _rungs(evidence: Evidence, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Trained networks, then the untrained, then the blind maps: a name, its strategy, and its numbers by metric.

    An untrained network is one that audit.yaml lists so, or a control.
    """
    numbers: dict[str, dict[str, Any]] = {}
    for row in rows:
        numbers.setdefault(row.model, {})[row.metric] = row
    names = model_titles(evidence)
    models = sorted((m for m in ordered_models(evidence) if str(m["id"]) in numbers), key=_untrained)
    found = [
        {
            "name": f"{model['strategy']}, {names[str(model['id'])]}{' (untrained)' if _untrained(model) else ''}",
            "strategy": str(model["strategy"]), "null": _untrained(model), "numbers": numbers[str(model["id"])],
        }
        for model in models
    ]  # fmt: skip
    baselines = dict.fromkeys(row.model for row in sorted(rows, key=lambda row: row.attribution is None) if _baseline(row))
    return found + [{"name": name, "strategy": BLIND, "null": True, "numbers": numbers[name]} for name in baselines]


def _untrained(model: Mapping[str, Any]) -> bool:
    """Whether audit.yaml lists the network with `checkpoint: null`."""
    return (model.get("options") or {}).get("checkpoint", "") is None


def _baseline(row: Any) -> bool:
    return bool(row.strategy == BLIND)


def _chart(evidence: Evidence, rungs: Sequence[Mapping[str, Any]], attribution: str) -> dict[str, Any]:
    marks = [
        Interval(rung["name"], rung["strategy"], row.value, row.low, row.high, row.missing)
        for rung in rungs
        if (row := rung["numbers"].get("kappa_loc")) is not None
    ]
    heading = f"{title('kappa_loc')}, {title(attribution)}: against maps that cannot know the patient"
    return {
        "title": heading,
        "caption": "Mean over classes with its 95 % interval over patients. 0 knows no more than where a finding usually sits, 1 is "
        "ideal; the lower rows are networks that have learned nothing and maps that never saw the image.",
        "series": [],
        "chance": False,
        "drawing": forest(marks, strategies(evidence), title=heading, axis=title("kappa_loc")),
    }


def _table(evidence: Evidence, rungs: Sequence[Mapping[str, Any]], metrics: Sequence[str], caption: str) -> dict[str, Any]:
    order = strategies(evidence)
    shown = [name for name in metrics if any(name in rung["numbers"] for rung in rungs)]
    return {
        "caption": caption,
        "note": "Means over the classes that have the number; 95 % intervals over patients. Other classes and groups stand in results.json.",
        "first": "Map",
        "columns": [title(name) for name in shown],
        "rows": [
            {
                "name": rung["name"],
                "mark": key(rung["strategy"], order) if rung["strategy"] in order else "",
                "null": rung["null"],
                "cells": [rung["numbers"].get(name) for name in shown],
            }
            for rung in rungs
        ],
    }  # fmt: skip
