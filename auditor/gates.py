"""What must hold for an audit to pass, declared in audit.yaml: a limit for a number, or for a difference to the reference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from .attribution import label
from .errors import among, listed
from .metric import Metric
from .problems import Problems, show

if TYPE_CHECKING:
    from .analysis import Analysis
    from .attribution import Attribution
    from .config import AuditConfig, Judging

Claim = Literal["noninferior", "not_shown_worse", "at_least", "at_most"]
CLAIMS: tuple[Claim, ...] = get_args(Claim)
OF_CONTRASTS: tuple[Claim, ...] = ("noninferior", "not_shown_worse")
LEVELS: Mapping[str, Claim] = {"higher": "at_least", "lower": "at_most"}
PSEUDO_CLASSES = ("(macro)", "(head)", "(medium)", "(tail)", "(image)", "(model)")

Name = Annotated[str, Field(min_length=1)]


def _what_goes_with_a_claim(schema: dict[str, Any]) -> None:
    """For editors: `margin` belongs to noninferior, `value` to at_least and at_most, which cannot do without it."""
    for option, claims in {"margin": ["noninferior"], "value": list(LEVELS.values())}.items():
        with_it: dict[str, Any] = {"required": [option]} if option == "value" else {}
        schema.setdefault("allOf", []).append(
            {"if": {"properties": {"claim": {"enum": claims}}}, "then": with_it, "else": {"properties": {option: False}}}
        )


class Gate(BaseModel):
    """One demand on one metric. Which direction is better is the metric's own; without `class` it is about the overall number,
    without `strategy` about every strategy but the reference, without `attribution` about the maps of every method.

    `noninferior`: the interval of strategy minus reference shows that it is not worse by more than `margin`.
    `not_shown_worse`: that interval does not show it to be worse, which is less than to show that it is as good.
    `at_least`, `at_most`: the interval of each network shows that its number reaches `value`.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra=_what_goes_with_a_claim,
    )

    metric: Name
    """A metric that this audit measures."""
    claim: Claim
    """What its interval must show."""
    strategy: Name | None = None
    """Only this strategy; every one but the reference unless given."""
    class_name: Name | None = Field(default=None, alias="class")
    """Only this class, or a pseudo class such as (tail); the overall number unless given."""
    attribution: Name | None = None
    """Only maps of this method; all unless given."""
    margin: Annotated[float, Field(gt=0)] | None = None
    """For noninferior: how much worse is still good enough; that of the claims unless given."""
    value: float | None = None
    """For at_least and at_most: the limit."""
    tier: Literal["blocking", "advisory"] = "blocking"
    """A blocking gate decides the exit code, an advisory one is only told."""

    @property
    def contrasts(self) -> bool:
        """Whether it is about a difference to the reference rather than about the numbers themselves."""
        return self.claim in OF_CONTRASTS

    def with_margin(self, margins: Mapping[str, float]) -> Gate:
        """The same with the margin that it takes from the claims where it has none of its own."""
        if self.claim != "noninferior" or self.margin is not None:
            return self
        return self.model_copy(update={"margin": margins[self.metric]})

    def written(self) -> dict[str, Any]:
        """The gate as audit.yaml would say it in full."""
        return self.model_dump(by_alias=True, exclude_none=True)


def scope(data_key: str) -> str:
    """What the ledger keeps the gates under with which these data were first measured."""
    return f"gates {data_key}"


def text(gates: Sequence[Gate]) -> str:
    """The same text for the same gates, in whatever order they are written."""
    return json.dumps(sorted(json.dumps(gate.written(), sort_keys=True) for gate in gates))


class Measured(NamedTuple):
    """What a gate can be about. `maps` names, for every metric that is measured on maps, the attributions they come from;
    `classes` are those of the data set, None where they are not known yet."""

    metrics: Mapping[str, Metric]
    maps: Mapping[str, Sequence[str]]
    strategies: Sequence[str]
    reference: str
    classes: Sequence[str] | None


def measured(
    analyses: Iterable[Analysis],
    attributions: Iterable[Attribution],
    strategies: Sequence[str],
    reference: str,
    classes: Sequence[str] | None,
) -> Measured:
    """What a gate can be about in an audit that is not run yet."""
    names = [str(label(attribution)) for attribution in attributions]
    metrics = {metric.name: (metric, "attribution" in analysis.needs) for analysis in analyses for metric in analysis.metrics}
    maps = {name: names for name, (_, on_maps) in metrics.items() if on_maps}
    return Measured({name: metric for name, (metric, _) in metrics.items()}, maps, strategies, reference, classes)


class Mistake(NamedTuple):
    """What is wrong with a gate at one of its keys ("" for the gate as a whole); `key`: the key itself is, not its value."""

    at: str
    message: str
    key: bool = False


def check(config: AuditConfig | Judging, about: Measured, problems: Problems) -> None:
    """Every gate is about something that this audit measures, and says all that its claim needs and nothing else."""
    for number, gate in enumerate(config.gates):
        for at, message, key in _mistakes(gate, config.claims.margins(), about):
            path = f"gates[{number}]{'.' if at else ''}{at}"
            problems.add(f"{(config.key_place if key else config.place)(path)}: {message}")


def _mistakes(gate: Gate, margins: Mapping[str, float], about: Measured) -> Iterator[Mistake]:
    metric = about.metrics.get(gate.metric)
    directed = [name for name, one in about.metrics.items() if one.better != "neither" and not one.repeats]
    if metric is None or metric.name not in directed:
        why = (
            ""
            if metric is None
            else f", which only repeats {metric.repeats}"
            if metric.repeats
            else ", of which neither direction is better"
        )
        names = among(gate.metric, directed) if metric is None else listed(gate.metric, directed)
        allowed = f"a metric of which one direction is better: {names}"
        yield Mistake("metric", f"found {show(gate.metric)}{why}; allowed: {allowed}")
    else:
        yield from _of_claim(gate, metric)
        yield from _of_margin(gate, metric, margins)
        yield from _of_value(gate, metric)
        yield from _of_attribution(gate, about)
    yield from _of_strategy(gate, about)
    classes = [*PSEUDO_CLASSES, *(about.classes or ())]
    if gate.class_name is not None and about.classes is not None and gate.class_name not in classes:
        yield Mistake("class", f"found {show(gate.class_name)}; allowed: {among(gate.class_name, classes)}")


def _of_claim(gate: Gate, metric: Metric) -> Iterator[Mistake]:
    contrasted = metric.statistic not in ("none", "elsewhere", "others", "specificity")
    allowed = [*(OF_CONTRASTS if contrasted else ()), LEVELS[metric.better]]
    if gate.claim not in allowed:
        what = f"{metric.name}, of which {metric.better} is better{'' if contrasted else ' and which is not contrasted'}"
        yield Mistake("claim", f"found {show(gate.claim)}; allowed for {what}: {', '.join(allowed)}")


def _of_margin(gate: Gate, metric: Metric, margins: Mapping[str, float]) -> Iterator[Mistake]:
    if gate.claim != "noninferior":
        if gate.margin is not None:
            yield Mistake("margin", f"found with {gate.claim}; allowed: with noninferior only", key=True)
        return
    margin = margins.get(metric.name) if gate.margin is None else gate.margin
    if margin is None:
        yield Mistake("margin", f"is missing; allowed: a number above 0, here or as claims.margin.{metric.name}")
    elif metric.low is not None and metric.high is not None and margin >= (span := metric.high - metric.low):
        yield Mistake("margin", f"found {margin:g}; allowed: less than {span:g}, the whole range of {metric.name}")


def _of_value(gate: Gate, metric: Metric) -> Iterator[Mistake]:
    levels = tuple(LEVELS.values())
    if gate.claim not in levels:
        if gate.value is not None:
            yield Mistake("value", f"found with {gate.claim}; allowed: with {' and '.join(levels)} only", key=True)
        return
    low, high = metric.low, metric.high
    if gate.value is None:
        yield Mistake("value", f"is missing; allowed: {_range(low, high)}, as {metric.name} is")
    elif (low is not None and gate.value < low) or (high is not None and gate.value > high):
        yield Mistake("value", f"found {gate.value:g}; allowed: {_range(low, high)}, as {metric.name} is")


def _range(low: float | None, high: float | None) -> str:
    ends = [f"{word} {end:g}" for word, end in (("from", low), ("to", high)) if end is not None]
    return " ".join(["a number", *ends])


def _of_strategy(gate: Gate, about: Measured) -> Iterator[Mistake]:
    others = [name for name in about.strategies if name != about.reference]
    allowed = others if gate.contrasts else list(about.strategies)
    if gate.strategy is None and not others:
        way = "" if gate.contrasts else f"; allowed: strategy: {about.reference}"
        yield Mistake("", f"found no strategy beside the reference {about.reference}{way}")
    elif gate.strategy is not None and gate.strategy not in allowed:
        what = ", the reference itself" if gate.strategy == about.reference else ""
        names = ", ".join(allowed) if what else among(gate.strategy, allowed)
        yield Mistake("strategy", f"found {show(gate.strategy)}{what}; allowed: {names or 'none here'}")


def _of_attribution(gate: Gate, about: Measured) -> Iterator[Mistake]:
    if gate.attribution is None:
        return
    names = about.maps.get(gate.metric)
    if names is None:
        yield Mistake("attribution", f"found with {gate.metric}, which is not measured on maps; allowed: nothing", key=True)
    elif gate.attribution not in names:
        yield Mistake("attribution", f"found {show(gate.attribution)}; allowed: {among(gate.attribution, names)}")
