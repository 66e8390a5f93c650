"""Would the networks answer the same if the picture had been taken a little differently?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.changed_strip import strip
from auditor.drawing import Interval, figure, forest, key, signed

from ._blocks import metric_block
from ._reading import analyses, class_title, model_titles, ordered_classes, ordered_models, strategies, title

ACROSS = 6
"""Networks beside each other in a table; more continue in a further one."""
OVERALL = "(macro)"
HEADINGS: Mapping[str, tuple[str, str]] = {
    "auroc_change": (
        "What each change does to AUROC",
        "AUROC with the picture changed less AUROC as it is, mean over the classes, with its 95 % interval over patients; the worst change first.",
    ),
    "decisions_changed": (
        "Decisions that change",
        "Share of images decided otherwise at the threshold set on the pictures as they are, mean over the classes, with its 95 % interval over patients.",
    ),
    "score_moved": (
        "Which way the scores move",
        "Mean change of the log-odds in standard deviations of the unchanged log-odds, with its sign, mean over the classes; the first row is the mean size over all changes.",
    ),
    "map_agreement": (
        "Whether the maps stay",
        "Rank correlation of the map of the changed picture, moved back, with the map of the picture as it is, mean over the classes, with its 95 % interval over patients.",
    ),
}  # fmt: skip
"""Of the numbers over all changes: the heading of their table, and what stands in it."""


class Robustness(Section):
    """The changes on one image, a chart and tables by change, the findings that suffer most, each number, and what features tell."""

    name = "robustness"
    title = "Robustness"
    template = "robustness.html"
    order = 115

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Tables, a chart, a strip of pictures, and a block per number over all changes."""
        found = [
            (name, metric, attribution)
            for name in analyses(evidence, "robustness")
            for metric in HEADINGS
            for attribution in dict.fromkeys(row.attribution for row in evidence.select(metric, name))
        ]
        pictures = [picture for picture in evidence.pictures if picture.kind == "changed"]
        return {
            "measured": bool(found),
            "read": _read_out(evidence),
            "drawn": _drawn(evidence),
            "images": bool((evidence.audit.get("report") or {}).get("images", True)),
            "strip": strip(pictures) if pictures else None,
            "case": f"{pictures[0].case[:1].upper()}{pictures[0].case[1:]}" if pictures else "",
            "chart_of": _chart(evidence) if any(metric == "auroc_change" for _, metric, _ in found) else None,
            "tables": [table for about in found for table in _tables(evidence, *about)],
            "worst": _worst(evidence),
            "blocks": [metric_block(evidence, metric, name, attribution) for name, metric, attribution in found],
            "stamps": [text for attribution in dict.fromkeys(of for _, _, of in found if of) for text in evidence.stamps().get(attribution, [])],
        }  # fmt: skip


def _drawn(evidence: Evidence) -> str:
    """On how many images each analysis tried the changes."""
    used, told = int(evidence.accounting.get("used") or 0), []
    for item in evidence.audit.get("analyses", ()):
        most = (item.get("options") or {}).get("images")
        tried = any(row.metric in HEADINGS for row in evidence.select(analysis=str(item.get("use"))))
        if tried and isinstance(most, int):
            which = (
                f"all {figure(used)} images"
                if most >= used
                else f"{figure(most)} of {figure(used)} images, drawn by a hash of their names"
            )
            told.append(f"{title(str(item['use'])).lower()} on {which}")
    return "; ".join(told)


def _single(evidence: Evidence, metric: str) -> dict[str, str]:
    """{metric of one change: the change in words}."""
    declared = evidence.metrics.items()
    return {
        name: str(one.get("assuming")).removeprefix("with its sign, ") for name, one in declared if one.get("repeats") == metric
    }


def _by_worst(evidence: Evidence, metric: str, attribution: str | None = None) -> list[str]:
    """The metrics of single changes, the one that harms most on average over the networks first."""
    better = 1 if str(evidence.metrics.get(metric, {}).get("better")) == "higher" else -1

    def harm(name: str) -> float:
        rows = [row for row in evidence.select(name, class_name=OVERALL) if row.attribution == attribution]
        values = [row.value for row in rows if row.value is not None]
        size: Callable[[float], float] = abs if name.startswith("score_shift") else float
        return better * sum(map(size, values)) / len(values) if values else float("inf")

    return sorted(_single(evidence, metric), key=harm)


def _tables(evidence: Evidence, analysis: str, metric: str, attribution: str | None) -> list[dict[str, Any]]:
    """A row per change, a column per network."""
    order, names = strategies(evidence), model_titles(evidence)
    rows = [row for row in evidence.select(analysis=analysis, class_name=OVERALL) if row.attribution == attribution]
    cells = {(row.metric, row.model): row for row in rows}
    models = [model for model in ordered_models(evidence) if any(model["id"] == row.model for row in rows)]
    heading, says = HEADINGS[metric]
    single = _single(evidence, metric)
    first = {"auroc_unchanged": "AUROC, picture as it is"} if metric == "auroc_change" else {}
    lines = {
        **first,
        metric: "Mean over the changes",
        **{name: single[name] for name in _by_worst(evidence, metric, attribution)},
    }
    return [
        {
            "caption": heading if attribution is None else f"{heading}: {title(attribution)}",
            "says": says,
            "columns": [
                (f"{model['strategy']}, {names[str(model['id'])]}", key(str(model["strategy"]), order)) for model in part
            ],
            "rows": [
                {
                    "name": words[:1].upper() + words[1:] if name not in single else words,
                    "whole": name not in single,
                    "cells": [_cell(cells.get((name, str(model["id"]))), _writing(name)) for model in part],
                }
                for name, words in lines.items()
            ],
        }
        for start in range(0, len(models), ACROSS)
        for part in [models[start : start + ACROSS]]
    ]


def _writing(name: str) -> Callable[[float], str]:
    return signed if name.startswith(("auroc_change", "score_shift")) else figure


def _cell(row: Any, write: Callable[[float], str]) -> dict[str, Any]:
    if row is None or row.value is None:
        return {"missing": "not measured" if row is None else str(row.missing)}
    ends = f"({write(row.low)} to {write(row.high)})" if row.low is not None and row.high is not None else "(no interval)"
    return {"missing": None, "value": write(row.value), "interval": ends}


def _chart(evidence: Evidence) -> dict[str, Any] | None:
    """The change of the mean AUROC by kind of change, of the first network of every strategy."""
    order = strategies(evidence)
    single = _single(evidence, "auroc_change")
    first = {str(m["strategy"]): str(m["id"]) for m in reversed(ordered_models(evidence))}
    marks = [
        Interval(single[name].partition(" (")[0], strategy, row.value, row.low, row.high, row.missing)
        for name in _by_worst(evidence, "auroc_change")
        for strategy in order
        for row in evidence.select(name, class_name=OVERALL)
        if row.model == first.get(strategy)
    ]
    if all(mark.value is None for mark in marks):
        return None
    heading = "Change of AUROC under each change of the picture"
    return {
        "title": heading,
        "caption": "The first network of each strategy, mean over the classes; the line is the 95 % interval over patients. The worst change stands first.",
        "series": [(name, key(name, order)) for name in order if any(mark.series == name for mark in marks)],
        "chance": False,
        "drawing": forest(marks, order, title=heading, axis="AUROC with the picture changed less AUROC as it is"),
    }


def _worst(evidence: Evidence) -> dict[str, Any] | None:
    """By finding and strategy's first network: the change under which AUROC falls most."""
    single, order, names = _single(evidence, "auroc_change"), strategies(evidence), model_titles(evidence)
    rows = [row for name in single for row in evidence.select(name) if not row.class_name.startswith("(")]
    if not rows:
        return None
    models = list({str(m["strategy"]): m for m in reversed(ordered_models(evidence))}.values())[::-1]
    models = [model for model in models if any(row.model == model["id"] for row in rows)]
    return {
        "columns": [(f"{m['strategy']}, {names[str(m['id'])]}", key(str(m["strategy"]), order)) for m in models[:ACROSS]],
        "changes": len(single),
        "rows": [
            {
                "name": class_title(name),
                "cells": [
                    _lowest([row for row in rows if (row.class_name, row.model) == (name, model["id"])], single)
                    for model in models[:ACROSS]
                ],
            }
            for name in ordered_classes(evidence, (row.class_name for row in rows))
        ],
    }


def _read_out(evidence: Evidence) -> dict[str, Any] | None:
    """A row per network and attribute: how well its groups are read off the features, on all images and on those without a finding."""
    order, names = strategies(evidence), model_titles(evidence)
    rows = {(row.metric, row.model): row for row in evidence.summaries if row.metric.startswith("read_out_")}
    asked = [metric for metric in evidence.metrics if metric.startswith("read_out_") and not metric.endswith("_no_finding")]
    lines = [
        {
            "name": f"{metric.removeprefix('read_out_').replace('_', ' ')}: {model['strategy']}, {names[str(model['id'])]}",
            "mark": key(str(model["strategy"]), order),
            "cells": [
                {
                    **_cell(row, figure),
                    "n": f"{figure(row.n)} ({figure(row.n_patients or 0)})" if row and row.n else "",
                    "note": row.note if row else None,
                }
                for ending in ("", "_no_finding")
                for row in [rows.get((f"{metric}{ending}", str(model["id"])))]
            ],
        }
        for metric in asked
        for model in ordered_models(evidence)
        if (metric, str(model["id"])) in rows
    ]
    return {"rows": lines} if lines else None


def _lowest(rows: Sequence[Any], single: Mapping[str, str]) -> dict[str, Any]:
    known = [row for row in rows if row.value is not None]
    if not known:
        return {"missing": rows[0].missing if rows else "not measured"}
    row = min(known, key=lambda row: row.value)
    if row.value >= 0:
        return {"missing": None, "words": "falls under none", "value": "", "interval": "", "few": False}
    return {**_cell(row, signed), "words": single[row.metric], "few": bool(row.note)}


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Robustness]
