"""Whether predicted probabilities come true, before and after recalibration, for common and for rare findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many, key
from auditor.reliability_chart import Reliability, reliability_chart

from ._blocks import metric_block
from ._reading import OVER_CLASSES, analyses, class_title, model_titles, ordered_classes, ordered_models, strategies, title

STAGES = {"": "As trained", "temperature": "After temperature", "prior_shift": "After prior shift"}
COLUMNS = (
    "prevalence_gap",
    "calibration_intercept",
    "calibration_slope",
    "ece",
    "ece_by_chance",
    "brier",
)
BLOCKS = ("prevalence_gap", "calibration_slope", "ece", "brier")
"""The metrics that are contrasted and told per class, as trained; the others are told over the classes."""


class Calibration(Section):
    """A chart of predicted against observed frequency, the numbers before and after, then every class."""

    name = "calibration"
    title = "Calibration"
    template = "calibration.html"
    order = 70

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Charts, the table of before and after, and a block per metric."""
        shown = analyses(evidence, "calibration")
        return {
            "measured": bool(shown),
            "split": _split(evidence),
            "charts": [chart for name in shown if (chart := _chart(evidence, name))],
            "tables": [table for name in shown for table in _tables(evidence, name)],
            "blocks": [
                metric_block(evidence, metric, name) for name in shown for metric in BLOCKS if evidence.select(metric, name)
            ],
        }


def _split(evidence: Evidence) -> str | None:
    """How many patients recalibration was fitted on, and how many it was measured on."""
    if not evidence.curves:
        return None
    curve = evidence.curves[0]
    return (
        f"Recalibration was fitted on {how_many(curve.fitted_on, 'patient')}; every number here, those before recalibration too, is of the other "
        f"{how_many(curve.measured_on, 'patient')}. No patient is on both sides."
    )


def _chart(evidence: Evidence, analysis: str) -> dict[str, Any] | None:
    order, names = strategies(evidence), model_titles(evidence)
    curves = [curve for curve in evidence.curves if curve.analysis == analysis and curve.n]
    if not curves:
        return None
    panels = [
        (
            heading,
            [
                Reliability(
                    f"{curve.strategy}, {names.get(curve.model, curve.model)}", curve.strategy, curve.predicted, curve.observed
                )
                for curve in curves
                if curve.after == after
            ],
        )
        for after, heading in STAGES.items()
    ]
    heading = "Predicted and observed frequency"
    return {
        "title": heading,
        "caption": "All classes together, in ten groups of equally many cases, from the lowest to the highest prediction. On the rising line a "
        "prediction comes true; above it the finding is more frequent than predicted. Both axes are square roots, so that what is rare lies apart; marks on the bottom line are groups in which nobody has the finding.",
        "series": [(name, key(name, order)) for name in order if any(curve.strategy == name for curve in curves)],
        "chance": False,
        "drawing": reliability_chart(panels, order, title=heading),
    }


def _tables(evidence: Evidence, analysis: str) -> list[dict[str, Any]]:
    """Before and after, a table for the mean over all classes and one for each frequency group that has classes."""
    rows = [row for row in evidence.select(analysis=analysis) if row.class_name in OVER_CLASSES]
    found = ordered_classes(evidence, (row.class_name for row in rows))
    return [
        {**_table(evidence, [row for row in rows if row.class_name == name], name), "brief": name != found[0]} for name in found
    ]


def _table(evidence: Evidence, rows: Sequence[Any], class_name: str) -> dict[str, Any]:
    order, names = strategies(evidence), model_titles(evidence)
    by_metric = {(row.model, row.metric): row for row in rows}
    observed = next((row for row in rows if row.metric == "observed_prevalence" and row.value is not None), None)
    said = f"Observed prevalence {figure(observed.value)}. " if observed else ""
    return {
        "caption": f"Before and after recalibration: {class_title(class_name).lower()}",
        "note": f"{said}Means over the classes that have the number; 95 % intervals over patients. Rows over different numbers of classes "
        "do not compare.",
        "first": "Network",
        "columns": [title(name) for name in COLUMNS],
        "rows": [
            {
                "name": f"{model['strategy']}, {names[str(model['id'])]}: {heading.lower()}",
                "mark": key(str(model["strategy"]), order),
                "null": False,
                "cells": [by_metric.get((str(model["id"]), _at(name, after))) for name in COLUMNS],
            }
            for model in ordered_models(evidence)
            for after, heading in STAGES.items()
            if any(row.model == model["id"] for row in rows)
        ],
    }  # fmt: skip


def _at(metric: str, after: str) -> str:
    """What a metric is called after a recalibration."""
    if not after:
        return metric
    return f"ece_{after}_by_chance" if metric == "ece_by_chance" else f"{metric}_{after}"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Calibration]
