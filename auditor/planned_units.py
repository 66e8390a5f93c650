"""Which units of work an audit has, what an analysis may need, and why one cannot be run on a network at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .analysis import NEEDS, Analysis
from .attribution import Attribution
from .config import Problems
from .dataset import Sample
from .errors import among
from .identity import digest, identity
from .plan import PlannedModel, Unit
from .registry import Registry
from .trials import by_lot


def check_analysis(analysis: Analysis, place: str, problems: Problems) -> None:
    """Add what an analysis needs and nothing can give."""
    observes = getattr(analysis, "observes", analysis.needs)
    for need in sorted((analysis.needs | observes) - NEEDS):
        problems.add(f"{place}: analysis {analysis.name} needs {need!r}; there is {among(need, sorted(NEEDS))}")
    if "overall" in analysis.needs | observes and (analysis.needs | observes) & {"logits", "attribution"}:
        problems.add(f"{place}: analysis {analysis.name} needs overall, and an image as a whole has no logit and no map")
    if analysis.tallies() and (analysis.needs | observes) & {
        "attribution",
        "image",
        "logits",
        "embeddings",
        "split:train",
        "pixels",
        "mask",
    }:
        problems.add(
            f"{place}: analysis {analysis.name} looks twice, so it can need features, box, positive, labels, overall only"
        )


def check_metric_names(analyses: Sequence[Analysis], problems: Problems, place: str) -> None:
    """Add what is declared or listed twice: a metric of two analyses, an analysis."""
    owner: dict[str, str] = {}
    for analysis in analyses:
        for metric in analysis.metrics:
            if owner.setdefault(metric.name, analysis.name) != analysis.name:
                problems.add(f"{place}: {owner[metric.name]} and {analysis.name} both declare the metric {metric.name!r}")
    names = [analysis.name for analysis in analyses]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"{place}: {name} is listed {names.count(name)} times; list an analysis once")


def units_of_work(
    models: Sequence[PlannedModel],
    attributions: Sequence[Attribution],
    analyses: Sequence[Analysis],
    registry: Registry,
    shared: tuple[Any, ...],
    gallery: frozenset[tuple[int, int]],
    told: Mapping[str, Any] | None = None,
) -> tuple[tuple[Unit, ...], tuple[tuple[str, str, str], ...]]:
    """Units of work, and what could not become one: (model, analysis, reason). `told` are the groups that analyses ask for, by name."""
    units: list[Unit] = []
    unmet: list[tuple[str, str, str]] = []
    looks = [(attribution, component_identity("attributions", attribution, registry)) for attribution in attributions]
    for model in models:
        for analysis in analyses:
            reason = _unmet(model, analysis, attributions)
            if reason:
                unmet.append((model.id, analysis.name, reason))
                continue
            what = component_identity("analyses", analysis, registry)
            if by_group := (told or {}).get(analysis.name):
                what = (*what, by_group)
            for attribution, look in looks if "attribution" in analysis.needs else [(None, None)]:
                units.append(Unit(digest(model.id, model.identity, shared, what, look), model.id, analysis, attribution))
        for attribution, look in looks if gallery and model.explained else ():
            key = digest(model.id, model.identity, shared, "(pictures)", sorted(gallery), look)
            units.append(Unit(key, model.id, None, attribution))
    return tuple(units), tuple(unmet)


def with_trials(units: Sequence[Unit], analyses: Sequence[Analysis], samples: Sequence[Sample], seed: int) -> tuple[Unit, ...]:
    """The same units, each with what its analysis tries on which image; their keys tell all that this depends on."""
    ordered = by_lot(samples, seed)
    chosen = {id(analysis): analysis.trials(ordered) for analysis in analyses}
    return tuple(replace(unit, trials=chosen[id(unit.analysis)]) if unit.analysis is not None else unit for unit in units)


def _unmet(model: PlannedModel, analysis: Analysis, attributions: Sequence[Attribution]) -> str | None:
    """Why an analysis cannot be run on a model at all."""
    lacking = (analysis.needs - {"labels", "positive", "box", "overall", "split:train", "mask"}) - model.provides
    if lacking == {"pixels"}:
        return f"not applicable: the model answers for whole images; {analysis.name} needs an answer for every pixel"
    if lacking and model.looked_into:
        return f"not applicable: the network answers for every pixel, not for the image; {analysis.name} needs {', '.join(sorted(lacking))}"
    if lacking:
        return f"the model gives scores only; {analysis.name} needs {', '.join(sorted(lacking))}"
    if "attribution" in analysis.needs and not attributions:
        return f"{analysis.name} needs an attribution, and audit.yaml lists none"
    if "features" in analysis.needs and not model.layers.dissection:
        return f"{analysis.name} needs layers.dissection, and neither audit.yaml nor the model names it"
    return None


def component_identity(kind: str, component: Any, registry: Registry) -> tuple[Any, ...]:
    """Everything of a component that its results depend on: name, options, code."""
    return component.name, identity(component), registry.code_digest(kind, component.name)
