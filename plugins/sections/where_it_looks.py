"""Where each network looks: agreement of its maps with the reference boxes, and the maps themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Picture, Section, hookimpl
from auditor.heatmap import Panel, plate, scale_bar

from ._blocks import metric_block
from ._ladder import ONLY_HERE, ladder
from ._paper import CASES
from ._reading import analyses, metric_names, model_titles, ordered_models, strategies, title

ACROSS = 5


class WhereItLooks(Section):
    """Alignment with the reference boxes per attribution, then one case across all networks."""

    name = "where_it_looks"
    title = "Where the networks look"
    template = "where_it_looks.html"
    order = 80

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A part per attribution, a plate per case."""
        shown, stamped = analyses(evidence, "where_it_looks"), evidence.stamps()
        used = dict.fromkeys(row.attribution for row in evidence.summaries if row.attribution)
        parts = [
            {
                "title": f"Maps by {title(attribution)}",
                "stamps": stamped.get(attribution, []),
                "ladders": [found for name in shown if (found := ladder(evidence, name, attribution))],
                "blocks": [
                    metric_block(evidence, metric, name, attribution)
                    for name in shown
                    for metric in sorted(metric_names(evidence, name, attribution), key=lambda metric: metric != "kappa_loc")
                    if metric not in ONLY_HERE
                ],
            }
            for attribution in used
        ]
        return {
            "parts": parts,
            "cases": [
                case
                for number, picture in enumerate(evidence.pictures)
                if not picture.kind
                for case in _plates(evidence, picture, number)
            ],
            "printed": CASES,
            "bar": scale_bar(),
            "controlled": bool(evidence.controls),
            "images": bool((evidence.audit.get("report") or {}).get("images", True)),
        }


def _plates(evidence: Evidence, picture: Picture, number: int) -> list[dict[str, Any]]:
    """A case with a column per strategy and a row per attribution and network; many strategies take several plates."""
    order, names = strategies(evidence), model_titles(evidence)
    models = [model for model in ordered_models(evidence) if any(str(model["id"]) in maps for maps in picture.maps.values())]
    present = [name for name in order if any(model["strategy"] == name for model in models)]
    what = f"{picture.case[:1].upper()}{picture.case[1:]}: {picture.class_name}"
    plates = []
    for start in range(0, max(len(present), 1), ACROSS):
        part = present[start : start + ACROSS]
        panels = [
            Panel(f"{title(attribution)}, {names[str(model['id'])]}", str(model["strategy"]), maps.get(str(model["id"])))
            for attribution, maps in picture.maps.items()
            for model in models
            if model["strategy"] in part
        ]
        across = f"strategies {', '.join(part)}" if part else "no map was kept"
        boxes = len(picture.boxes)
        plates.append(
            {
                "title": what,
                "class": picture.class_name,
                "caption": f"{boxes} reference box{'' if boxes == 1 else 'es'} of this finding; {across}.",
                "drawing": plate(
                    picture.pixels,
                    picture.boxes,
                    panels,
                    title=f"{what}: radiograph with reference boxes and the map of each network",
                    ident=f"case-{number + 1}-{start // ACROSS + 1}",
                ),
            }
        )
    return plates


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [WhereItLooks]
