"""A diff as one HTML page: the answer, the gates, the question, then every change as a dot with its interval beside its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..drawing import Interval, forest, key
from ..report import new_environment, whole_page
from ..statistics.rows import IMAGE, MACRO
from ..wording import class_title, figure, how_many, signed, title
from . import told
from .changes import OLD, Change
from .difference import Difference

MARKS, ROWS = 60, 20
"""Marks that one chart holds before it is split by network; overall numbers that the first table shows."""


def page(found: Difference) -> str:
    """The page; it needs nothing beside itself and runs no code."""
    order = [OLD, *dict.fromkeys(change.who for change in found.estimated)]
    blocks = [_block(found, members, order) for members in _by_metric(found)]
    overall = [change for change in found.estimated if change.row.class_name in (MACRO, IMAGE)]
    shown, more = told.first(overall, ROWS)
    return whole_page(
        new_environment(), "diff.html",
        title=str(found.new.audit["title"]), old=str(found.old.audit["title"]), names=found.names, version=__version__,
        headline=told.headline(found), counted=told.counted(found) if found.changes or found.unchanged else "",
        warnings=list(told.warnings(found)), gates=[_gate(row) for row in found.gates],
        facts=found.facts, causes=found.causes, shared=how_many(found.shared_images, "image"), classes=found.shared_classes,
        overall=[_row(found, change) for change in shown], left=more,
        blocks=blocks, numbers=[_number(number) for number in found.numbers], outcomes=found.outcomes,
        lost=told.missing(found), marked=told.marked(found), not_compared=told.not_compared(found) if found.not_compared else "", empty=found.empty,
    )  # fmt: skip


def _by_metric(found: Difference) -> list[list[Change]]:
    """The changes of each metric and attribution, the metrics in the order of the new audit, those of a declared margin first."""
    margins = found.new.audit["claims"]["margin"]
    names = sorted(found.new.metrics, key=lambda name: name not in margins)
    families: dict[tuple[str, str | None], list[Change]] = {}
    for change in found.changes:
        families.setdefault((change.row.metric, change.row.attribution), []).append(change)
    classes = [*found.new.dataset["classes"]]
    for members in families.values():
        members.sort(key=lambda change: classes.index(change.row.class_name) if change.row.class_name in classes else -1)
    return [families[about] for about in sorted(families, key=lambda about: (names.index(about[0]), str(about[1])))]


def _block(found: Difference, members: Sequence[Change], order: Sequence[str]) -> dict[str, Any]:
    row = members[0].row
    declared = found.new.metrics[row.metric]
    on = f" with {title(row.attribution)}" if row.attribution else ""
    drawn = [change for change in members if change.row.difference is not None]
    sets = [drawn] if len(drawn) <= MARKS else [[c for c in drawn if c.who == who] for who in order]
    return {
        "title": f"{title(row.metric)}{on}",
        "says": declared["says"],
        "better": declared["better"],
        "open": row.metric in found.new.audit["claims"]["margin"],
        "charts": [_chart(f"{title(row.metric)}{on}", some, order) for some in sets if some],
        "rows": [_row(found, change) for change in members],
        "worst": sum(found.better(change) == "worse" for change in members),
        "different": sum(str(change.row.verdict).startswith("different") for change in members),
    }


def _chart(name: str, changes: Sequence[Change], order: Sequence[str]) -> dict[str, Any]:
    shown = [order[0], *dict.fromkeys(change.who for change in changes)]
    rows = [Interval(class_title(c.row.class_name), c.who, c.row.difference, c.row.low, c.row.high) for c in changes]
    return {
        "drawing": forest(rows, list(order), title=f"Change of {name}", axis="new minus old, 95 % interval over patients"),
        "series": [(who, key(who, list(order))) for who in shown[1:]],
    }


def _row(found: Difference, change: Change) -> dict[str, Any]:
    row = change.row
    return {
        "metric": title(row.metric) + (f" with {title(row.attribution)}" if row.attribution else ""),
        "class_name": class_title(row.class_name), "who": change.who, "missing": row.missing, "note": row.note,
        "old": "" if change.old is None else figure(change.old), "new": "" if change.new is None else figure(change.new),
        "difference": "" if row.difference is None else signed(row.difference),
        "interval": "" if row.low is None or row.high is None else f"{signed(row.low)} to {signed(row.high)}",
        "joint": "" if row.joint_low is None or row.joint_high is None else f"{signed(row.joint_low)} to {signed(row.joint_high)}",
        "n": f"{row.n_cases:,} ({row.n_patients:,})", "verdict": told.verdict(found, change), "worse": found.better(change) == "worse",
        "margin": "" if row.margin is None else figure(row.margin),
        "smallest": "" if row.smallest_margin is None else figure(row.smallest_margin),
        "overall": row.class_name in (MACRO, IMAGE),
    }  # fmt: skip


def _gate(row: Any) -> dict[str, Any]:
    return {
        "number": row.gate,
        "outcome": row.outcome,
        "tier": row.tier,
        "sentence": row.sentence,
        "failed": row.outcome == "failed",
    }


def _number(number: Any) -> dict[str, Any]:
    return {"what": told.what(number), "who": number.model, "old": told.side(number, "old"), "new": told.side(number, "new")}
