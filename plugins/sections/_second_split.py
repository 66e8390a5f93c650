"""What the sections that hold audited against training images share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence
from auditor.drawing import figure, how_many, key

from ._reading import OVER_CLASSES, class_title, model_titles, ordered_classes, ordered_models, strategies, title

ACROSS = 4
"""Networks beside each other in a chart; the first of every strategy, the reference first."""


def training_images(evidence: Evidence) -> str | None:
    """How many training images there are, in a sentence; None where audit.yaml names none."""
    told = evidence.accounting.get("training_images")
    if not told:
        return None
    lost, of = len(told["quarantined"]), f" of {figure(told['available'])}" if told["available"] > told["listed"] else ""
    return (
        f"Training images: listed {figure(told['listed'])}{of} = used {figure(told['used'])} + quarantined {figure(lost)}, of "
        f"{how_many(told['patients'], 'patient')}, prepared like the audited images."
    )


def shown_models(evidence: Evidence, among: Sequence[str]) -> list[Mapping[str, Any]]:
    """The first network of every strategy that has something to show."""
    first: dict[str, Mapping[str, Any]] = {}
    for model in ordered_models(evidence):
        if str(model["id"]) in among:
            first.setdefault(str(model["strategy"]), model)
    return list(first.values())


def column_names(evidence: Evidence, models: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Strategy and seed of each network, and the place of its colour."""
    order, names = strategies(evidence), model_titles(evidence)
    return [(f"{m['strategy']}, {names[str(m['id'])]}", order.index(str(m["strategy"]))) for m in models]


def overview(
    evidence: Evidence, analysis: str, metrics: Sequence[str], caption: str, means: Sequence[str] = OVER_CLASSES
) -> list[dict[str, Any]]:
    """A table per mean over classes that has a number: a row per network, a column per metric."""
    rows = [row for row in evidence.select(analysis=analysis) if row.class_name in means and row.metric in metrics]
    found = ordered_classes(evidence, (row.class_name for row in rows if row.value is not None))
    return [
        {
            **_overview(
                evidence, [row for row in rows if row.class_name == name], metrics, f"{caption}: {class_title(name).lower()}"
            ),
            "brief": name != found[0],
        }
        for name in found
    ]


def _overview(evidence: Evidence, rows: Sequence[Any], metrics: Sequence[str], caption: str) -> dict[str, Any]:
    order, names = strategies(evidence), model_titles(evidence)
    by_metric = {(row.model, row.metric): row for row in rows}
    present = [name for name in metrics if any(metric == name for _, metric in by_metric)]
    return {
        "caption": caption,
        "note": "Means over the classes that have the number; 95 % intervals over patients. Rows over different numbers of classes do not compare.",
        "first": "Network",
        "columns": [title(name) for name in present],
        "rows": [
            {
                "name": f"{model['strategy']}, {names[str(model['id'])]}", "mark": key(str(model["strategy"]), order), "null": False,
                "cells": [by_metric.get((str(model["id"]), name)) for name in present],
            }
            for model in ordered_models(evidence)
            if any(row.model == model["id"] for row in rows)
        ],
    }  # fmt: skip
