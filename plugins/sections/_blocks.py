"""A metric as the sections show it: what it says, the differences as a chart, the numbers as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence
from auditor.adjusted import MARK, NOTE, only_alone
from auditor.drawing import Interval, Level, against_chance, clean_label, figure, forest, key

from ._paper import asked_about
from ._reading import (
    OVER_CLASSES,
    WHOLES,
    Chance,
    class_title,
    counted,
    model_titles,
    ordered_classes,
    ordered_models,
    reading,
    spread,
    strategies,
    title,
)
from ._repeats import repeats
from ._verdicts import NO_VERDICT, verdict_words

MODELS_ACROSS, STRATEGIES_ACROSS = 8, 4
"""Columns that still fit a page; more models or strategies continue in a further table."""
DIFFERS = "differs; under each number"
"""In place of a chance level that is not the same for all networks."""
NOBODY = "no class in this group"
"""Groups of no class are left to the tables."""


def metric_block(
    evidence: Evidence, metric: str, analysis: str, attribution: str | None = None, *, chance_chart: bool = False
) -> dict[str, Any]:
    """All of a metric: heading, sentence, charts, contrasts, levels."""
    declared = evidence.metrics.get(metric, {})
    about = Block(evidence, metric, analysis, attribution)
    charts = [*(about.chance_charts() if chance_chart else ()), *about.difference_charts()]
    return {
        "title": title(metric),
        "brief": metric not in asked_about(evidence),
        "says": declared.get("says") or "The analysis does not say what this number means.",
        "reading": reading(declared),
        "charts": charts,
        "contrasts": about.contrast_tables(),
        "levels": about.level_tables(),
        "repeats": repeats(evidence, metric, analysis, attribution),
    }


class Block:
    """One metric of one analysis (and attribution), read from the evidence once."""

    def __init__(self, evidence: Evidence, metric: str, analysis: str, attribution: str | None) -> None:
        self.evidence, self.metric, self.attribution = evidence, metric, attribution
        self.levels = [counted(evidence, s) for s in evidence.select(metric, analysis) if s.attribution == attribution]
        self.contrasts = [c for c in evidence.contrasts(metric, analysis) if c.attribution == attribution]
        self.order = strategies(evidence)
        self.chance = Chance(evidence, metric)
        self.name = f"{title(metric)}, {title(attribution)}" if attribution else title(metric)

    def difference_charts(self) -> list[dict[str, Any]]:
        """Paired dots with intervals, a chart per architecture; none where nothing could be contrasted."""
        charts = []
        for family in dict.fromkeys(c.family for c in self.contrasts):
            rows = [c for c in self.contrasts if c.family == family]
            if all(row.difference is None for row in rows):
                continue
            marks = [
                Interval(class_title(name), row.strategy, row.difference, row.low, row.high, row.missing)
                for name in ordered_classes(self.evidence, (row.class_name for row in rows))
                for row in self._by_strategy(rows, name)
                if row.missing != NOBODY
            ]
            heading = f"{self.name}: difference to {rows[0].reference}{self._family(family)}"
            axis = f"Difference in {title(self.metric)}: strategy minus {rows[0].reference}"
            charts.append(
                {
                    "title": heading,
                    "caption": "Each mark is a strategy minus the reference on the same cases; the line is its 95 % interval over patients.",
                    "series": self._legend([row.strategy for row in rows]),
                    "chance": False,
                    "drawing": forest(marks, self.order, title=heading, axis=axis),
                }
            )
        return charts

    def chance_charts(self) -> list[dict[str, Any]]:
        """A dot per model joined to its chance level, for the widest class that was measured."""
        found = {row.class_name for row in self.levels}
        widest = next((name for name in ("(image)", "(macro)", "(model)") if name in found), None)
        rows = self._by_model([row for row in self.levels if row.class_name == widest])
        if widest is None or all(row.value is None for row in rows):
            return []
        names = model_titles(self.evidence)
        marks = [
            Level(f"{row.strategy}, {names.get(row.model, row.model)}", row.strategy, row.value, self._chance(row), row.missing)
            for row in rows
        ]
        known = any(mark.chance is not None for mark in marks)
        heading = f"{self.name}: {class_title(widest).lower()}"
        beside = "the upright mark is its chance level." if known else "no chance level was measured."
        return [
            {
                "title": heading,
                "caption": f"Each dot is a network (n in the table); {beside}",
                "series": self._legend([row.strategy for row in rows]),
                "chance": known,
                "drawing": against_chance(marks, self.order, title=heading, axis=title(self.metric)),
            }
        ]

    def contrast_tables(self) -> list[dict[str, Any]]:
        """The numbers of the charts: a row per class, a column per strategy."""
        tables = []
        for family in dict.fromkeys(c.family for c in self.contrasts):
            rows = [c for c in self.contrasts if c.family == family]
            names = [name for name in self.order if any(row.strategy == name for row in rows)]
            for start in range(0, len(names), STRATEGIES_ACROSS):
                part = names[start : start + STRATEGIES_ACROSS]
                tables.append(self._contrast_table([row for row in rows if row.strategy in part], part, family))
        return tables

    def level_tables(self) -> list[dict[str, Any]]:
        """The number of every model and class, with n and the chance level where that is a number."""
        models = [m for m in ordered_models(self.evidence) if any(row.model == m["id"] for row in self.levels)]
        return [
            self._level_table(models[start : start + MODELS_ACROSS], start, len(models))
            for start in range(0, len(models), MODELS_ACROSS)
        ]

    def _contrast_table(self, rows: Sequence[Any], names: Sequence[str], family: str) -> dict[str, Any]:
        notes: dict[str, int] = {}
        lines = []
        for name in ordered_classes(self.evidence, (row.class_name for row in rows)):
            cells = {row.strategy: row for row in rows if row.class_name == name}
            for row in cells.values():
                if row.note:
                    notes.setdefault(row.note, len(notes) + 1)
            shown = [
                {
                    "missing": cell.missing,
                    "difference": cell.difference,
                    "low": cell.low,
                    "high": cell.high,
                    "span": 1,
                    "mark": MARK if only_alone(cell.low, cell.high, cell.verdict) else "",
                }
                if (cell := cells.get(strategy))
                else {"missing": "not contrasted", "span": 1}
                for strategy in names
            ]
            lines.append(
                {
                    "name": class_title(name),
                    "whole": name in WHOLES,
                    "n": f"{spread([c.n_cases for c in cells.values()])} ({spread([c.n_patients for c in cells.values()])})",
                    "cells": merged(shown),
                    "notes": sorted({notes[row.note] for row in cells.values() if row.note}),
                    "verdict": _verdict(cells),
                }
            )
        reference = rows[0].reference
        return {
            "caption": f"{self.name}: contrasts with {reference}{self._family(family)}",
            "reference": reference,
            "first": "Class",
            "strategies": self._legend(names),
            "rows": lines,
            "notes": [(number, note) for note, number in notes.items()],
            "alone": (MARK, NOTE) if any(cell.get("mark") for line in lines for cell in line["cells"]) else None,
        }

    def _level_table(self, models: Sequence[Mapping[str, Any]], start: int, total: int) -> dict[str, Any]:
        ids = [str(model["id"]) for model in models]
        names = model_titles(self.evidence)
        spans: dict[str, int] = {}
        for model in models:
            spans[str(model["strategy"])] = spans.get(str(model["strategy"]), 0) + 1
        part = "" if total == len(models) else f" ({start + 1} to {start + len(models)} of {total})"
        fixed = "" if self.chance.varies else f" Chance level: {self.chance.words or 'not declared'}."
        return {
            "caption": f"{self.name} by network{part}",
            "note": f"One column per network; n: cases.{fixed}{self._left_out()}",
            "first": "Class",
            "chance": self.chance.varies,
            "strategies": [(name, key(name, self.order), span) for name, span in spans.items()],
            "columns": [names[model] for model in ids],
            "rows": [
                self._level_row(name, ids) for name in ordered_classes(self.evidence, (row.class_name for row in self.levels))
            ],
        }

    def _level_row(self, name: str, ids: Sequence[str]) -> dict[str, Any]:
        found = {row.model: row for row in self.levels if row.class_name == name}
        counts = [found[model].n for model in ids if model in found]
        uneven = len(set(counts)) > 1
        levels = [self._chance(found[model]) if model in found else None for model in ids]
        even = len(set(levels)) == 1
        cells = []
        for model, level in zip(ids, levels, strict=True):
            row = found.get(model)
            missing = "not measured" if row is None else row.missing
            cell: dict[str, Any] = {"missing": missing, "span": 1, "n": None, "chance": None, "low": None, "high": None}
            if row is not None and row.value is not None:
                cell |= {"value": row.value, "n": row.n if uneven else None, "chance": None if even else level}
                cell |= {"low": row.low, "high": row.high}
            cells.append(cell)
        beside = "not known" if levels[0] is None else figure(levels[0])
        return {
            "name": class_title(name), "whole": name in WHOLES, "n": spread(counts, "class") if name in OVER_CLASSES else spread(counts), "cells": merged(cells),
            "chance": beside if even else DIFFERS,
        }  # fmt: skip

    def _left_out(self) -> str:
        """The networks without any number here, each with the reason that the gaps give."""
        measured, analysis = {row.model for row in self.levels}, self.levels[0].analysis
        reasons = {
            gap.model: gap.reason
            for gap in self.evidence.gaps
            if gap.n == 0 and gap.analysis == analysis and gap.attribution in (None, self.attribution)
        }
        absent = [str(model["id"]) for model in ordered_models(self.evidence) if str(model["id"]) not in measured]
        said = "; ".join(f"{model} ({clean_label(reasons.get(model, 'not measured'), 160)})" for model in absent)
        return f" No column for {said}." if said else ""

    def _chance(self, row: Any) -> float | None:
        return self.chance.of(row.model, self.attribution, row.class_name)

    def _by_strategy(self, rows: Sequence[Any], name: str) -> list[Any]:
        return sorted((row for row in rows if row.class_name == name), key=lambda row: self.order.index(row.strategy))

    def _by_model(self, rows: Sequence[Any]) -> list[Any]:
        place = {str(model["id"]): number for number, model in enumerate(ordered_models(self.evidence))}
        return sorted(rows, key=lambda row: place.get(row.model, len(place)))

    def _legend(self, names: Sequence[str]) -> list[tuple[str, Any]]:
        return [(name, key(name, self.order)) for name in self.order if name in names]

    def _family(self, family: str) -> str:
        several = len({c.family for c in self.contrasts}) > 1
        return f" ({family})" if several or ":" in family else ""


def merged(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours that are missing for one and the same reason as one wide cell."""
    found: list[dict[str, Any]] = []
    for cell in cells:
        if found and cell["missing"] and found[-1]["missing"] == cell["missing"]:
            found[-1]["span"] += 1
        else:
            found.append(cell)
    return found


def _verdict(cells: Mapping[str, Any]) -> str:
    said = {name: verdict_words(row) for name, row in cells.items() if row.difference is not None}
    return "; ".join(f"{name}: {verdict}" for name, verdict in said.items()) or NO_VERDICT
