"""Each strategy against the reference: what every metric of every analysis says about the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .analysis import Analysis
from .attribution import Attribution
from .plan import Plan, PlannedModel, label
from .statistics.columns import Columns
from .statistics.compare import compare
from .statistics.decide import Row
from .statistics.estimates import contrasts as estimated_contrasts
from .statistics.estimates import handles
from .statistics.rows import MACRO, Cohort, Comparison, Values


def contrasts(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, values: dict[str, dict[str, Values]], cohort: Cohort
) -> Iterator[Row]:
    """Each strategy against the reference, within one architecture where the reference has it, across otherwise.

    A metric that is the chance level of another is told beside it: a difference in it answers no question.
    """
    reference = plan.config.reference
    companions = {metric.chance for metric in analysis.metrics}
    for family, strategy, mine, base in pairings(plan.models, reference):
        sides = [[values[model.id] for model in side if model.id in values] for side in (mine, base)]
        for metric in analysis.metrics:
            about = (metric.name, analysis.name, label(attribution))
            name = metric.of or metric.name
            measured = [[columns[name] for columns in side if name in columns] for side in sides]
            if (
                metric.name in companions
                or metric.statistic in ("none", "elsewhere")
                or handles(metric)
                or (values and not any(name in columns for columns in values.values()))
            ):
                continue
            if not all(measured):
                lost = strategy if not measured[0] else reference
                why = f"nothing was measured for {lost}"
                yield Comparison(*about, MACRO, family, strategy, reference, None, None, None, 0, 0, why), None
                continue
            for row in compare(metric, measured[0], measured[1], cohort, plan.config.seed):
                known = {name: value for name, value in row.items() if name != "effect"}
                yield Comparison(
                    metric=metric.name, analysis=analysis.name, attribution=label(attribution), family=family,
                    strategy=strategy, reference=reference, **known,  # type: ignore[arg-type]
                ), row["effect"]  # fmt: skip


def estimated(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, columns: dict[str, Columns], cohort: Cohort
) -> Iterator[Row]:
    """The same numbers, each strategy against the reference."""
    reference = plan.config.reference
    companions = {metric.chance for metric in analysis.metrics}
    for family, strategy, mine, base in pairings(plan.models, reference):
        sides = [[columns[model.id] for model in side if model.id in columns] for side in (mine, base)]
        for metric in filter(handles, analysis.metrics):
            if metric.name in companions:
                continue
            measured = [[network for network in side if metric.of in network.values] for side in sides]
            if all(measured):
                about = (metric.name, analysis.name, label(attribution))
                for row in estimated_contrasts(metric, measured[0], measured[1], cohort):
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
