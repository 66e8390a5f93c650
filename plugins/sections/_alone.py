"""What page one says of networks that are trained in one way only: their overall numbers, as there is nothing to contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor import Evidence
from auditor.drawing import figure

from ._reading import class_title, strategies, title

if TYPE_CHECKING:
    from auditor.statistics.rows import Summary

SHOWN = 8
OVERALL = ("(macro)", "(image)")


def overall_numbers(evidence: Evidence) -> list[str]:
    """`AUROC, mean over classes: 0.81 (95 % interval 0.75 to 0.86); chance level 0.5.`, for numbers that have a better direction; none where
    strategies are contrasted."""
    if len(strategies(evidence)) != 1:
        return []
    judged = {
        name
        for name, metric in evidence.metrics.items()
        if metric.get("better") != "neither" and not (metric.get("repeats") or metric.get("after"))
    }
    networks = {str(model["id"]) for model in evidence.models}
    rows = [
        row
        for row in evidence.summaries
        if row.metric in judged and row.class_name in OVERALL and row.model in networks and row.value is not None
    ]
    return [_sentence(evidence, row, several=len(networks) > 1) for row in rows[:SHOWN]]


def _sentence(evidence: Evidence, row: Summary, several: bool) -> str:
    name = f"{title(row.metric)} with {title(row.attribution)}" if row.attribution else title(row.metric)
    interval = "" if row.low is None or row.high is None else f" (95 % interval {figure(row.low)} to {figure(row.high)})"
    chance = str(evidence.metrics[row.metric].get("chance") or "")
    level = f"; chance level {chance}" if chance[:1].isdigit() else ""
    who = f", {row.model}" if several else ""
    assert row.value is not None
    return f"{name}, {class_title(row.class_name).lower()}{who}: {figure(row.value)}{interval}{level}."
