"""Curves over the number of labelled images, one per function."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from ..drawing import COLOURS, INK, MUTED, REFERENCE, RULE, WIDTH, coordinate, element, line, marker, markup, round_ticks, text
from ..wording import figure

HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 280.0, 52.0, 24.0, 14.0, 44.0


class Line(NamedTuple):
    """A function's values over the numbers of labelled images; None where there is no value."""

    name: str
    labelled: Sequence[int]
    values: Sequence[float | None]


def curve_chart(lines: Sequence[Line], order: Sequence[str], *, title: str) -> Markup:
    """The curves with a mark at every round; one without a value has a gap."""
    chart = element(
        None,
        "svg",
        "chart",
        viewBox=f"0 0 {WIDTH} {coordinate(HEIGHT)}",
        role="img",
        width=str(WIDTH),
        height=coordinate(HEIGHT),
    )
    ElementTree.SubElement(chart, "title").text = title
    ElementTree.SubElement(chart, "desc").text = "Mean over the seeds after every round, against the number of labelled images."
    across = round_ticks([float(n) for row in lines for n in row.labelled] or [0.0, 1.0])
    upwards = round_ticks([value for row in lines for value in row.values if value is not None] or [0.0, 1.0])
    frame = _Frame(across, upwards)
    _grid(chart, frame)
    for row in lines:
        _curve(chart, frame, row, order.index(row.name))
    return markup(chart)


class _Frame(NamedTuple):
    """The ticks of both axes, and how values become coordinates."""

    across: Sequence[float]
    upwards: Sequence[float]

    def x(self, value: float) -> float:
        """From labelled images."""
        return LEFT + (value - self.across[0]) / (self.across[-1] - self.across[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """From a value, upwards."""
        height = HEIGHT - TOP - BOTTOM
        return TOP + height - (value - self.upwards[0]) / (self.upwards[-1] - self.upwards[0]) * height


def _grid(chart: ElementTree.Element, frame: _Frame) -> None:
    bottom = HEIGHT - BOTTOM
    for tick in frame.across:
        line(chart, frame.x(tick), TOP, frame.x(tick), bottom, stroke=RULE, width=1, css="grid")
        text(chart, frame.x(tick), bottom + 14, f"{tick:g}", anchor="middle", fill=MUTED, css="muted")
    for tick in frame.upwards:
        line(chart, LEFT, frame.y(tick), WIDTH - RIGHT, frame.y(tick), stroke=RULE, width=1, css="grid")
        text(chart, LEFT - 6, frame.y(tick) + 4, f"{tick:g}", anchor="end", fill=MUTED, css="muted")
    line(chart, LEFT, bottom, WIDTH - RIGHT, bottom, stroke=INK, width=1.2, css="ink")
    text(chart, LEFT, HEIGHT - 8, "Labelled images", fill=MUTED, css="muted")


def _curve(chart: ElementTree.Element, frame: _Frame, row: Line, place: int) -> None:
    points = list(zip(row.labelled, row.values, strict=True))
    colour = REFERENCE if place == 0 else COLOURS[(place - 1) % len(COLOURS)]
    for (a, before), (b, after) in itertools.pairwise(points):
        if before is not None and after is not None:
            ends = frame.x(a), frame.y(before), frame.x(b), frame.y(after)
            line(chart, *ends, stroke=colour, width=1.6, css=f"series-{place % 7} interval")
    for labelled, value in points:
        if value is not None:
            marker(chart, frame.x(labelled), frame.y(value), place, f"{row.name}, {labelled} labelled: {figure(value)}")
