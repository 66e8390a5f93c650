"""Counts as bars from 0, each with what random boxes and other patients' boxes would collect marked across it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from .drawing import (
    EDGE,
    INK,
    LABELS,
    LETTER,
    MUTED,
    RULE,
    WIDTH,
    colour,
    coordinate,
    element,
    line,
    markup,
    round_ticks,
    text,
)
from .wording import absence, clean_label, figure

STEP, BAR, FOOT = 26.0, 13.0, 40.0


class Counted(NamedTuple):
    """One network: its count, and what the two kinds of boxes would collect; each may be absent, the count with a reason."""

    row: str
    series: str
    value: float | None
    random: float | None
    others: float | None
    missing: str | None = None


def chance_bars(rows: Sequence[Counted], order: Sequence[str], *, title: str, axis: str) -> Markup:
    """A bar per network; an upright line where random boxes are, a diamond where other patients' boxes are."""
    ticks = round_ticks([0.0, *(number for row in rows for number in row[2:5] if number is not None)])
    height = len(rows) * STEP + FOOT
    chart = element(
        None, "svg", "chart", viewBox=f"0 0 {WIDTH} {coordinate(height)}", role="img", width=str(WIDTH), height=coordinate(height)
    )  # fmt: skip
    ElementTree.SubElement(chart, "title").text = clean_label(title, 160)
    said = "; ".join(f"{clean_label(row.row, 60)}: {_words(row)}" for row in rows)
    ElementTree.SubElement(chart, "desc").text = f"A bar per network with its chance levels marked across it. {said}."

    def x(value: float) -> float:
        return LABELS + value / ticks[-1] * (WIDTH - LABELS - EDGE)

    bottom = height - FOOT + 4
    for tick in ticks:
        line(chart, x(tick), 2, x(tick), bottom, stroke=RULE, width=1, css="grid")
        text(chart, x(tick), bottom + 14, f"{tick:g}", anchor="middle", fill=MUTED, css="muted")
    text(chart, LABELS, bottom + 31, axis, limit=78, fill=MUTED, css="muted")
    for number, row in enumerate(rows):
        _bar(chart, row, number * STEP + STEP / 2 + 2, x, order.index(row.series) if row.series in order else 0)
    line(chart, x(0), 2, x(0), bottom, stroke=INK, width=1.2, css="ink")
    return markup(chart)


def chance_key() -> list[tuple[str, Markup]]:
    """What the two marks mean, for a legend."""
    marks = []
    for name, draw in (("random boxes of the same sizes", _upright), ("boxes of other patients with the finding", _diamond)):
        icon = element(None, "svg", "key", viewBox="0 0 14 14", width="14", height="14")
        icon.set("aria-hidden", "true")
        draw(icon, 7, 7, 6)
        marks.append((name, markup(icon)))
    return marks


def _bar(chart: ElementTree.Element, row: Counted, y: float, x: object, place: int) -> None:
    assert callable(x)
    text(chart, 0, y + 4, row.row, limit=int(LABELS / LETTER) - 1, fill=INK, css="ink-text")
    if row.value is None:
        text(chart, x(0) + 8, y + 4, absence(row.missing), limit=70, fill=MUTED, css="muted")
    else:
        bar = element(
            chart, "rect", f"series-{place % 7} mark", x=coordinate(x(0)), y=coordinate(y - BAR / 2), fill=colour(place),
            width=coordinate(x(row.value) - x(0)), height=coordinate(BAR), fill_opacity="0.45", stroke=colour(place), stroke_width="1",
        )  # fmt: skip
        ElementTree.SubElement(bar, "title").text = clean_label(f"{row.row}: {_words(row)}", 160)
    if row.random is not None:
        _upright(chart, x(row.random), y, STEP / 2 - 3)
    if row.others is not None:
        _diamond(chart, x(row.others), y, 5.5)


def _upright(parent: ElementTree.Element, x: float, y: float, half: float) -> None:
    line(parent, x, y - half, x, y + half, stroke=INK, width=2.2, css="ink")


def _diamond(parent: ElementTree.Element, x: float, y: float, half: float) -> None:
    half = min(half, 5.5)
    points = ((x, y - half), (x + half, y), (x, y + half), (x - half, y))
    shape = " ".join(f"{coordinate(across)},{coordinate(down)}" for across, down in points)
    element(parent, "polygon", "chance-mark", points=shape, fill="#ffffff", stroke=INK, stroke_width="1.6")


def _words(row: Counted) -> str:
    if row.value is None:
        return absence(row.missing)
    random = "" if row.random is None else f", random boxes {figure(row.random)}"
    return f"{figure(row.value)}{random}{'' if row.others is None else f', boxes of other patients {figure(row.others)}'}"
