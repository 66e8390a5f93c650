"""A diff as a comment on a pull request: gates and what changed first, the rest folded, every name harmless.

A name from a data set or a network can hold anything. Its punctuation is written as character references, and it stands inside <code>, where forges look for no mention, link or number of an issue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..wording import clean_label
from . import told
from .difference import Difference

ROWS = 20
FOLDED = 40
PLAIN = frozenset(" ,-+%()")


def markdown(found: Difference, rows: int = ROWS, folded: int = FOLDED) -> str:
    """GitHub-flavoured markdown; at most `rows` changes and `folded` lines of every other kind, the rest is counted."""
    return "\n".join(_lines(found, rows, folded)) + "\n"


def harmless(words: object, limit: int = 80) -> str:
    """Text that stays text in a table of a comment.

    >>> harmless("a|b @someone")
    '<code>a&#124;b &#64;someone</code>'
    """
    return f"<code>{escaped(words, limit)}</code>"


def escaped(words: object, limit: int = 300) -> str:
    """Text in which ASCII punctuation that could mean something stands as character references.

    >>> escaped("**x**, y: 0.5"), escaped("www.x.org")
    ('&#42;&#42;x&#42;&#42;, y: 0.5', 'www&#46;x&#46;org')
    """
    text = clean_label(words, limit)
    return "".join(sign if _plain(sign, text[place + 1 : place + 2]) else f"&#{ord(sign)};" for place, sign in enumerate(text))


def _plain(sign: str, following: str) -> bool:
    """Whether a sign means nothing here; a dot or a colon only where no address can go on after it."""
    if sign in ".:":
        return following in ("", " ") or (sign == "." and following.isdigit())
    return not sign.isascii() or sign.isalnum() or sign in PLAIN


def _lines(found: Difference, rows: int, folded: int) -> Iterator[str]:
    yield "### What changed between two audits"
    yield f"\n**{_bare(told.headline(found))}**"
    old, new = (
        f"{harmless(name)} ({harmless(side.audit['title'])})"
        for name, side in zip(found.names, (found.old, found.new), strict=True)
    )
    yield f"\nOld: {old}. New: {new}. Exit code {int(found.exit_code)}."
    if found.changes and told.counted(found) != told.headline(found):
        yield f"\n{_bare(told.counted(found))}"
    for warning in told.warnings(found):
        yield f"\n> {harmless(warning, 400)}"
    if found.gates:
        yield from _table(
            ("Gate", "Outcome", "Number"),
            [(str(row.gate), f"{row.outcome} ({row.tier})", harmless(row.sentence, 300)) for row in found.gates],
            rows,
        )
    yield from _changes(found, rows)
    yield from _folded("The question", [f"{fact.topic}: {told.fact_line(fact)}" for fact in found.facts], folded)
    yield from _folded("The cases", [cause.says for cause in found.causes], folded)
    yield from _folded("What was concluded", [told.outcome_line(outcome) for outcome in found.outcomes], folded)
    numbers = [
        f"{number.model}: {told.what(number)}: {told.side(number, 'old')} became {told.side(number, 'new')}"
        for number in found.numbers
    ]
    yield from _folded("Not paired, as each audit reports it", numbers, folded)
    if found.not_compared:
        yield f"\n{_bare(told.not_compared(found))}"


def _changes(found: Difference, rows: int) -> Iterator[str]:
    cells = [
        (
            harmless(told.what(change)), harmless(change.who), f"{told.said(change)}", told.verdict(found, change),
            f"{change.row.n_cases:,} ({change.row.n_patients:,})",
        )
        for change in found.estimated
    ]  # fmt: skip
    if cells:
        yield from _table(("Number", "Network", "New minus old (95 % interval)", "Verdict", "Cases (patients)"), cells, rows)
        if told.marked(found):
            yield f"\n{_bare(told.marked(found))}"
        lost = told.missing(found)
        if lost:
            yield f"\n{lost:,} more moved and have no difference that can be estimated."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> Iterator[str]:
    yield f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}"
    shown, more = told.first(rows, most)
    yield from (f"| {' | '.join(row)} |" for row in shown)
    if more:
        yield f"\n{more} rows are not shown here."


def _folded(title: str, lines: Sequence[str], most: int) -> Iterator[str]:
    if lines:
        yield f"\n<details><summary>{title} ({len(lines):,})</summary>\n"
        shown, more = told.first(lines, most)
        yield from (f"- {harmless(one, 300)}" for one in shown)
        if more:
            yield f"- {more} are not shown here"
        yield "\n</details>"


def _bare(sentence: str) -> str:
    """One of our own sentences, which may quote a reason."""
    return escaped(sentence, 400)
