"""What the evidence says of one strategy at a time: its numbers over its networks, and how they stand against the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from auditor import Evidence
from auditor.drawing import clean_label, figure, how_many, signed

from ._reading import strategies
from ._verdicts import NO_VERDICT, joint

OVERALL = "(macro)"
NOT_ASKED = "not asked"
TOO_FEW = "too few patients to tell"


class Cell(NamedTuple):
    """A word, the number behind it, and how it compares with the reference; `tone` is good, bad or open."""

    word: str
    number: str = ""
    versus: str = ""
    tone: str = "open"


class Row(NamedTuple):
    """The networks of one strategy and one architecture."""

    strategy: str
    family: str
    models: tuple[str, ...]
    reference: bool


def strategy_rows(evidence: Evidence) -> list[Row]:
    order = strategies(evidence)
    found: dict[tuple[str, str], list[str]] = {}
    for model in evidence.models:
        found.setdefault((str(model["strategy"]), str(model.get("family") or "")), []).append(str(model["id"]))
    ranked = sorted(found.items(), key=lambda item: (item[0][1], order.index(item[0][0])))
    return [Row(name, family, tuple(models), name == order[0]) for (name, family), models in ranked]


def over_classes(evidence: Evidence, row: Row, metric: str, attribution: str | None = None) -> list[Any]:
    """The means over the classes of a metric, one for each network of the row that has a row for it."""
    return [
        s
        for s in evidence.select(metric, class_name=OVERALL)
        if s.model in row.models and s.attribution == attribution and s.strategy == row.strategy
    ]


def first_attribution(evidence: Evidence, metric: str) -> str | None:
    """The first explanation method that has numbers of a metric."""
    return next((s.attribution for s in evidence.select(metric) if s.attribution), None)


def few(levels: Sequence[Any]) -> bool:
    """Whether these numbers rest on too few patients to answer a question with."""
    return any(str(level.note or "").endswith("interval not reliable") for level in levels)


def without_number(evidence: Evidence, levels: Sequence[Any], metric: str) -> Cell | None:
    """The cell of a number that was not asked for or cannot be had; None where at least every network has it."""
    lacking = next((level for level in levels if level.value is None), None)
    if levels and lacking is None:
        return None
    if lacking is not None:
        return Cell("not estimable", str(lacking.missing))
    asked = metric in evidence.metrics
    return Cell("not estimable", "see Gaps and exclusions") if asked else Cell(NOT_ASKED)


def contrasted(evidence: Evidence, row: Row, metric: str, attribution: str | None = None) -> Cell:
    """The verdict on the difference to the reference, with the difference and its interval."""
    rows = [
        c
        for c in evidence.contrasts(metric, class_name=OVERALL)
        if c.attribution == attribution and c.strategy == row.strategy and _is_of(row, c.family)
    ]
    if row.reference or not rows:
        return Cell("the reference" if row.reference else "not contrasted")
    found = rows[0]
    if found.difference is None:
        return Cell("not estimable", str(found.missing))
    low, high = joint(found)
    interval = f" ({signed(low)} to {signed(high)})" if low is not None and high is not None else ""
    word, tone = _verdict(str(found.verdict or NO_VERDICT), found.difference, evidence.metrics.get(metric, {}).get("better"))
    size = f"vs {clean_label(found.reference, 40)} {signed(found.difference)}{interval}"
    return Cell(word, size, f"{size}, {word}", tone)


def _is_of(row: Row, family: str) -> bool:
    """Whether a contrast's architecture, or its first where it crosses two, is the row's."""
    return family == row.family or family.startswith(f"{row.strategy}: {row.family} / ")


def _verdict(verdict: str, difference: float, better: Any) -> tuple[str, str]:
    if verdict == "different":
        up = (difference > 0) == (better == "higher")
        return ("better", "good") if up else ("worse", "bad")
    return {
        "equivalent": ("as good", "good"),
        "different but negligible": ("negligibly different", "good"),
        "inconclusive": ("cannot tell", "open"),
    }.get(verdict, (TOO_FEW, "open"))


def findings_that(
    evidence: Evidence, row: Row, metric: str, attribution: str | None, unlike: Callable[[Any], bool]
) -> list[str]:
    """The single findings for which most networks of the row answer so, of those that have a reliable interval."""
    found = [
        s
        for s in evidence.select(metric)
        if s.model in row.models and s.attribution == attribution and not s.class_name.startswith("(")
        and s.low is not None and s.high is not None and s.note is None
    ]  # fmt: skip
    return [
        name
        for name in evidence.dataset.get("classes", ())
        if (of := [unlike(level) for level in found if level.class_name == name]) and 2 * sum(of) > len(of)
    ]


def below(level: Any) -> bool:
    """Whether an interval lies below 0."""
    return level.high is not None and level.high < 0


def above(level: Any) -> bool:
    """Whether an interval lies above 0."""
    return level.low is not None and level.low > 0


def beyond(low: float | None, chance: float | None) -> bool:
    """Whether an interval lies above what chance would show."""
    return low is not None and low > (chance or 0.0)


def in_figures(levels: Sequence[Any], show: Callable[[float], str] = figure) -> str:
    """The number of one network with its interval; of several, from the lowest to the highest."""
    if len(levels) > 1:
        return f"{_span([level.value for level in levels], show)}, {how_many(len(levels), 'network')}"
    (level,) = levels
    return show(level.value) + (f" ({show(level.low)} to {show(level.high)})" if level.low is not None else "")


def _span(values: Sequence[float], show: Callable[[float], str] = figure) -> str:
    ends = list(dict.fromkeys((show(min(values)), show(max(values)))))
    return " to ".join(ends)


def listed(names: Sequence[str], most: int = 3) -> str:
    """The names, or the first of them and how many more."""
    return ", ".join(names[:most]) + (f" and {figure(len(names) - most)} more" if len(names) > most else "")
