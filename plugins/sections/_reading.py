"""How the sections read the evidence: names for readers, order of classes and models, chance levels, where a metric belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from auditor import Evidence
from auditor.drawing import figure, how_many
from auditor.wording import WHOLES as WHOLES
from auditor.wording import class_title as class_title
from auditor.wording import title as title

if TYPE_CHECKING:
    from auditor.statistics.rows import Summary

OVER_CLASSES = ("(macro)", "(head)", "(medium)", "(tail)")
"""Pseudo classes whose n counts classes."""
COUNTED = ("channels", "units")
"""Units of metrics that are whole numbers."""
BLIND = "(blind)"
"""The strategy of rows that belong to no network: maps that never saw the image."""
SHORTCUTS = ("shortcuts", "shortcut_maps")
"""Analyses of what is no finding: their own section shows both, maps or not."""
CONCEPTS = ("concept", "dissect", "channel", "unit", "active", "detector")


def strategies(evidence: Evidence) -> list[str]:
    """All strategies, the reference first, then as audit.yaml lists them; a strategy's place is its colour everywhere."""
    named = [str(model["strategy"]) for model in evidence.models]
    named += [row.strategy for row in evidence.comparisons]
    named += [row.strategy for row in evidence.summaries if row.strategy != BLIND]
    reference = evidence.audit.get("reference")
    first = [str(reference)] if reference in named else named[:1]
    return list(dict.fromkeys([*first, *named]))


def ordered_models(evidence: Evidence) -> list[Mapping[str, Any]]:
    """The models by strategy, then in their given order."""
    order = strategies(evidence)
    return sorted(evidence.models, key=lambda model: order.index(str(model["strategy"])))


def model_titles(evidence: Evidence) -> dict[str, str]:
    """{model id: what tells it from the others of its strategy}: the seed, and the architecture where there are several."""
    families = {model.get("family") for model in evidence.models}
    return {
        str(model["id"]): f"{model.get('family')}, seed {model.get('seed', '?')}"
        if len(families) > 1
        else f"seed {model.get('seed', '?')}"
        for model in evidence.models
    }


def ordered_classes(evidence: Evidence, found: Iterable[str]) -> list[str]:
    """Pseudo classes first, then the classes in the data set's order, then whatever else was found."""
    present = dict.fromkeys(found)
    known = [*WHOLES, *evidence.dataset.get("classes", ())]
    return [name for name in dict.fromkeys([*known, *present]) if name in present]


def home(evidence: Evidence, analysis: str) -> str:
    """The section in which the numbers of an analysis are shown."""
    if analysis in SHORTCUTS:
        return "shortcuts"
    rows = evidence.select(analysis=analysis)
    if any(row.metric in ("auroc_change", "map_agreement") or row.metric.startswith("read_out_") for row in rows):
        return "robustness"
    if any(row.attribution for row in rows):
        return "where_it_looks"
    declared = [evidence.metrics.get(row.metric, {}) for row in rows]
    if any(metric.get("statistic") == "asymmetry" for metric in declared):
        return "logit_shift"
    if any(row.analysis == analysis for row in evidence.profiles):
        return "embeddings"
    if any(metric.get("statistic") == "ece" for metric in declared):
        return "calibration"
    if any(metric.get("statistic") == "sensitivity" for metric in declared):
        return "outcomes"
    if any(metric.get("statistic") in ("auroc", "average_precision") for metric in declared):
        return "discrimination"
    return "concepts" if any(word in analysis for word in CONCEPTS) else "other"


def analyses(evidence: Evidence, section: str) -> list[str]:
    """The analyses whose numbers a section shows, as first met."""
    return [name for name in dict.fromkeys(row.analysis for row in evidence.summaries) if home(evidence, name) == section]


def metric_names(evidence: Evidence, analysis: str, attribution: str | None) -> list[str]:
    """Its metrics in the order they were measured; those that are the chance level of another, or repeat it, are told
    beside it."""
    measured = dict.fromkeys(
        row.metric for row in evidence.summaries if row.analysis == analysis and row.attribution == attribution
    )
    companions = {chance_metric(evidence, name) for name in measured}
    repeats = {name for name, metric in evidence.metrics.items() if metric.get("repeats")}
    return [name for name in measured if name not in companions | repeats]


def chance_metric(evidence: Evidence, name: str) -> str | None:
    """The metric that measures what chance would give, where there is one: declared as `chance`, or called so."""
    declared = str(evidence.metrics.get(name, {}).get("chance") or "")
    candidates = (declared, f"{name}_chance", f"chance_{name}", f"{name}_by_chance")
    return next((found for found in candidates if found != name and found in evidence.metrics), None)


class Chance:
    """The chance level of a number: measured beside it, a constant, or the prevalence of its class."""

    def __init__(self, evidence: Evidence, metric: str) -> None:
        self.words = str(evidence.metrics.get(metric, {}).get("chance") or "")
        beside = chance_metric(evidence, metric)
        rows = [row for row in evidence.summaries if row.metric == beside] if beside else []
        self._measured = {(row.model, row.attribution, row.class_name): row.value for row in rows}
        try:
            self.constant: float | None = float(self.words)
        except ValueError:
            self.constant = None
        self._prevalence = prevalence(evidence) if self.words == "prevalence" else {}
        self.varies = bool(self._measured or self._prevalence)

    def of(self, model: str, attribution: str | None, class_name: str) -> float | None:
        """The level for one model and class; None where chance is not known as a number."""
        for place in ((model, attribution, class_name), (model, None, class_name)):
            if place in self._measured:
                return self._measured[place]
        return self._prevalence.get(class_name, self.constant)


def prevalence(evidence: Evidence) -> dict[str, float]:
    """{class: positives / known labels}, and their mean over the classes that have both labels."""
    shares: dict[str, float] = {}
    for name, count in (evidence.dataset.get("counts") or {}).items():
        positive, negative = count.get("positive") or 0, count.get("negative") or 0
        if positive and negative:
            shares[name] = positive / (positive + negative)
    return {**shares, "(macro)": sum(shares.values()) / len(shares)} if shares else {}


def reading(metric: Mapping[str, Any]) -> str:
    """Direction, unit, bounds and chance level of a metric in one line."""
    better = {"higher": "higher is better", "lower": "lower is better"}.get(
        str(metric.get("better")), "no direction is better in itself"
    )
    return " · ".join(part for part in (better, bounds(metric), chance_words(metric)) if part)


def bounds(metric: Mapping[str, Any]) -> str:
    """`0 to 1, log-odds`, as far as declared."""
    low, high, unit = metric.get("low"), metric.get("high"), metric.get("unit")
    words = {
        (False, False): f"{figure_or_int(low)} to {figure_or_int(high)}",
        (False, True): f"from {figure_or_int(low)} up",
        (True, False): f"up to {figure_or_int(high)}",
        (True, True): "unbounded",
    }[(low is None, high is None)]
    return f"{words}, {unit}" if unit else words


def counted(evidence: Evidence, row: Summary) -> Summary:
    """A number of channels or units without decimals; every other number as it is."""
    if evidence.metrics.get(row.metric, {}).get("unit") not in COUNTED:
        return row
    ends = {name: value for name in ("value", "low", "high") if (value := getattr(row, name)) is not None}
    whole: dict[str, Any] = {name: int(value) for name, value in ends.items() if float(value).is_integer()}
    return replace(row, **whole)


def chance_words(metric: Mapping[str, Any]) -> str:
    """The declared chance level in words."""
    said = str(metric.get("chance") or "")
    if not said:
        return "chance level not declared"
    return f"chance level {title(said).lower() if '_' in said else said}"


def figure_or_int(value: float | None) -> str:
    """A bound without needless decimals."""
    if value is None:
        return ""
    return figure(int(value)) if float(value).is_integer() else figure(value)


def plain(value: Any) -> str:
    """An option or a fact as text; what is not set says so.

    >>> plain(None), plain([1, 2]), plain(True), plain(())
    ('not set', '1, 2', 'yes', 'not set')
    """
    if value is None or value == "" or (isinstance(value, list | tuple | Mapping) and not value):
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(plain(item) for item in value) if isinstance(value, list | tuple) else str(value)


def spread(numbers: Sequence[int], noun: str = "") -> str:
    """`48`, or `46 to 48` where models differ; with a noun `48 classes`."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    most = how_many(high, noun) if noun else figure(high)
    return most if low == high else f"{figure(low)} to {most}"
