"""A metric's main contrast beside its repetitions under changed assumptions, and its levels beside theirs."""

from __future__ import annotations

from typing import Any

from auditor import Evidence
from auditor.drawing import key

from ._reading import class_title, model_titles, ordered_models, strategies

WIDEST = ("(macro)", "(image)")


def repeats(evidence: Evidence, metric: str, analysis: str, attribution: str | None) -> dict[str, Any] | None:
    """Rows of the overall contrasts and levels; None where nothing was repeated."""
    contrasts, levels = _contrasts(evidence, metric, analysis, attribution), _levels(evidence, metric, analysis, attribution)
    return {"contrasts": contrasts, "levels": levels} if contrasts or levels else None


def _contrasts(evidence: Evidence, metric: str, analysis: str, attribution: str | None) -> list[dict[str, Any]]:
    about, order = (metric, analysis, attribution), strategies(evidence)
    again = [r for r in evidence.repeated if (r.metric, r.analysis, r.attribution) == about and r.class_name in WIDEST]
    found = []
    for main in evidence.contrasts(metric, analysis):
        side = (main.class_name, main.family, main.strategy)
        mine = [row for row in again if (row.class_name, row.family, row.strategy) == side]
        if mine and main.attribution == attribution:
            named = f"{main.strategy} − {main.reference}, {class_title(main.class_name).lower()}"
            mark = key(main.strategy, order)
            found += [{"name": named, "mark": mark, "assuming": "as measured", "row": main}]
            found += [{"name": named, "mark": mark, "assuming": row.assuming, "row": row} for row in mine]
    return found


def _levels(evidence: Evidence, metric: str, analysis: str, attribution: str | None) -> list[dict[str, Any]]:
    again = {name: str(m.get("assuming")) for name, m in evidence.metrics.items() if m.get("repeats") == metric}
    order, names = strategies(evidence), model_titles(evidence)
    found = []
    for model in ordered_models(evidence) if again else ():
        for name, assuming in {metric: "as measured", **again}.items():
            found += [
                {
                    "name": f"{model['strategy']}, {names[str(model['id'])]}",
                    "mark": key(str(model["strategy"]), order),
                    "assuming": assuming,
                    "row": row,
                }
                for row in evidence.select(name, analysis)
                if row.model == model["id"] and row.attribution == attribution and row.class_name in WIDEST
            ]
    return found
