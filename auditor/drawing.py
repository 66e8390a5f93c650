"""Pictures for the report: charts as SVG and heat maps over radiographs, made from plain numbers, the same bytes every time.

This and report.py are the only files that hand out markup. All of it is built as an element tree, so that no text, whatever
it holds, can become an element or an attribute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from .wording import absence
from .wording import clean_label as clean_label
from .wording import figure as figure
from .wording import how_many as how_many
from .wording import signed as signed
from .wording import visible as visible

INK, MUTED, RULE, REFERENCE = "#17212b", "#5a6672", "#ccd3da", "#5a6672"
COLOURS = ("#0068a8", "#c04a00", "#007a5a", "#8f4a9c", "#7a6200", "#3f4db8")
"""Strategy colours: apart in lightness as well as in hue, each at least 4:1 against white, always with a marker shape."""
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring", "bar")

WIDTH, LABELS, EDGE = 720, 190, 24
LETTER = 6.7
"""Width of an average letter at the charts' 11 px; generous, so that nothing runs into its neighbour."""


class Interval(NamedTuple):
    """A difference with its interval; `missing` says why there is none."""

    row: str
    series: str
    value: float | None
    low: float | None
    high: float | None
    missing: str | None = None


class Level(NamedTuple):
    """A value beside what chance would give; either may be absent."""

    row: str
    series: str
    value: float | None
    chance: float | None
    missing: str | None = None


def forest(rows: Sequence[Interval], order: Sequence[str], *, title: str, axis: str) -> Markup:
    """Paired dots with intervals around zero: a band per row, a mark per series, in `order` (the first is the reference).

    What could not be estimated says so in its place.
    """
    bands = _bands(rows)
    chart, x, top = _frame(rows, bands, order, title, axis, step=12.5, around=0.0)
    absent = _Absent()
    for row in rows:
        y = next(top)
        if row.value is None:
            absent.tell(chart, row, x(0.0) + 8, y)
            continue
        place = order.index(row.series) if row.series in order else 0
        words = f"{row.row}, {row.series}: {signed(row.value)} (no interval)"
        if row.low is not None and row.high is not None:
            line(chart, x(row.low), y, x(row.high), y, stroke=colour(place), width=1.6, css=f"series-{place % 7} interval")
            words = f"{row.row}, {row.series}: {signed(row.value)} ({signed(row.low)} to {signed(row.high)})"
        marker(chart, x(row.value), y, place, words)
    return markup(chart)


def against_chance(rows: Sequence[Level], order: Sequence[str], *, title: str, axis: str) -> Markup:
    """Dots joined to an upright mark at their chance level: the line between them is what chance does not explain."""
    bands = _bands(rows)
    chart, x, top = _frame(rows, bands, order, title, axis, step=15.0, around=None)
    absent = _Absent()
    for row in rows:
        y = next(top)
        place = order.index(row.series) if row.series in order else 0
        if row.chance is not None:
            if row.value is not None:
                line(
                    chart,
                    x(row.chance),
                    y,
                    x(row.value),
                    y,
                    stroke=colour(place),
                    width=1.6,
                    css=f"series-{place % 7} interval",
                )
            line(chart, x(row.chance), y - 6, x(row.chance), y + 6, stroke=INK, width=2, css="ink")
        if row.value is None:
            absent.tell(chart, row, LABELS + 8, y)
            continue
        chance = "chance level not stated" if row.chance is None else f"chance {figure(row.chance)}"
        marker(chart, x(row.value), y, place, f"{row.row}, {row.series}: {figure(row.value)}, {chance}")
    return markup(chart)


def key(series: str, order: Sequence[str]) -> Markup:
    """The mark of a series, to stand beside its name; decorative, the name says it all. The page's filter finds rows and columns
    of a series by it."""
    place = order.index(series) if series in order else 0
    icon = element(None, "svg", viewBox="0 0 14 14", width="14", height="14", css="key")
    icon.set("aria-hidden", "true")
    icon.set("data-series", clean_label(series, 40))
    ElementTree.SubElement(icon, "title").text = "mark"
    marker(icon, 7, 7, place, "")
    return markup(icon)


def colour(place: int) -> str:
    """The colour of a series by its place in the order; the first is the reference."""
    return REFERENCE if place == 0 else COLOURS[(place - 1) % len(COLOURS)]


def _bands(rows: Sequence[Interval] | Sequence[Level]) -> list[tuple[str, int]]:
    """(name, number of marks) of each run of rows of one name."""
    bands: list[tuple[str, int]] = []
    for row in rows:
        if bands and bands[-1][0] == row.row:
            bands[-1] = (row.row, bands[-1][1] + 1)
        else:
            bands.append((row.row, 1))
    return bands


def _frame(
    rows: Sequence[Interval] | Sequence[Level],
    bands: Sequence[tuple[str, int]],
    order: Sequence[str],
    title: str,
    axis: str,
    *,
    step: float,
    around: float | None,
) -> tuple[ElementTree.Element, Callable[[float], float], _Heights]:
    """The chart with band names and axis drawn; how a value becomes x; and the heights of the marks, in order."""
    numbers = [number for row in rows for number in row[2:5] if isinstance(number, (int, float))]
    ticks = round_ticks([*numbers, 0.0] if around is None else [*numbers, around])
    height = sum(marks * step + 8 for _, marks in bands) + 44
    chart = element(None, "svg", viewBox=f"0 0 {WIDTH} {coordinate(height)}", role="img", css="chart")
    chart.set("width", str(WIDTH))
    chart.set("height", coordinate(height))
    ElementTree.SubElement(chart, "title").text = visible(title)
    series = list(dict.fromkeys(clean_label(row.series, 40) for row in rows))
    drawn = "interval around zero" if around is not None else "dot joined to its chance level"
    ElementTree.SubElement(
        chart, "desc"
    ).text = f"{len(rows)} marks, each an {drawn}, for {', '.join(series)}; the table gives the numbers."

    def x(value: float) -> float:
        return LABELS + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (WIDTH - LABELS - EDGE)

    bottom = height - 38
    for tick in ticks:
        line(chart, x(tick), 2, x(tick), bottom, stroke=RULE, width=1, css="grid")
        label = signed(tick) if around is not None else figure(tick)
        text(chart, x(tick), bottom + 14, _short(label), anchor="middle", fill=MUTED, css="muted")
    if around is not None:
        line(chart, x(around), 2, x(around), bottom, stroke=INK, width=1.2, css="ink")
    text(chart, LABELS, bottom + 31, axis, limit=78, fill=MUTED, css="muted")
    heights, y = [], 5.0
    for name, marks in bands:
        text(chart, 0, y + marks * step / 2 + 4, name, limit=int(LABELS / LETTER) - 1, fill=INK, css="ink-text")
        heights += [y + (number + 0.5) * step for number in range(marks)]
        y += marks * step + 8
        if name != bands[-1][0]:
            line(chart, 0, y - 4, WIDTH, y - 4, stroke=RULE, width=0.6, css="grid")
    return chart, x, _Heights(heights)


class _Absent:
    """Says in its place why there is no mark; once where neighbours of a band lack it for one reason."""

    def __init__(self) -> None:
        self._told: tuple[str, str | None] | None = None

    def tell(self, chart: ElementTree.Element, row: Interval | Level, x: float, y: float) -> None:
        if self._told != (row.row, row.missing):
            words = clean_label(absence(row.missing), int((WIDTH - x) / LETTER))
            element(
                chart,
                "rect",
                "paper",
                x=coordinate(x - 3),
                y=coordinate(y - 7),
                width=coordinate(len(words) * LETTER),
                height="15",
                fill="#ffffff",
            )
            text(chart, x, y + 4, words, limit=90, fill=MUTED, css="muted")
        self._told = (row.row, row.missing)


class _Heights:
    """Hands out the heights of the marks one by one."""

    def __init__(self, heights: Sequence[float]) -> None:
        self._left = iter(heights)

    def __next__(self) -> float:
        return next(self._left)


def round_ticks(numbers: Sequence[float]) -> list[float]:
    """Four to eight round numbers that span the given ones."""
    low, high = min(numbers), max(numbers)
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / 4))
    size *= next(factor for factor in (1, 2, 5, 10) if span / (size * factor) <= 6)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    return [round(number * size, 12) for number in range(first, max(last, first + 1) + 1)]


def _short(label: str) -> str:
    return label.rstrip("0").rstrip(".") if "." in label else label


def coordinate(number: float) -> str:
    """A coordinate as SVG writes it, without needless digits."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def element(parent: ElementTree.Element | None, tag: str, css: str = "", **attributes: str) -> ElementTree.Element:
    """A new SVG element under `parent`; underscores in attribute names become hyphens."""
    given = {name.replace("_", "-"): value for name, value in attributes.items()}
    if css:
        given["class"] = css
    return ElementTree.Element(tag, given) if parent is None else ElementTree.SubElement(parent, tag, given)


def line(
    parent: ElementTree.Element, x1: float, y1: float, x2: float, y2: float, *, stroke: str, width: float, css: str
) -> None:
    """A straight line between two points."""
    element(
        parent,
        "line",
        css,
        x1=coordinate(x1),
        y1=coordinate(y1),
        x2=coordinate(x2),
        y2=coordinate(y2),
        stroke=stroke,
        stroke_width=coordinate(width),
    )


def text(
    parent: ElementTree.Element, x: float, y: float, text: str, *, fill: str, css: str, anchor: str = "start", limit: int = 40
) -> None:
    """Words at a point, at most `limit` letters."""
    place = element(parent, "text", css, x=coordinate(x), y=coordinate(y), fill=fill, font_size="11", text_anchor=anchor)
    place.text = clean_label(text, limit)


def marker(parent: ElementTree.Element, x: float, y: float, place: int, words: str) -> None:
    """A filled shape of the series' own colour; `words` are its tooltip."""
    shape, own, css = SHAPES[place % len(SHAPES)], colour(place), f"series-{place % 7} mark"
    if shape in ("circle", "ring"):
        filled = own if shape == "circle" else "#ffffff"
        mark = element(
            parent,
            "circle",
            css if shape == "circle" else f"{css} ring",
            cx=coordinate(x),
            cy=coordinate(y),
            r="4.2",
            fill=filled,
            stroke=own,
            stroke_width="1.4",
        )
    else:
        corners: Mapping[str, Sequence[tuple[float, float]]] = {
            "square": ((-3.8, -3.8), (3.8, -3.8), (3.8, 3.8), (-3.8, 3.8)),
            "triangle": ((0, -5), (4.8, 3.8), (-4.8, 3.8)),
            "diamond": ((0, -5.4), (5.4, 0), (0, 5.4), (-5.4, 0)),
            "bar": ((-2, -5.4), (2, -5.4), (2, 5.4), (-2, 5.4)),
            "cross": tuple((1.7 * across, 1.7 * down) for across, down in _CROSS),
        }
        points = " ".join(f"{coordinate(x + dx)},{coordinate(y + dy)}" for dx, dy in corners[shape])
        mark = element(parent, "polygon", css, points=points, fill=own, stroke=own, stroke_width="1")
    if words:
        ElementTree.SubElement(mark, "title").text = clean_label(words, 160)


_CROSS = ((-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1))


def markup(tree: ElementTree.Element) -> Markup:
    """The finished tree as markup that a template prints as it is."""
    return Markup(ElementTree.tostring(tree, encoding="unicode"))
