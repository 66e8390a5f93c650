"""How a diff is said in words: the headline, a line for every kind of thing, the same in every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from ..adjusted import MARK, NOTE, only_alone
from ..wording import absence, class_spoken, clean_label, figure, signed, spoken
from .changes import Change
from .difference import Difference
from .numbers import Number
from .outcomes import Outcome
from .question import Fact

Row = TypeVar("Row")
MEANS = {
    "different": "different",
    "different but negligible": "different but negligible (within the margin)",
    "inconclusive": "inconclusive",
    "equivalent": "equivalent within the margin",
    "no verdict": "without a verdict",
    "level": "the same although cases moved",
    "unchanged": "unchanged, no case moved",
}


def headline(found: Difference) -> str:
    """The whole diff in a sentence."""
    failed = sum(row.outcome == "failed" and row.tier == "blocking" for row in found.gates)
    open_ = sum(row.outcome not in ("passed", "failed") and row.tier == "blocking" for row in found.gates)
    if failed:
        return f"{failed} blocking {'gate' if failed == 1 else 'gates'} failed."
    if open_:
        return f"{open_} blocking {'gate is' if open_ == 1 else 'gates are'} inconclusive or had nothing to evaluate."
    if found.why_not:
        return f"Nothing is paired: {found.why_not}."
    if found.incomplete or found.altered:
        return "The comparison is incomplete."
    if found.empty:
        return f"Nothing changed: {found.unchanged:,} numbers rest on cases of which none moved."
    if found.gates:
        return "All blocking gates passed." if found.changes else "All blocking gates passed, and no number changed."
    return counted(found) if found.changes else "No number changed."


def counted(found: Difference) -> str:
    """How many numbers changed in which way."""
    counts = found.counts()
    parts = [f"{n:,} {MEANS[name]}" for name, n in counts.items()]
    worse = sum(found.better(change) == "worse" for change in found.changes)
    better = sum(found.better(change) == "better" for change in found.changes)
    shown = f" Of the different ones {worse:,} are worse and {better:,} better." if worse or better else ""
    return f"Of {sum(counts.values()):,} paired numbers {', '.join(parts)}.{shown}"


def what(change: Change | Number) -> str:
    """The number that a change is of: metric, maps, class."""
    row = change.row if isinstance(change, Change) else change
    on = f" with {spoken(row.attribution)}" if row.attribution else ""
    return f"{spoken(row.metric)}{on}, {clean_label(class_spoken(row.class_name), 60)}"


def said(change: Change) -> str:
    """A change with its interval, or why there is none."""
    row = change.row
    if row.difference is None:
        return absence(row.missing)
    interval = "no interval" if row.low is None or row.high is None else f"{signed(row.low)} to {signed(row.high)}"
    return f"{signed(row.difference)} ({interval})"


def verdict(found: Difference, change: Change) -> str:
    """The verdict in words, with the direction where there is a better one."""
    words = change.row.verdict or "no verdict"
    direction = found.better(change)
    words = f"{words}, {direction}" if direction else words
    if only_alone(change.row.low, change.row.high, change.row.verdict):
        words += f" {MARK}"
    return f"{words} (primary claim)" if change.row.claim == "primary" else words


def side(number: Number, which: str) -> str:
    """What one audit reports of a number."""
    row = number.old if which == "old" else number.new
    if row is None:
        return "not reported"
    if row.value is None:
        return absence(row.missing)
    return figure(row.value) + (
        f" ({figure(row.low)} to {figure(row.high)})" if row.low is not None and row.high is not None else ""
    )


def fact_line(fact: Fact, limit: int = 160) -> str:
    """A fact with both sides."""
    return f"{fact.name}: {clean_label(fact.old, limit) or 'nothing'} became {clean_label(fact.new, limit) or 'nothing'}"


def outcome_line(outcome: Outcome) -> str:
    """Something concluded otherwise."""
    if {outcome.old, outcome.new} == {"", "said"}:
        return f"{outcome.kind} {'appeared' if outcome.new else 'vanished'}: {outcome.what}"
    return f"{outcome.kind} {outcome.what}: {outcome.old or 'not there'} became {outcome.new or 'not there'}"


def warnings(found: Difference) -> Iterator[str]:
    """All that stands in the way of a clean comparison."""
    if found.why_not:
        yield f"{found.why_not}; numbers are compared as numbers, each with its own interval, and no claim is made"
    yield from found.incomplete
    yield from found.altered
    yield from found.notes


def not_compared(found: Difference) -> str:
    """What stands in the audits and is in no line of the diff."""
    return f"Not compared: {' and '.join(found.not_compared)}."


def marked(found: Difference) -> str:
    """What the mark beside a verdict says, where one stands."""
    rows = [change.row for change in found.changes]
    return f"{MARK} {NOTE}" if any(only_alone(row.low, row.high, row.verdict) for row in rows) else ""


def first(rows: Sequence[Row], most: int) -> tuple[Sequence[Row], str]:
    """So many rows, and how many more there are in words; nothing where these are all.

    >>> first("abc", 2), first("abc", 3)
    (('ab', '1 more'), ('abc', ''))
    """
    return rows[:most], f"{len(rows) - most:,} more" if len(rows) > most else ""


def missing(found: Difference) -> int:
    """How many numbers moved and have no difference."""
    return sum(change.row.difference is None for change in found.changes)
