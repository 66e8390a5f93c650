"""How the sections read what scores hang on that is no finding."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from auditor import Evidence, Metric
from auditor.shortcut_findings import Shortcut, shortcuts, thing

ANALYSIS, OF_MAPS = "shortcuts", "shortcut_maps"


def held_up(evidence: Evidence) -> tuple[list[Shortcut], int]:
    """The effects that stand after allowing for all that were looked at, and how many those are."""
    return shortcuts(evidence.summaries, {name: Metric(**declared) for name, declared in evidence.metrics.items()})


def goes_by(evidence: Evidence, models: Collection[str]) -> list[str]:
    """Every object that most of these networks go by for some finding, the largest effect first."""
    found: dict[str, dict[str, set[str]]] = {}
    for one in sorted(held_up(evidence)[0], key=lambda one: -one.value):
        if one.model in models:
            found.setdefault(one.metric, {}).setdefault(one.class_name, set()).add(one.model)
    return [what(metric) for metric, classes in found.items() if any(2 * len(of) > len(models) for of in classes.values())]


def what(metric: str) -> str:
    """What was changed, in words.

    >>> what("erase_marker"), what("paste_letter")
    ('marker', 'drawn letter')
    """
    return f"drawn {thing(metric)}" if metric.startswith("paste_") else thing(metric)


def measured(evidence: Evidence, models: Sequence[str]) -> bool:
    """Whether any effect has a number for these networks."""
    return any(row.analysis == ANALYSIS and row.model in models and row.value is not None for row in evidence.summaries)
