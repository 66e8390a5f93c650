"""Small multiples of audited against training images: a row per class, a column per network, two outlines in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from .drawing import COLOURS, INK, MUTED, REFERENCE, RULE, WIDTH, clean_label, coordinate, element, figure, line, markup, text
from .wording import how_many

LEFT, GAP, TOP, TALL, BOTTOM = 132.0, 14.0, 22.0, 40.0, 34.0


class Panel(NamedTuple):
    """Two step lines of equally many steps from `low` to `high`: the audited filled, the training images as an outline.

    `training` is empty where there are no training images; `words` say what is seen.
    """

    low: float
    high: float
    audited: Sequence[float]
    training: Sequence[float]
    words: str


def panels_chart(
    panels: Mapping[tuple[str, str], Panel],
    rows: Sequence[str],
    columns: Sequence[tuple[str, int]],
    *,
    title: str,
    axis: str,
    boundary: float | None = None,
    ends: tuple[str, str] | None = None,
) -> Markup:
    """`panels` by (row, column); `columns` are names with the place of their colour. Each panel has its own height, each column one
    axis, whose ends are written as numbers or as `ends`, and an upright line stands at `boundary`. A panel that is not there says so."""
    height = TOP + len(rows) * (TALL + 10) + BOTTOM
    chart = element(
        None, "svg", "chart", viewBox=f"0 0 {WIDTH} {coordinate(height)}", role="img", width=str(WIDTH), height=coordinate(height)
    )  # fmt: skip
    ElementTree.SubElement(chart, "title").text = clean_label(title, 160)
    ElementTree.SubElement(
        chart, "desc"
    ).text = (
        f"{how_many(len(rows), 'class')} by {how_many(len(columns), 'network')}; filled: audited, outline: training images."
    )
    wide = (WIDTH - LEFT - GAP * len(columns)) / max(len(columns), 1)
    for number, (name, place) in enumerate(columns):
        left = LEFT + number * (wide + GAP)
        text(chart, left, TOP - 9, name, limit=int(wide / 6.7), fill=INK, css="ink-text")
        own = [panel for (_, column), panel in panels.items() if column == name]
        reach = min((p.low for p in own), default=0.0), max((p.high for p in own), default=1.0)
        for at, row in enumerate(rows):
            top = TOP + at * (TALL + 10)
            _panel(chart, panels.get((row, name)), (left, top, wide), reach, place, boundary)
        low, high = ends or (figure(reach[0]), figure(reach[1]))
        text(chart, left, height - BOTTOM + 8, low, fill=MUTED, css="muted")
        text(chart, left + wide, height - BOTTOM + 8, high, anchor="end", fill=MUTED, css="muted")
    for at, row in enumerate(rows):
        text(chart, 0, TOP + at * (TALL + 10) + TALL / 2 + 4, row, limit=18, fill=INK, css="ink-text")
    text(chart, LEFT, height - 6, axis, limit=84, fill=MUTED, css="muted")
    return markup(chart)


def _panel(
    chart: ElementTree.Element,
    panel: Panel | None,
    frame: tuple[float, float, float],
    ends: tuple[float, float],
    place: int,
    boundary: float | None,
) -> None:
    left, top, wide = frame
    line(chart, left, top + TALL, left + wide, top + TALL, stroke=RULE, width=1, css="grid")
    if panel is None:
        text(chart, left + 4, top + TALL / 2 + 4, "not measured", limit=int(wide / 6.7), fill=MUTED, css="muted")
        return
    span = (ends[1] - ends[0]) or 1.0
    tallest = max([*panel.audited, *panel.training, 0.0]) or 1.0
    least = min([*panel.audited, *panel.training, 0.0])

    def x(value: float) -> float:
        return left + (value - ends[0]) / span * wide

    def y(value: float) -> float:
        return top + TALL - (value - least) / (tallest - least) * (TALL - 2)

    if boundary is not None and ends[0] <= boundary <= ends[1]:
        line(chart, x(boundary), top, x(boundary), top + TALL, stroke=INK, width=1.2, css="ink")
    colour = REFERENCE if place == 0 else COLOURS[(place - 1) % len(COLOURS)]
    if panel.audited:
        filled = element(chart, "polyline", f"series-{place % 7} mark", points=_points(panel.audited, panel, x, y), fill=colour,
                         fill_opacity="0.45", stroke=colour, stroke_width="0.6")  # fmt: skip
        ElementTree.SubElement(filled, "title").text = clean_label(panel.words, 160)
    if panel.training:
        points = _points(panel.training, panel, x, y)
        element(chart, "polyline", "outline", points=points, fill="none", stroke=INK, stroke_width="1.1")


def _points(steps: Sequence[float], panel: Panel, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    size = (panel.high - panel.low) / len(steps)
    corners = [(x(panel.low), y(0.0))]
    for number, step in enumerate(steps):
        corners += [(x(panel.low + number * size), y(step)), (x(panel.low + (number + 1) * size), y(step))]
    corners.append((x(panel.high), y(0.0)))
    return " ".join(f"{coordinate(across)},{coordinate(down)}" for across, down in corners)
