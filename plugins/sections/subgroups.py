"""Does it hold for everybody: the declared metrics by sex, age, view or whatever audit.yaml names, and who differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.adjusted import MARK, NOTE, only_alone
from auditor.drawing import Interval, figure, forest, key, signed
from auditor.wording import p_said

from ._folded import folded
from ._reading import class_title, ordered_classes, strategies, title

MACRO = "(macro)"


class Subgroups(Section):
    """Per attribute the groups counted; per metric levels, differences between groups, and whether strategies differ in them."""

    name = "subgroups"
    title = "Who it holds for"
    template = "subgroups.html"
    order = 120

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A part per attribute; blank where audit.yaml declares none."""
        return {"parts": [_part(evidence, told) for told in evidence.audit.get("subgroups") or ()]}


def _part(evidence: Evidence, told: Mapping[str, Any]) -> dict[str, Any]:
    rows = [row for row in evidence.subgroups if row.by == told["by"]]
    abouts = list(
        dict.fromkeys((row.metric, row.analysis, row.attribution, row.family) for row in rows if row.reference is None)
    )
    return {
        "title": f"By {told['by']}",
        "groups": told["groups"],
        "unknown": told["unknown"],
        "primary": [title(name) for name in told["primary"]],
        "blocks": [_block(evidence, [row for row in rows if _about(row) == about], about, told) for about in abouts],
    }


def _about(row: Any) -> tuple[Any, ...]:
    return (row.metric, row.analysis, row.attribution, row.family)


def _block(evidence: Evidence, rows: Sequence[Any], about: tuple[Any, ...], told: Mapping[str, Any]) -> dict[str, Any]:
    metric, _, attribution, family = about
    several = len({row.family for row in evidence.subgroups}) > 1
    name = ", ".join([title(metric), *([title(attribution)] if attribution else []), *([family] if several else [])])
    order = [each for each in strategies(evidence) if any(row.strategy == each for row in rows)]
    apart = [row for row in rows if row.against is not None and row.reference is None]
    between = [row for row in rows if row.reference is not None]
    return {
        "title": f"{name} by {told['by']}",
        "levels": _levels(evidence, [row for row in rows if row.against is None], order, told),
        "chart": _chart(evidence, apart, order, f"{name} by {told['by']}: differences"),
        "differences": _table(evidence, apart, order),
        "between": _table(evidence, between, [each for each in order if any(row.strategy == each for row in between)]),
        "reference": between[0].reference if between else None,
    }


def _levels(evidence: Evidence, rows: Sequence[Any], order: Sequence[str], told: Mapping[str, Any]) -> dict[str, Any]:
    """A row per group over the classes, then per class and group; a column per strategy."""
    found = {(row.class_name, row.group, row.strategy): row for row in rows}
    names = ordered_classes(evidence, (row.class_name for row in rows))
    lines = [
        {
            "name": class_title(name),
            "group": group["group"],
            "whole": name == MACRO,
            "cells": [_cell(found.get((name, group["group"], each)), figure) for each in order],
            "n": _counts([found[key_] for each in order if (key_ := (name, group["group"], each)) in found]),
        }
        for name in names
        for group in told["groups"]
    ]
    return {"strategies": _marks(evidence, order), "rows": folded(lines), "alone": None}


def _chart(evidence: Evidence, rows: Sequence[Any], order: Sequence[str], heading: str) -> dict[str, Any] | None:
    """Group minus the others: two groups class by class, several over the classes only."""
    groups = list(dict.fromkeys(row.group for row in rows))
    names = ordered_classes(evidence, (row.class_name for row in rows)) if len(groups) == 1 else [MACRO]
    shown = [
        (class_title(name) if len(groups) == 1 else group, row)
        for name in names
        for group in groups
        for each in order
        for row in rows
        if (row.class_name, row.group, row.strategy) == (name, group, each)
    ]
    if all(row.value is None for _, row in shown):
        return None
    against = rows[0].against
    axis = f"{groups[0]} minus {against}" if len(groups) == 1 else f"each group minus {against}, over the classes"
    return {
        "title": heading,
        "caption": f"Each mark is {axis} under one strategy; the line is its 95 % interval over patients.",
        "series": _marks(evidence, order),
        "chance": False,
        "drawing": forest(
            [Interval(name, row.strategy, row.value, row.low, row.high, row.missing) for name, row in shown],
            strategies(evidence), title=heading, axis=axis,
        ),
    }  # fmt: skip


def _table(evidence: Evidence, rows: Sequence[Any], order: Sequence[str]) -> dict[str, Any] | None:
    if not rows:
        return None
    found = {(row.class_name, row.group, row.strategy): row for row in rows}
    names = ordered_classes(evidence, (row.class_name for row in rows))
    sides = list(dict.fromkeys((row.group, row.against) for row in rows))
    lines = [
        {
            "name": class_title(name),
            "group": f"{group} − {against}",
            "whole": name == MACRO,
            "cells": [_cell(row, signed) for row in cells],
            "n": _counts(cells),
            "verdict": "; ".join(f"{row.strategy}: {_verdict(row)}" for row in cells if row.verdict) or "none",
        }
        for name in names
        for group, against in sides
        if (cells := [row for each in order if (row := found.get((name, group, each)))])
    ]
    marked = any(cell.get("mark") for line in lines for cell in line["cells"])
    return {"strategies": _marks(evidence, order), "rows": folded(lines), "alone": (MARK, NOTE) if marked else None}


def _verdict(row: Any) -> str:
    """`different*` with its adjusted p; the star marks what was declared."""
    return f"{row.verdict}{'*' if row.claim == 'primary' else ''} ({p_said(row.p_adjusted)})"


def _cell(row: Any, words: Any) -> dict[str, Any]:
    if row is None or row.value is None:
        return {"missing": "not measured" if row is None else row.missing}
    ends = (
        {"low": None, "high": None} if row.low is None or row.high is None else {"low": words(row.low), "high": words(row.high)}
    )
    return {
        "missing": None,
        "value": words(row.value),
        **ends,
        "note": row.note,
        "mark": MARK if only_alone(row.low, row.high, row.verdict) else "",
    }


def _counts(rows: Sequence[Any]) -> str:
    """Cases, positives and patients; the same for all strategies or from the fewest to the most."""
    there = [row for row in rows if row.value is not None]
    if not there:
        return "–"
    cases = _span([row.n_cases for row in there])
    positives = [row.n_positives for row in there if row.n_positives is not None]
    return f"{cases}{f', {_span(positives)} positive' if positives else ''} ({_span([row.n_patients for row in there])})"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return figure(low) if low == high else f"{figure(low)} to {figure(high)}"


def _marks(evidence: Evidence, order: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, key(name, strategies(evidence))) for name in order]


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Subgroups]
