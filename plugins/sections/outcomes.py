"""Right, wrong, and confidently wrong: what the networks find and miss at one specificity, and what their maps show then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence, Picture, Section, hookimpl
from auditor.drawing import figure, key
from auditor.heatmap import Panel, plate

from ._blocks import metric_block
from ._card import card_rows
from ._paper import CHOSEN
from ._reading import analyses, class_title, metric_names, model_titles, ordered_classes, ordered_models, strategies, title

OUTCOMES = {"TP": "found (TP)", "FN": "missed (FN)", "FP": "false alarm (FP)", "TN": "left alone (TN)"}
COLUMNS = ("kappa_loc", "cbl", "pointing_game", "map_mass", "effective_support", "usual_place", "abstained")
BOXED = ("kappa_loc", "cbl", "pointing_game")
KINDS = {
    "false positive": ("Most confident false alarms", "The network calls the finding; the reference standard does not have it."),
    "missed": ("Most confidently missed", "The reference standard has the finding, here with its box; the network scores it lowest."),
    "off target": ("Confident and off target", "The network calls the finding and is right; the box holds no more of its map than it would anywhere."),
}  # fmt: skip


class Outcomes(Section):
    """The operating point, both rates, the outcomes counted, maps by outcome, and cases chosen by rule."""

    name = "outcomes"
    title = "Right, wrong and confidently wrong"
    template = "outcomes.html"
    order = 130

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Blocks for the rates, tables by outcome per attribution, and the gallery."""
        shown = analyses(evidence, "outcomes")
        methods = list(dict.fromkeys(row.attribution for row in evidence.by_outcome))
        return {
            "measured": bool(shown),
            "point": _point(evidence),
            "blocks": [metric_block(evidence, metric, name) for name in shown for metric in metric_names(evidence, name, None)],
            "counted": _counted(evidence),
            "parts": [
                {
                    "title": f"Maps by outcome, {title(method)}",
                    "over": _over_classes(evidence, method),
                    "classes": [_by_class(evidence, method, model) for model in ordered_models(evidence)],
                    "off": _off_target(evidence, method),
                }
                for method in methods
            ],
            "gallery": _gallery(evidence),
            "printed": CHOSEN,
            "stated_rows": card_rows(evidence, "failures.clinical_comment"),
            "rule": evidence.audit.get("chosen_by", ""),
            "images": bool((evidence.audit.get("report") or {}).get("images", True)),
        }


def _point(evidence: Evidence) -> str:
    """At which specificity, and on whom it was set."""
    points = evidence.operating
    if not points:
        return "No operating point could be set in this audit; the section on gaps says why."
    fewest, most = min(p.chosen_on for p in points), max(p.chosen_on for p in points)
    negatives = figure(most) if fewest == most else f"{figure(fewest)} to {figure(most)}"
    where = (
        f"on the {negatives} negatives of patients set apart for it, who are counted in no outcome"
        if any(point.apart for point in points)
        else f"on the {negatives} audited negatives themselves, because no patients were set apart (option fit of outcomes), so that "
        "specificity is here what it was set to and no finding"
    )
    return (
        f"For each network and class the threshold is the lowest score that {points[0].asked:.0%} of the images without the finding do not "
        f"exceed, taken {where}. Intervals take the threshold as given."
    )


def _counted(evidence: Evidence) -> dict[str, Any]:
    """Outcomes of each network, all classes together."""
    order, names = strategies(evidence), model_titles(evidence)
    fields = ("true_positives", "false_negatives", "false_positives", "true_negatives", "apart", "unknown")
    rows = []
    for model in ordered_models(evidence):
        points = [point for point in evidence.operating if point.model == model["id"]]
        told = [point for point in points if point.missing is None]
        if points:
            counts = [sum(getattr(point, name) for point in told) for name in fields]
            rows.append(
                {
                    "mark": key(str(model["strategy"]), order),
                    "name": f"{model['strategy']}, {names[str(model['id'])]}",
                    "classes": f"{len(told)} of {len(points)}",
                    "counts": counts,
                    "used": sum(counts),
                }
            )
    return {
        "columns": [*OUTCOMES.values(), "choose the threshold", "label unknown"],
        "rows": rows,
        "reasons": sorted({f"{p.class_name}: {p.missing}" for p in evidence.operating if p.missing}),
    }


def _over_classes(evidence: Evidence, method: str) -> dict[str, Any]:
    """Means over the classes, a row per network and outcome, with how many cases there are."""
    order, names = strategies(evidence), model_titles(evidence)
    mine = [row for row in evidence.by_outcome if row.attribution == method and row.outcome in OUTCOMES]
    cells = {(row.model, row.outcome, row.metric): row for row in mine if row.class_name == "(macro)"}
    shown = [name for name in COLUMNS if any(metric == name for _, _, metric in cells)]
    return {
        "caption": f"What the maps show by outcome, {title(method)}",
        "columns": [title(name) for name in shown],
        "rows": [
            {
                "name": f"{model['strategy']}, {names[str(model['id'])]}: {words}",
                "mark": key(str(model["strategy"]), order),
                "cases": sum(
                    row.n
                    for row in mine
                    if (row.model, row.outcome, row.metric) == (model["id"], outcome, "abstained")
                    and row.class_name != "(macro)"
                ),
                "classes": _classes(cells, str(model["id"]), outcome),
                "cells": [_cell(cells, str(model["id"]), outcome, name) for name in shown],
            }
            for model in ordered_models(evidence)
            for outcome, words in OUTCOMES.items()
            if any(who == model["id"] for who, _, _ in cells)
        ],
    }


def _classes(cells: Mapping[tuple[str, str, str], Any], model: str, outcome: str) -> str:
    counts = sorted({row.n for (who, what, _), row in cells.items() if (who, what) == (model, outcome) and row.n})
    return " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]]))) if counts else "0"


def _cell(cells: Mapping[tuple[str, str, str], Any], model: str, outcome: str, metric: str) -> Any:
    if metric in BOXED and outcome in ("FP", "TN"):
        return {"value": None, "missing": "no box"}
    return cells.get((model, outcome, metric)) or {"value": None, "missing": "no map was made"}


def _by_class(evidence: Evidence, method: str, model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Found and missed side by side, a row per class; None where the network has no boxed case."""
    rows = [r for r in evidence.by_outcome if r.attribution == method and r.model == model["id"] and r.metric in BOXED]
    found = {(row.class_name, row.metric, row.outcome): row for row in rows}
    metrics = [name for name in BOXED if any(metric == name for _, metric, _ in found)]
    columns = [(name, outcome) for name in metrics for outcome in ("TP", "FN")]
    if not found:
        return None
    return {
        "caption": f"By class: {model['strategy']}, {model_titles(evidence)[str(model['id'])]}, {title(method)}",
        "columns": [f"{title(name)}, {'found' if outcome == 'TP' else 'missed'}" for name, outcome in columns],
        "rows": [
            {
                "name": class_title(name),
                "whole": name == "(macro)",
                "cells": [found.get((name, *column)) for column in columns],
            }
            for name in ordered_classes(evidence, (row.class_name for row in rows))
        ],
    }


def _off_target(evidence: Evidence, method: str) -> list[dict[str, Any]]:
    """The share of confident true positives whose map lies off the box, a row per network."""
    order, names = strategies(evidence), model_titles(evidence)
    found = {}
    for row in evidence.by_outcome:
        if row.attribution == method and row.metric == "off_target":
            found.setdefault(row.model, []).append(row)
    return [
        {
            "mark": key(str(model["strategy"]), order),
            "name": f"{model['strategy']}, {names[str(model['id'])]}",
            "row": next(row for row in found[model["id"]] if row.class_name == "(macro)"),
            "cases": sum(row.n for row in found[model["id"]] if row.class_name != "(macro)"),
            "worst": _worst(found[model["id"]]),
        }
        for model in ordered_models(evidence)
        if model["id"] in found
    ]


def _worst(rows: Sequence[Any]) -> Any:
    """The class with the largest share, None where no class has one above 0."""
    classes = [row for row in rows if row.class_name != "(macro)" and row.value]
    return max(classes, key=lambda row: row.value, default=None)


def _gallery(evidence: Evidence) -> list[dict[str, Any]]:
    """The chosen cases by kind."""
    groups = []
    for kind, (heading, says) in KINDS.items():
        cases = [(number, picture) for number, picture in enumerate(evidence.pictures) if picture.kind == kind]
        groups.append(
            {"title": heading, "says": says, "cases": [_case(evidence, picture, number) for number, picture in cases]}
        )
    return groups


def _case(evidence: Evidence, picture: Picture, number: int) -> dict[str, Any]:
    owner = next(model for maps in picture.maps.values() for model in maps)
    model = next(model for model in evidence.models if model["id"] == owner)
    who = f"{model['strategy']}, {model_titles(evidence)[owner]}"
    panels = [Panel(title(method), str(model["strategy"]), maps[owner]) for method, maps in picture.maps.items()]
    heading = f"{picture.class_name}, {who}"
    return {
        "title": heading,
        "class": picture.class_name,
        "caption": f"{picture.case[:1].upper()}{picture.case[1:]}; {picture.words}; {_boxes(picture.boxes)}.",
        "drawing": plate(
            picture.pixels, picture.boxes, panels, title=f"{picture.kind}: {heading}", ident=f"chosen-{number + 1}"
        ),
    }


def _boxes(boxes: Sequence[Any]) -> str:
    return "no box" if not boxes else "1 reference box" if len(boxes) == 1 else f"{len(boxes)} reference boxes"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Outcomes]
