"""Whether scores hang on something that is no finding: what is lost without it, what is gained with it, what the maps say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, key, signed
from auditor.trial_plate import trial_plate

from ._blocks import metric_block
from ._reading import analyses, metric_names, model_titles, ordered_classes, strategies, title
from ._shortcuts import ANALYSIS, OF_MAPS, held_up, what

KIND = "trial"
DONE = {"border": "the border", "letter": "a laterality letter"}
PANELS = {
    "border": ("as it is", "border filled in", "control: frame inside"),
    "letter": ("as it is", "letter drawn in", "control: shuffled"),
}
ORDER = {"border": -1, "letter": 1}
"""Of the examples: the border first, the letter last."""


class Shortcuts(Section):
    """What held up, an example of every change, then every number by object."""

    name = "shortcuts"
    title = "Shortcuts"
    template = "shortcuts.html"
    order = 110

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """The rule, what held up, pictures, and a block per number."""
        shown, stamped = analyses(evidence, "shortcuts"), evidence.stamps()
        methods = dict.fromkeys(row.attribution for row in evidence.select(analysis=OF_MAPS))
        return {
            "measured": bool(shown),
            "edited": ANALYSIS in shown,
            "rule": _rule(evidence),
            "held": _held(evidence) if ANALYSIS in shown else None,
            "examples": _examples(evidence),
            "images": bool((evidence.audit.get("report") or {}).get("images", True)),
            "copy": bool(evidence.audit.get("shared")),
            "objects": [
                {"title": what(name)[:1].upper() + what(name)[1:], "blocks": [_block(evidence, name, metric) for metric in of]}
                for name, of in _by_object(evidence).items()
            ],
            "maps": [
                {
                    "title": f"Maps by {title(method)}",
                    "stamps": stamped.get(method, []),
                    "blocks": [
                        metric_block(evidence, name, OF_MAPS, method) for name in metric_names(evidence, OF_MAPS, method)
                    ],
                }
                for method in methods
            ],
        }


def _options(evidence: Evidence, analysis: str) -> Mapping[str, Any]:
    entries = evidence.audit.get("analyses") or ()
    return next((entry["options"] for entry in entries if entry["use"] == analysis), {})


def _rule(evidence: Evidence) -> str:
    """On which images, by which rule."""
    options = _options(evidence, ANALYSIS) or _options(evidence, OF_MAPS)
    if not options:
        return ""
    named = ", ".join(map(str, options.get("objects") or ()))
    return (
        f"Looked for: the border ({100 * float(options['border']):g} % of the shorter side) and {f'what the data set calls {named}' if named else 'no object by name, as audit.yaml names none'}. "
        f"Each on at most {figure(int(options['images']))} images, those with the lowest hash of their name and the audit's seed ({evidence.audit.get('seed')})."
    )


def _by_object(evidence: Evidence) -> dict[str, list[str]]:
    """{headline metric of an object: all its metrics}, in the order they were measured."""
    names = metric_names(evidence, ANALYSIS, None)
    heads = [name for name in names if evidence.metrics[name].get("statistic") == "standardised"]
    return {head: [name for name in (head, f"{head}_log_odds", f"{head}_control") if name in names] for head in heads}


def _block(evidence: Evidence, head: str, metric: str) -> dict[str, Any]:
    """A block; what an object's number is made of is left to the HTML."""
    found = metric_block(evidence, metric, ANALYSIS)
    return found | {"brief": found["brief"] if metric == head else True}


def _held(evidence: Evidence) -> dict[str, Any]:
    """A row per object, class and network whose effect stands after allowing for all that were looked at."""
    found, looked_at = held_up(evidence)
    order, names = strategies(evidence), model_titles(evidence)
    strategy = {str(model["id"]): str(model["strategy"]) for model in evidence.models}
    place = {name: number for number, name in enumerate(ordered_classes(evidence, {one.class_name for one in found}))}
    rows = sorted(found, key=lambda one: (one.metric, place[one.class_name], order.index(strategy[one.model]), one.model))
    return {
        "looked_at": looked_at,
        "rows": [
            {
                "what": what(one.metric),
                "class": one.class_name,
                "mark": key(strategy[one.model], order),
                "network": f"{strategy[one.model]}, {names[one.model]}",
                "value": signed(one.value),
                "interval": f"({signed(one.low)} to {signed(one.high)})",
            }
            for one in rows
        ],
    }


def _examples(evidence: Evidence) -> list[dict[str, Any]]:
    """A plate per change: the image as it is, changed, and with its control."""
    found: dict[str, list[Any]] = {}
    for picture in evidence.pictures:
        if picture.kind == KIND:
            found.setdefault(picture.class_name, []).append(picture)
    plates = []
    for name, pictures in sorted(found.items(), key=lambda item: (ORDER.get(item[0], 0), item[0])):
        words = PANELS.get(name, ("as it is", "filled in", "control: elsewhere"))
        heading = f"{DONE.get(name, name)}, {pictures[0].case}"
        heading = heading[:1].upper() + heading[1:]
        panels = [(text, picture.pixels, picture.boxes) for text, picture in zip(words, pictures, strict=True)]
        plates.append({"title": heading, "drawing": trial_plate(panels, title=heading)})
    return plates


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Shortcuts]
