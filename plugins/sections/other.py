"""Numbers of analyses that no other section shows, so that nothing measured is left untold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._blocks import metric_block
from ._reading import analyses, metric_names, title


class Other(Section):
    """A part per analysis; left out of the report where there is none."""

    name = "other"
    title = "Other measurements"
    template = """
{% from "macros.html" import metric_block %}
{% if parts %}
<p class="plain">Further analyses that were asked for, each with its own definition of what it measures.</p>
{% for part in parts %}<h3>{{ part.title | clean_label(120) }}</h3>{% for block in part.blocks %}{{ metric_block(block) }}{% endfor %}{% endfor %}
{% endif %}
"""
    order = 108

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A part per analysis, a block per metric."""
        return {
            "parts": [
                {
                    "title": title(name),
                    "blocks": [metric_block(evidence, metric, name) for metric in metric_names(evidence, name, None)],
                }
                for name in analyses(evidence, "other")
            ]
        }


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Other]
