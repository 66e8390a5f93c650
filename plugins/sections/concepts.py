"""What single units of a network respond to, against what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._blocks import metric_block
from ._reading import analyses, metric_names


class Concepts(Section):
    """Dissection: concepts in the boxes, unique channels, active fraction, dead channels."""

    name = "concepts"
    title = "What the units encode"
    template = "metrics.html"
    order = 50

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A block per metric, each with its dots against chance."""
        shown = analyses(evidence, "concepts")
        blocks = [
            metric_block(evidence, metric, name, chance_chart=True)
            for name in shown
            for metric in metric_names(evidence, name, None)
        ]
        return {
            "plain": "How many separate patterns inside each network light up within the reference boxes, and how many would by chance?",
            "empty": "No unit of any network was looked at in this audit; the section on gaps says why.",
            "cautions": [
                (
                    "Counts grow with the width of the layer and with the share of pixels called active, and a box of any content collects "
                    "some by chance. Only the distance to the chance level is evidence; no guideline asks for these numbers, so they are exploratory."
                )
            ]
            if blocks
            else [],
            "parts": [{"title": None, "blocks": blocks}] if blocks else [],
        }


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Concepts]
