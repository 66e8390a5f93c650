"""Every metric that audit.yaml asks for by group: levels, differences, differences between strategies, and what may be said of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .analysis import Analysis
from .attribution import Attribution
from .contrasts import pairings
from .findings import Finding
from .groups import Groups, asked, groups
from .metric import Metric
from .plan import Plan, PlannedModel, label
from .statistics import subgroups as statistics
from .statistics.columns import Columns
from .statistics.effect import Effect
from .statistics.estimates import handles, measured
from .statistics.influence import Integers
from .statistics.multiplicity import holm
from .statistics.rows import MACRO, Cohort
from .statistics.subgroups import ByClass, Made, SubgroupRow
from .statistics.verdict import smallest_margin, verdict
from .wording import how_many, p_said, signed, spoken

OTHERS = "all others"
Row = tuple[SubgroupRow, Effect | None]
Used = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Told:
    """One metric of one analysis by one attribute: the samples of each group and of its counterpart."""

    groups: Groups
    metric: Metric
    analysis: str
    attribution: str | None
    inside: tuple[Integers, ...]
    outside: tuple[Integers, ...]
    cohort: Cohort

    def name(self, place: int) -> dict[str, Any]:
        return {"by": self.groups.by, "group": self.groups.names[place], "metric": self.metric.name,
                "analysis": self.analysis, "attribution": self.attribution}  # fmt: skip

    @property
    def contrasted(self) -> Sequence[tuple[int, str]]:
        """(group, what it is held against): two groups against each other once, several each against all others."""
        names = self.groups.names
        return [(0, names[1])] if len(names) == 2 else [(place, OTHERS) for place in range(len(names))]


def gather(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, columns: dict[str, Columns], cohort: Cohort, used: Used
) -> Iterator[Row]:
    """Rows without verdicts, with the effects that `decide` makes them from; nothing where audit.yaml declares no subgroups."""
    for grouping in plan.config.subgroups:
        wanted = asked(grouping, plan.config.claims.primary, plan.metrics())
        found = groups(grouping, plan.samples)
        for metric in (metric for metric in analysis.metrics if metric.name in wanted):
            kept = {model: network for model, network in columns.items() if _is_there(metric, network)}
            inside = tuple(np.flatnonzero(used & (found.code == place)) for place in range(len(found.names)))
            outside = tuple(np.flatnonzero(used & (found.code >= 0) & (found.code != place)) for place in range(len(inside)))
            told = _Told(found, metric, analysis.name, label(attribution), inside, outside, cohort)
            yield from _levels(plan, told, kept)
            yield from _between_strategies(plan, told, kept)


def _is_there(metric: Metric, network: Columns) -> bool:
    return measured(metric, network) if handles(metric) else (metric.of or metric.name) in network.values


def _levels(plan: Plan, told: _Told, columns: dict[str, Columns]) -> Iterator[Row]:
    """Levels and differences of every strategy, architecture by architecture."""
    sides: dict[tuple[str, str], list[PlannedModel]] = {}
    for model in plan.models:
        sides.setdefault((model.family, model.loader.strategy), []).append(model)
    for (family, strategy), models in sides.items():
        networks = [columns[model.id] for model in models if model.id in columns]
        if not networks:
            continue
        about = {"family": family, "strategy": strategy, "reference": None}
        cases = statistics.shared_cases(told.metric, networks, told.cohort)
        inside, outside = (_by_group(told, networks, cases, side) for side in (told.inside, told.outside))
        for place, found in enumerate(inside):
            made = statistics.levels(told.metric, found, told.cohort, _positives(told, cases, told.inside[place]))
            for one in made:
                bounds = told.metric.low, told.metric.high
                yield SubgroupRow(**told.name(place), against=None, **about, **one.fields(bounds)), None  # type: ignore[arg-type]
        for place, against in told.contrasted:
            yield from _rows(told, place, against, about, statistics.differences(inside[place], outside[place], told.cohort))


def _between_strategies(plan: Plan, told: _Told, columns: dict[str, Columns]) -> Iterator[Row]:
    """Whether a strategy and the reference differ in how a group differs from the others."""
    for family, strategy, mine, base in pairings(plan.models, plan.config.reference):
        sides = [[columns[model.id] for model in side if model.id in columns] for side in (mine, base)]
        if not all(sides):
            continue
        about = {"family": family, "strategy": strategy, "reference": plan.config.reference}
        about["about"] = "strategies" if min(len(side) for side in sides) > 1 else "networks"
        cases = statistics.shared_cases(told.metric, [*sides[0], *sides[1]], told.cohort)
        found = [[_by_group(told, side, cases, which) for which in (told.inside, told.outside)] for side in sides]
        for place, against in told.contrasted:
            both = [(side[0][place], side[1][place]) for side in found]
            yield from _rows(told, place, against, about, statistics.between_strategies(both[0], both[1], told.cohort))


def _rows(told: _Told, place: int, against: str, about: dict[str, Any], made: Sequence[Made]) -> Iterator[Row]:
    for one in made:
        yield SubgroupRow(**told.name(place), against=against, **about, **one.fields()), one.effect


def _by_group(told: _Told, networks: list[Columns], cases: Integers, which: Sequence[Integers]) -> list[ByClass]:
    return [statistics.by_class(told.metric, networks, told.cohort, cases, group) for group in which]


def _positives(told: _Told, cases: Integers, group: Integers) -> dict[int, int | None]:
    target, sample = np.divmod(cases, len(told.cohort.patients))
    inside = np.isin(sample, group)
    ranked = told.metric.statistic in statistics.RANKED
    return {
        number: int((told.cohort.labels[sample[inside & (target == number)], number] == 1).sum()) if ranked else None
        for number in range(len(told.cohort.classes))
    }


def decide(plan: Plan, rows: Sequence[Row]) -> list[SubgroupRow]:
    """The same rows in the same order with p-values adjusted by Holm, margins and verdicts.

    Declared claims are one family; everything else a family per attribute, metric and method, marked as exploratory.
    """
    declared = {(grouping.by, name) for grouping in plan.config.subgroups for name in grouping.primary}
    margins = plan.config.claims.margins()
    families: dict[tuple[Any, ...], list[int]] = {}
    for number, (row, effect) in enumerate(rows):
        if effect is not None:
            is_claim = (row.by, row.metric) in declared and row.class_name == MACRO
            family = ("primary",) if is_claim else ("exploratory", row.by, row.metric, row.analysis, row.attribution)
            families.setdefault(family, []).append(number)
    decided = [row for row, _ in rows]
    for (claim, *_), members in families.items():
        effects = [effect for number in members if (effect := rows[number][1]) is not None]
        for number, effect, p in zip(members, effects, holm(np.array([one.p for one in effects])).tolist(), strict=True):
            margin = margins.get(decided[number].metric)
            decided[number] = replace(
                decided[number], p=effect.p, p_adjusted=p, claim=claim, margin=margin, smallest_margin=smallest_margin(effect),
                verdict=verdict(effect, p, margin),
            )  # fmt: skip
    return decided


def told(plan: Plan, used: Used, afterwards: bool) -> list[dict[str, Any]]:
    """What each attribute splits the used images into; an image whose group is not known is counted, and in no group.

    `afterwards`: what is declared was written or changed after the data had been measured.
    """
    patients = np.array([sample.patient for sample in plan.samples])
    found = []
    for grouping in plan.config.subgroups:
        split = groups(grouping, plan.samples)
        counts = [
            {"group": name, "images": int(inside.sum()), "patients": len(np.unique(patients[inside]))}
            for place, name in enumerate(split.names)
            for inside in [used & (split.code == place)]
        ]
        metrics = asked(grouping, plan.config.claims.primary, plan.metrics())
        found.append(
            {
                "by": grouping.by,
                "bands": list(grouping.bands),
                "groups": counts,
                "unknown": int((used & (split.code < 0)).sum()),
                "metrics": metrics,
                "primary": list(grouping.primary),
                "afterwards": afterwards,
            }
        )
    return found


def scope(data_key: str) -> str:
    """What the ledger keeps the subgroups under with which these data were first measured."""
    return f"subgroups {data_key}"


def text(plan: Plan) -> str:
    """The same text for the same declared claims, in whatever order they are written; what is exploratory claims nothing."""
    declared = [[one.by, list(one.bands), sorted(one.primary)] for one in plan.config.subgroups if one.primary]
    return json.dumps(sorted(declared))


def findings(rows: Sequence[SubgroupRow], afterwards: bool) -> list[Finding]:
    """A sentence for every declared claim: what differs by group comes first, then what could not be told apart.

    `afterwards`: the subgroups were written or changed after the data had been measured, which every sentence then says.
    """
    claimed = [row for row in rows if row.claim == "primary"]
    differ = [row for row in claimed if (row.verdict or "").startswith("different")]
    rest = [row for row in claimed if row not in differ]
    return [
        *(Finding("result", _sentence(row, afterwards), row.metric, row.strategy, row.class_name) for row in differ),
        *(Finding("note", _sentence(row, afterwards), row.metric, row.strategy, row.class_name) for row in rest),
    ]


def _sentence(row: SubgroupRow, afterwards: bool) -> str:
    assert row.value is not None and row.low is not None and row.high is not None
    what = f"{spoken(row.metric)}{f' with {spoken(row.attribution)}' if row.attribution else ''}, mean over the classes"
    sides = f"{row.by} {row.group} and {row.against}"
    numbers = (
        f"{signed(row.value)} (95 % interval {signed(row.low)} to {signed(row.high)}; {how_many(row.n_cases, 'case')} of {how_many(row.n_patients, 'patient')}"
        f"; {'declared after the data had been measured' if afterwards else 'declared beforehand'}, {p_said(row.p_adjusted or 0.0)} adjusted by Holm)"
    )
    if row.reference is not None:
        head = {
            "different": "differ",
            "different but negligible": "differ by less than the margin",
            "equivalent": "do not differ by more than the margin",
        }
        said = head.get(row.verdict or "", "cannot be told apart")
        return f"{row.strategy} and {row.reference} {said} in how {sides} compare in {what}: {numbers}."
    head = {
        "different": "differ",
        "different but negligible": "differ, but by less than the margin,",
        "equivalent": "are equivalent within the margin",
    }
    return f"By {row.by}: {row.group} and {row.against} {head.get(row.verdict or '', 'cannot be told apart')} in {what} under {row.strategy}: {numbers}."
