"""How well each network tells images with a finding from images without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._blocks import metric_block
from ._reading import analyses, metric_names


class Discrimination(Section):
    """AUROC, average precision, mean predicted probability: differences first, then every number."""

    name = "discrimination"
    title = "Discrimination"
    template = "metrics.html"
    order = 60

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A block per metric."""
        shown = analyses(evidence, "discrimination")
        ranked = ("auroc", "average_precision")
        blocks = [
            metric_block(evidence, metric, name)
            for name in shown
            for metric in sorted(
                metric_names(evidence, name, None), key=lambda m: evidence.metrics[m].get("statistic") not in ranked
            )
        ]
        return {
            "plain": "Can each network tell an image with the finding from one without it, and does the way it was trained change that?",
            "empty": "Discrimination was not measured in this audit; the section on gaps says why.",
            "cautions": [
                (
                    "Scores are ranked as log-odds. A difference in mean predicted probability is expected where the strategy reweights "
                    "classes: it changes calibration, not by itself discrimination."
                )
            ]
            if blocks
            else [],
            "parts": [{"title": None, "blocks": blocks}] if blocks else [],
        }


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Discrimination]
