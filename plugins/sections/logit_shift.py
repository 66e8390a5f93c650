"""Whether rare findings were learnt or learnt by heart: margins on training images and on audited ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure
from auditor.panels_chart import Panel, panels_chart

from . import _pixel_margins
from ._blocks import metric_block
from ._margins import Look
from ._reading import analyses, ordered_classes
from ._second_split import ACROSS, column_names, overview, shown_models, training_images

SIDES = {"margin_positive": "with the finding", "margin_negative": "without the finding"}
OVERVIEW = (
    "margin_asymmetry", "margin_shift_positive", "margin_shift_negative", "margin_retained_positive", "crossing_positive",
)  # fmt: skip
ALONE = ("margin_mean_positive", "margin_median_positive", "margin_mean_negative", "margin_median_negative")
BLOCKS = (
    "margin_asymmetry", "margin_asymmetry_standardised", "margin_asymmetry_on_rarity", "margin_shift_positive",
    "margin_shift_positive_standardised", "margin_shift_negative_standardised", "margin_retained_positive", "crossing_positive",
    "crossing_negative", "margin_median_positive",
)  # fmt: skip
"""The metrics that are told class by class; the others stand in results.json."""


class LogitShift(Section):
    """Histograms of both splits beside the boundary, the shifts over the classes, then every class."""

    name = "logit_shift"
    title = "Learnt or learnt by heart"
    template = "logit_shift.html"
    order = 104

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Charts, tables, and a block per metric."""
        shown, told = analyses(evidence, "logit_shift"), training_images(evidence)
        return {"measured": bool(shown), "training": told, "parts": [_part(evidence, name, bool(told)) for name in shown]}


def _part(evidence: Evidence, analysis: str, told: bool) -> dict[str, Any]:
    """What one analysis measured: of whole images, or of pixels, which are told in their own words."""
    of_pixels = analysis == _pixel_margins.ANALYSIS
    look = _pixel_margins.LOOK if of_pixels else Look(SIDES, OVERVIEW, ALONE, BLOCKS, "Margins of images ")
    metrics, blocks = (look.overview, look.blocks) if told else (look.alone, look.alone)
    charts = [chart for metric in look.sides if (chart := _chart(evidence, analysis, metric, look))]
    return {
        "says": _pixel_margins.says(evidence) if of_pixels else [],
        "charts": charts,
        "tables": overview(evidence, analysis, metrics, "Margins of pixels" if of_pixels else "Margins"),
        "blocks": [metric_block(evidence, metric, analysis) for metric in blocks if evidence.select(metric, analysis)],
    }


def _chart(evidence: Evidence, analysis: str, metric: str, look: Look) -> dict[str, Any] | None:
    rows = [row for row in evidence.histograms if (row.analysis, row.metric) == (analysis, metric)]
    models = shown_models(evidence, [row.model for row in rows])[:ACROSS]
    if not models:
        return None
    columns = column_names(evidence, models)
    names = {str(model["id"]): name for model, (name, _) in zip(models, columns, strict=True)}
    panels = {
        (row.class_name, names[row.model]): Panel(row.low, row.high, *_shares(row.audited, row.training), _words(row))
        for row in rows
        if row.model in names
    }
    heading = f"{look.heading}{look.sides[metric]}"
    return {
        "title": heading,
        "caption": look.caption,
        "training": True,
        "drawing": panels_chart(
            panels, ordered_classes(evidence, {row.class_name for row in rows}), columns, title=heading,
            axis="Margin in log-odds; every column has a scale of its own", boundary=0.0,
        ),
    }  # fmt: skip


def _shares(*sides: tuple[int, ...]) -> list[list[float]]:
    """Each side's counts as shares, in fewer and wider bins where there are few images."""
    fewest = min(sum(counts) for counts in sides)
    wide = 1 if fewest >= 400 else 2 if fewest >= 60 else 5
    return [[sum(counts[at : at + wide]) / max(sum(counts), 1) for at in range(0, len(counts), wide)] for counts in sides]


def _words(row: Any) -> str:
    return (
        f"{row.class_name}, {row.strategy}: {figure(sum(row.audited))} audited and {figure(sum(row.training))} training images"
    )


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [LogitShift]
