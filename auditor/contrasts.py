"""Each strategy against the reference: what every metric of every analysis says about the difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from .analysis import Analysis
from .attribution import Attribution
from .metric import Metric
from .plan import Plan, PlannedModel, label
from .statistics.columns import Columns
from .statistics.compare import compare
from .statistics.decide import Row
from .statistics.estimates import contrasts as estimated_contrasts
from .statistics.estimates import handles, measured
from .statistics.rows import MACRO, Cohort, Comparison, Values


def contrasted(analysis: Analysis) -> list[Metric]:
    """The metrics of an analysis whose differences answer a question."""
    return answering(analysis.metrics)


def answering(metrics: Sequence[Metric]) -> list[Metric]:
    """Those of an analysis' metrics whose differences answer a question.

    Not those that are the chance level of another or repeat one under a changed assumption: they are told beside it. Nor a
    specificity: it is set and not found.
    """
    companions = {metric.chance for metric in metrics}
    never = ("none", "elsewhere", "others", "specificity")
    return [
        metric for metric in metrics if metric.name not in companions and not metric.repeats and metric.statistic not in never
    ]


def contrasts(
    plan: Plan,
    analysis: Analysis,
    attribution: Attribution | None,
    values: dict[str, dict[str, Values]],
    cohort: Cohort,
    metrics: Sequence[Metric],
) -> Iterator[Row]:
    """Each strategy against the reference in these metrics, within one architecture where the reference has it, across otherwise."""
    reference = plan.config.reference
    for family, strategy, mine, base in pairings(plan.models, reference):
        sides = [[values[model.id] for model in side if model.id in values] for side in (mine, base)]
        for metric in metrics:
            about = (metric.name, analysis.name, label(attribution))
            name = metric.of or metric.name
            each = [[columns[name] for columns in side if name in columns] for side in sides]
            if handles(metric) or (values and not any(name in columns for columns in values.values())):
                continue
            if not all(each):
                lost = strategy if not each[0] else reference
                why = f"nothing was measured for {lost}"
                yield Comparison(*about, MACRO, family, strategy, reference, None, None, None, 0, 0, why), None
                continue
            for row in compare(metric, each[0], each[1], cohort, plan.config.seed):
                known = {name: value for name, value in row.items() if name != "effect"}
                yield Comparison(
                    metric=metric.name, analysis=analysis.name, attribution=label(attribution), family=family,
                    strategy=strategy, reference=reference, **known,  # type: ignore[arg-type]
                ), row["effect"]  # fmt: skip


def estimated(
    plan: Plan,
    analysis: Analysis,
    attribution: Attribution | None,
    columns: dict[str, Columns],
    cohort: Cohort,
    metrics: Sequence[Metric],
) -> Iterator[Row]:
    """The same for metrics whose error is a sum over patients."""
    reference = plan.config.reference
    for family, strategy, mine, base in pairings(plan.models, reference):
        sides = [[columns[model.id] for model in side if model.id in columns] for side in (mine, base)]
        for metric in filter(handles, metrics):
            known = [[network for network in side if measured(metric, network)] for side in sides]
            if all(known):
                about = (metric.name, analysis.name, label(attribution))
                for row in estimated_contrasts(metric, known[0], known[1], cohort):
                    name, effect = row.pop("class_name"), row.pop("effect")
                    yield Comparison(*about, name, family, strategy, reference, **row), effect


def pairings(
    models: Sequence[PlannedModel], reference: str
) -> Iterator[tuple[str, str, list[PlannedModel], list[PlannedModel]]]:
    """(family, strategy, its models, the reference's models) for every contrast of the audit."""
    families = list(dict.fromkeys(model.family for model in models))
    strategies = [name for name in dict.fromkeys(model.loader.strategy for model in models) if name != reference]
    for family in families:
        same = [m for m in models if m.family == family and m.loader.strategy == reference]
        base = same or [m for m in models if m.loader.strategy == reference]
        for strategy in strategies:
            mine = [m for m in models if m.family == family and m.loader.strategy == strategy]
            others = ", ".join(dict.fromkeys(m.family for m in base))
            if mine:
                yield family if same else f"{strategy}: {family} / {reference}: {others}", strategy, mine, base


def bounded(rows: Iterable[Comparison], metrics: Mapping[str, Metric]) -> list[Comparison]:
    """The same contrasts, no interval reaching beyond what a difference of two numbers of the metric can be."""
    return [_bounded(row, metrics[row.metric]) if row.metric in metrics else row for row in rows]


def _bounded(row: Comparison, metric: Metric) -> Comparison:
    if metric.low is None or metric.high is None:
        return row
    most = metric.high - metric.low

    def within(end: float | None) -> float | None:
        return None if end is None else min(max(end, -most), most)

    return replace(
        row, low=within(row.low), high=within(row.high), joint_low=within(row.joint_low), joint_high=within(row.joint_high)
    )
