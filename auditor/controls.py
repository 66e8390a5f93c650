"""Controls of the explanation methods: what is due, for which networks, on which images.

The same maps are made of a network that has learned nothing, of a class that is not there, and of batches that were tampered
with, over at most LIMIT of the images with boxes. `control_pass` measures them, `sanity_rules` judges them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

from .analysis import Analysis
from .attribution import Attribution
from .identity import digest, identity
from .metric import Metric
from .plan import Plan, PlannedModel, Unit
from .sanity import Check

LIMIT = 400
"""Images with boxes that the controls look at."""
PROBED: tuple[Check, ...] = ("model_randomisation", "batch_independence", "repeat", "constant_input")
"""Checks that look at one batch of maps."""
PROBES = 5
"""Batches that are explained to probe a method: as it is, exchanged, again, grey, and by the untrained network."""


class Given(Attribution):
    """Stands where an attribution does; its maps are handed to the batch beforehand."""

    name = "given"


class Due(NamedTuple):
    """The controls of one attribution on one network. `untrained` stands for all networks of the same make; `donor` is the one
    that it is drawn from. Without an analysis that tells where maps lie there are probes only; with one class there is no other."""

    attribution: Attribution
    donor: PlannedModel
    untrained: Unit | None
    another_class: Unit | None
    probes: Mapping[Check, Unit]


def gauge(plan: Plan) -> tuple[Analysis, Metric] | None:
    """The first analysis that reads maps and boxes alone and says how much they know of the patient, and the metric that says it."""
    for analysis in plan.analyses:
        kappas = [metric for metric in analysis.metrics if metric.statistic == "kappa"]
        if kappas and {"attribution", "box"} <= analysis.needs <= {"attribution", "box", "labels", "positive"}:
            return analysis, kappas[0]
    return None


def due(plan: Plan, model: PlannedModel) -> list[Due]:
    """The controls of a network, per attribution; none for a table of scores, without boxes, or where they are turned off."""
    if not plan.config.controls or not model.explained or not any(sample.boxes for sample in plan.samples):
        return []
    donor = next(other for other in plan.models if other.explained and _make(other) == _make(model))
    return [_due(plan, model, donor, attribution) for attribution in plan.attributions]


def _due(plan: Plan, model: PlannedModel, donor: PlannedModel, attribution: Attribution) -> Due:
    code = plan.registry.code_digest("attributions", attribution.name)
    about = (identity(attribution), code, plan.data_key, plan.config.batch, plan.config.seed, plan.device, LIMIT)
    probes = {check: Unit(digest("probe", check, model.identity, about), model.id, None, attribution) for check in PROBED}
    if (by := gauge(plan)) is None:
        return Due(attribution, donor, None, None, probes)
    analysis = by[0]
    what = (about, identity(analysis), plan.registry.code_digest("analyses", analysis.name))
    return Due(
        attribution,
        donor,
        Unit(digest("untrained", donor.identity, what), _called(plan, donor), analysis, attribution),
        Unit(digest("another class", model.identity, what), model.id, analysis, Given()) if len(plan.classes) > 1 else None,
        probes,
    )


def untrained(plan: Plan, analysis: Analysis, attribution: Attribution | None) -> list[Unit]:
    """The untrained networks that this analysis measures with this attribution, each once."""
    units = {
        item.untrained.key: item.untrained
        for model in plan.models
        for item in due(plan, model)
        if item.untrained is not None and item.untrained.analysis is analysis and item.attribution is attribution
    }
    return list(units.values())


def chosen(plan: Plan) -> list[int]:
    """The samples that the controls look at, by number, in order.

    Turn by turn every class gives its image with the lowest sha256 of its id that has a box and is not chosen yet, until
    there are LIMIT or none is left: rare classes are not crowded out. Known to be unreadable means not chosen.
    """
    readable = [number for number, sample in enumerate(plan.samples) if sample.boxes and not sample.problem]
    order = sorted(readable, key=lambda number: hashlib.sha256(plan.samples[number].id.encode()).digest(), reverse=True)
    queues = [
        [number for number in order if any(box.label == name for box in plan.samples[number].boxes)] for name in plan.classes
    ]
    found: dict[int, None] = {}
    while len(found) < LIMIT and any(queues):
        for queue in queues:
            while queue and queue[-1] in found:
                queue.pop()
            if queue and len(found) < LIMIT:
                found[queue.pop()] = None
    return sorted(found)


def passed_through(plan: Plan) -> int:
    """How many images the controls of a fresh audit put through networks."""
    looks = [item for model in plan.models for item in due(plan, model)]
    units = {unit.key for item in looks for unit in (item.untrained, item.another_class) if unit is not None}
    return len(units) * len(chosen(plan)) + PROBES * plan.config.batch * len(looks)


def _called(plan: Plan, donor: PlannedModel) -> str:
    """`untrained resnet50`, with a number where networks of one architecture are made differently."""
    makes = [_make(model) for model in plan.models if model.explained and model.family == donor.family]
    place = list(dict.fromkeys(makes)).index(_make(donor))
    return f"untrained {donor.family}{f' #{place + 1}' if place else ''}"


def _make(model: PlannedModel) -> str:
    """Names what a network is before training: all but its strategy, its seed and the files that it is read from."""
    loader = model.loader
    options = {field.name: getattr(loader, field.name) for field in fields(loader) if field.name not in ("strategy", "seed")}
    plain = {name: value for name, value in options.items() if not isinstance(value, Path | None)}
    return digest(loader.name, model.family, plain, asdict(model.layers), model.outputs)
