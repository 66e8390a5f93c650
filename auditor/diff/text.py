"""A diff for the terminal: the headline, then what changed, at most so many lines of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..gated import line
from ..wording import clean_label, how_many, visible
from . import told
from .difference import Difference

ROWS = 30


def text(found: Difference, rows: int = ROWS) -> str:
    """Plain lines; what is cut is counted, and `--format json` holds it all."""
    return "\n".join(_lines(found, rows)) + "\n"


def _lines(found: Difference, rows: int) -> Iterator[str]:
    yield told.headline(found)
    if found.changes and told.counted(found) != told.headline(found):
        yield told.counted(found)
    if not found.empty:
        yield f"old: {clean_label(found.names[0])}; new: {clean_label(found.names[1])}"
    for row in found.gates:
        yield visible(line(row), keep="")
    yield from (f"note: {clean_label(warning, 400)}" for warning in told.warnings(found))
    yield from _part("The question", [f"{fact.topic}: {told.fact_line(fact)}" for fact in found.facts], rows)
    yield from _part("The cases", [cause.says for cause in found.causes], rows)
    yield from _part("What changed, new minus old with 95 % interval", _changes(found), rows)
    numbers = [
        f"{number.model}: {told.what(number)}: {told.side(number, 'old')} became {told.side(number, 'new')}"
        for number in found.numbers
    ]
    yield from _part("Not paired, as each audit reports it", numbers, rows)
    yield from _part("What was concluded", [told.outcome_line(outcome) for outcome in found.outcomes], rows)
    if told.marked(found):
        yield f"\n{told.marked(found)}"
    if found.not_compared:
        yield f"\n{told.not_compared(found)}"


def _changes(found: Difference) -> list[str]:
    return [
        f"{told.verdict(found, change)}: {told.what(change)}, {change.who}: {told.said(change)}, "
        f"n {change.row.n_cases:,} ({how_many(change.row.n_patients, 'patient')})"
        + (f" [{change.row.note}]" if change.row.note else "")
        for change in found.changes
    ]


def _part(title: str, lines: Sequence[str], rows: int) -> Iterator[str]:
    if lines:
        yield f"\n{title}"
        shown, more = told.first(lines, rows)
        yield from (f"  {clean_label(one, 300)}" for one in shown)
        if more:
            yield f"  and {more}; --format json holds all"
