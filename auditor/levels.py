"""The numbers of each model: every metric of every analysis, per class and over the classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from . import blind, controls
from .analysis import Analysis
from .attribution import Attribution
from .ledger import Ledger
from .plan import Plan, Unit, label
from .statistics import estimates
from .statistics.columns import Columns
from .statistics.estimates import handles, reliability
from .statistics.rows import BASELINE, MODEL, Cohort, Curve, Summary, UnitDetector, Values
from .statistics.summarise import summarise


def of_used(values: dict[str, Values], used: npt.NDArray[np.bool_]) -> dict[str, Values]:
    kept = {}
    for metric, column in values.items():
        good = used[column.sample]
        kept[metric] = Values(column.sample[good], column.target[good], column.value[good])
    return kept


def summaries(plan: Plan, ledger: Ledger, unit: Unit, values: dict[str, Values], cohort: Cohort) -> Iterator[Summary]:
    (model,) = (model for model in plan.models if model.id == unit.model)
    about = (unit.name, label(unit.attribution), unit.model, model.loader.strategy)
    metrics = unit.analysis.metrics if unit.analysis else ()
    for metric in (metric for metric in metrics if not handles(metric)):
        column = values.get(metric.of or metric.name)
        for row in summarise(metric, column, cohort) if column is not None else ():
            yield Summary(metric.name, *about, **row._asdict())
    undefined = {metric.name: metric.undefined for metric in metrics}
    for name, whole in ledger.summary(unit.key).items():
        yield Summary(name, *about, MODEL, whole, undefined[name] if whole is None else None, 1)
    for found in ledger.conclusion(unit.key).numbers:
        name = MODEL if found.target is None else cohort.classes[found.target]
        yield Summary(
            found.metric, *about, name, found.value, found.missing, found.n, found.low, found.high, found.n_patients, found.note
        )


def detectors(plan: Plan, ledger: Ledger, unit: Unit) -> Iterator[UnitDetector]:
    """The units that an analysis names, of one model."""
    (model,) = (model for model in plan.models if model.id == unit.model)
    for found in ledger.conclusion(unit.key).detectors:
        yield UnitDetector(
            unit.name, unit.model, model.loader.strategy, found.unit, plan.classes[found.target], found.iou, found.p
        )


def estimated(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, columns: dict[str, Columns], cohort: Cohort
) -> Iterator[Summary]:
    """The numbers whose error is a sum over patients, of each model."""
    strategy = {model.id: model.loader.strategy for model in plan.models}
    for metric in filter(handles, analysis.metrics):
        for model, network in columns.items():
            for row in estimates.levels(metric, network, cohort) if estimates.measured(metric, network) else ():
                yield Summary(metric.name, analysis.name, label(attribution), model, strategy[model], **row)


def curves(plan: Plan, analysis: Analysis, columns: dict[str, Columns], cohort: Cohort) -> Iterator[Curve]:
    """Predicted against observed frequency, where the analysis asks for it by declaring an ECE."""
    strategy = {model.id: model.loader.strategy for model in plan.models}
    for metric in analysis.metrics:
        for model, network in columns.items() if metric.statistic == "ece" else ():
            yield Curve(analysis.name, model, strategy[model], metric.after, **reliability(metric, network, cohort))


def of_blind_maps(
    plan: Plan, analysis: Analysis, ledger: Ledger, used: npt.NDArray[np.bool_], cohort: Cohort
) -> Iterator[Summary]:
    """The same numbers for maps that never saw an image."""
    for unit in blind.units(plan, analysis):
        yield from _of_baseline(unit, None, ledger, used, cohort)


def of_untrained(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, ledger: Ledger, used: npt.NDArray[np.bool_], cohort: Cohort
) -> Iterator[Summary]:
    """The same numbers for networks that have learned nothing, on the images that the controls look at."""
    for unit in controls.untrained(plan, analysis, attribution):
        yield from _of_baseline(unit, label(attribution), ledger, used, cohort)


def _of_baseline(
    unit: Unit, attribution: str | None, ledger: Ledger, used: npt.NDArray[np.bool_], cohort: Cohort
) -> Iterator[Summary]:
    network = Columns(of_used(ledger.values(unit.key), used), ledger.elsewhere(unit.key))
    assert unit.analysis is not None
    for metric in unit.analysis.metrics:
        about = (metric.name, unit.analysis.name, attribution, unit.model, BASELINE)
        if handles(metric) and estimates.measured(metric, network):
            yield from (Summary(*about, **row) for row in estimates.levels(metric, network, cohort))
        elif metric.statistic == "mean" and metric.name in network.values:
            yield from (Summary(*about, **row._asdict()) for row in summarise(metric, network.values[metric.name], cohort))
