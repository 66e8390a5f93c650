"""What paper leaves to the HTML: the PDF says under every heading what more of it stands in report.html."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROWS = 200
"""Longer tables take WeasyPrint minutes."""
MARK = "data-paper"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
NAMED = 3
"""Tables that are named one by one; of more, their number."""


class Left(NamedTuple):
    """Something left out: what kind of thing it is, what it is called, how many of it."""

    kind: str
    name: str = ""
    number: int = 1


def shorten(page: Element) -> None:
    """Take out what is marked `data-paper="skip"`, then table rows beyond the first 200, and say so in each place.

    All that is left out under a heading shares a note at the end of its part. `page` is changed in place.
    """
    _leave_out(page)
    above = {child: parent for parent in page.iter() for child in parent}
    for table in list(page.iter("table")):
        _cut(table, above[table])


def _leave_out(parent: Element) -> list[Left]:
    """Do it below `parent`; a table and the frame that it scrolls in hand what they lost to the text around them."""
    left: list[Left] = []
    for child in list(parent):
        if child.tag in HEADINGS:
            _tell(left, parent, before=child)
            left = []
        if child.get(MARK) == "skip":
            left += _described(child)
            _remove(child, parent)
        else:
            left += _leave_out(child)
    if parent.tag in ("table", "tbody") or "scroll" in (parent.get("class") or "").split():
        return left
    _tell(left, parent)
    return []


def _remove(child: Element, parent: Element) -> None:
    place = list(parent).index(child)
    if child.tail and child.tail.strip():
        if place:
            parent[place - 1].tail = (parent[place - 1].tail or "") + child.tail
        else:
            parent.text = (parent.text or "") + child.tail
    parent.remove(child)


def _described(left: Element) -> list[Left]:
    table = left if left.tag == "table" else left.find(".//table")
    if left.tag == "tr":
        return [Left("row")]
    if table is not None:
        rows = len(table.findall("./tbody/tr"))
        return [Left("table", f"{_words(table.find('./caption/b')) or 'a table'} ({_counted(rows, 'row')})")]
    if left.tag == "figure":
        return [Left("picture" if left.get("class") == "case" else "chart")]
    return [] if left.get("class") == "note" else [Left(left.get("class") or "paragraph")]


def _tell(left: Sequence[Left], parent: Element, before: Element | None = None) -> None:
    """`Only in report.html: 1 chart; 6 rows; Brier score by network (10 rows).`"""
    if not left:
        return
    counts = Counter(item.kind for item in left)
    names = [item.name for item in left if item.kind == "table"]
    told = [_counted(number, kind) for kind, number in counts.items() if kind != "table"]
    told += names if len(names) <= NAMED else [_counted(len(names), "table")]
    note = _note(parent, f"Only in report.html: {'; '.join(told)}.")
    parent.insert(len(parent) if before is None else list(parent).index(before), note)


def _cut(table: Element, parent: Element) -> None:
    """Leave the first 200 rows."""
    rows = [(body, row) for body in table.findall("tbody") for row in body.findall("tr")]
    for body, row in rows[ROWS:]:
        body.remove(row)
    if len(rows) > ROWS:
        words = f"First {ROWS} of {len(rows)} rows; all of them are in report.html and in `auditor export`."
        parent.insert(list(parent).index(table) + 1, _note(table, words))


def _words(told: Element | None) -> str:
    return "" if told is None else re.sub(r"\s+", " ", "".join(told.itertext())).strip().rstrip(".")


def _counted(number: int, kind: str) -> str:
    return f"{number} {kind}" if number == 1 else f"{number} {kind}s"


def _note(beside: Element, words: str) -> Element:
    note = beside.makeelement("p", {"class": "note left-out"})
    note.text = words
    return note
