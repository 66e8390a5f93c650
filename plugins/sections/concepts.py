"""What single units of a network respond to, against what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._blocks import metric_block
from ._concept_tables import (
    DETECTORS,
    ONLY_HERE,
    channel_table,
    count_charts,
    count_tables,
    detector_table,
    lift_chart,
    named_units,
)
from ._reading import analyses, metric_names

LAST = ("concepts", "excess", "lift")
"""Of each count the lift comes first, then the excess, then the raw count."""


class Concepts(Section):
    """Dissection: concepts in the boxes beside chance, channels; detectors: units that respond to a class."""

    name = "concepts"
    title = "What the units encode"
    template = "concepts.html"
    order = 100

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """An overview of all networks, a block per metric with its classes, and the units that detect a class."""
        shown = analyses(evidence, "concepts")
        return {"parts": [_part(evidence, name) for name in shown]}


def _part(evidence: Evidence, analysis: str) -> dict[str, Any]:
    """All of one analysis; what it did not measure is an empty list."""
    measured = metric_names(evidence, analysis, None)
    blocks = sorted((name for name in measured if name not in ONLY_HERE), key=_place)
    detecting = any(name in DETECTORS for name in measured)
    lift = None if detecting else lift_chart(evidence, analysis)
    return {
        "detecting": detecting,
        "charts": [*([lift] if lift else []), *count_charts(evidence, analysis)],
        "tables": count_tables(evidence, analysis),
        "channels": channel_table(evidence, analysis) if any(name in ONLY_HERE for name in measured) else None,
        "detectors": detector_table(evidence, analysis) if detecting else None,
        "units": named_units(evidence, analysis),
        "blocks": [metric_block(evidence, name, analysis, chance_chart=_has_chance_chart(name)) for name in blocks],
    }


def _place(metric: str) -> tuple[int, str]:
    number = metric.rsplit("_", 1)[-1]
    return (-LAST.index(number) if number in LAST else 1, metric)


def _has_chance_chart(metric: str) -> bool:
    """A chart against chance, where the overview has none for it."""
    return not metric.endswith(("_lift", "_excess"))


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Concepts]
