"""Predicted against observed frequency, a panel per recalibration.

Both axes are square roots: most findings are rare, so what is near 0 must lie apart, and yet 0, which is often observed in a bin, has its
place. On a logarithmic axis it has none, and the bins of all networks clump at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from .drawing import INK, MUTED, RULE, WIDTH, colour, coordinate, element, line, marker, markup, text
from .wording import figure

TICKS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
SIDE, GAP, LEFT, TOP = 180.0, 46.0, 52.0, 24.0


class Reliability(NamedTuple):
    """One network's bins: predicted and observed frequencies of the same length."""

    name: str
    series: str
    predicted: Sequence[float]
    observed: Sequence[float]


def reliability_chart(panels: Sequence[tuple[str, Sequence[Reliability]]], order: Sequence[str], *, title: str) -> Markup:
    """Up to three panels side by side; on the rising line a predicted frequency comes true exactly."""
    height = TOP + SIDE + 46
    chart = element(
        None,
        "svg",
        "chart",
        viewBox=f"0 0 {WIDTH} {coordinate(height)}",
        role="img",
        width=str(WIDTH),
        height=coordinate(height),
    )
    ElementTree.SubElement(chart, "title").text = title
    ElementTree.SubElement(chart, "desc").text = "Above the line a finding is more frequent than predicted, below it less."
    for place, (heading, curves) in enumerate(panels):
        left = LEFT + place * (SIDE + GAP)
        _grid(chart, left, heading, first=place == 0)
        for curve in curves:
            _curve(chart, left, curve, order.index(curve.series) if curve.series in order else 0)
    text(
        chart,
        LEFT,
        height - 6,
        "Predicted frequency; upwards: observed frequency, both in % on square roots",
        fill=MUTED,
        css="muted",
        limit=80,
    )
    return markup(chart)


def _grid(chart: ElementTree.Element, left: float, heading: str, *, first: bool) -> None:
    text(chart, left, TOP - 8, heading, fill=INK, css="ink-text")
    for tick in TICKS:
        x, y = left + _along(tick), TOP + SIDE - _along(tick)
        line(chart, x, TOP, x, TOP + SIDE, stroke=RULE, width=1, css="grid")
        line(chart, left, y, left + SIDE, y, stroke=RULE, width=1, css="grid")
        text(chart, x, TOP + SIDE + 14, _percent(tick), anchor="middle", fill=MUTED, css="muted")
        if first:
            text(chart, left - 6, y + 4, _percent(tick), anchor="end", fill=MUTED, css="muted")
    line(chart, left, TOP + SIDE, left + SIDE, TOP, stroke=INK, width=1.2, css="ink")


def _curve(chart: ElementTree.Element, left: float, curve: Reliability, place: int) -> None:
    """The bins as marks, joined from the lowest to the highest prediction, so that those of one network are seen together."""
    points = [(left + _along(p), TOP + SIDE - _along(o)) for p, o in zip(curve.predicted, curve.observed, strict=True)]
    for (x, y), (right, up) in pairwise(points):
        line(chart, x, y, right, up, stroke=colour(place), width=0.8, css=f"series-{place % 7} interval")
    for predicted, observed in zip(curve.predicted, curve.observed, strict=True):
        words = f"{curve.name}: predicted {figure(100 * predicted)} %, observed {figure(100 * observed)} %"
        marker(chart, left + _along(predicted), TOP + SIDE - _along(observed), place, words)


def _along(frequency: float) -> float:
    return SIDE * math.sqrt(frequency)


def _percent(tick: float) -> str:
    return f"{100 * tick:g}"
