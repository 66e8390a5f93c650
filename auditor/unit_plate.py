"""The top images of one channel side by side: what it is active on within a line, the rest dimmed, reference boxes on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from .contour import Point, contours
from .drawing import coordinate, element, markup
from .heatmap import BOX, FOOT, GAP, HALO, PANEL, caption, fitted, outline, png
from .wording import clean_label, figure

LINE = "#ffd23f"
"""The line around what is active: the lightest of the map colours, dashed nowhere, so that it is no box in grey print either."""
DIMMED = "0.45"
"""How much is taken off the brightness outside the line."""

Boxes = Sequence[tuple[float, float, float, float]]


class Top(NamedTuple):
    """One top image: pixels uint8 [H, W], boxes of the channel's finding and of others, its map, and what counts as active."""

    words: str
    pixels: npt.NDArray[np.uint8]
    boxes: Boxes
    others: Boxes
    map: npt.NDArray[np.float32]
    threshold: float


def unit_plate(tops: Sequence[Top], *, title: str, ident: str) -> Markup:
    """A panel per top image, in their order; each radiograph is embedded once, under an id that begins with `ident`."""
    pictures = [fitted(top.pixels) for top in tops]
    tall = max(PANEL * picture.height / picture.width for picture in pictures)
    width, height = max(len(tops), 1) * (PANEL + GAP) - GAP, tall + FOOT
    sheet = element(None, "svg", "plate", viewBox=f"0 0 {coordinate(width)} {coordinate(height)}", role="img")
    element(sheet, "title").text = clean_label(title, 300)
    said = "; ".join(f"{clean_label(top.words, 60)}: peak {figure(top.map.max())}, {_boxes(top)}" for top in tops)
    element(
        sheet, "desc"
    ).text = f"Images with the channel's highest values, from the left; active places lie within the line. {said}."
    for number, (top, picture) in enumerate(zip(tops, pictures, strict=True)):
        own = PANEL * picture.height / picture.width
        place = element(sheet, "g", transform=f"translate({coordinate(number * (PANEL + GAP))} 0)")
        size = {"width": coordinate(PANEL), "height": coordinate(own)}
        element(place, "image", id=f"{ident}-{number + 1}", href=png(picture), **size)
        _active(place, contours(top.map, top.threshold), own)
        outline(place, top.others, own, dashed=True)
        outline(place, top.boxes, own)
        caption(place, 0, tall + 14, f"{top.words}, peak {figure(top.map.max())}")
        caption(place, 0, tall + 28, f"active above {figure(top.threshold)}", css="muted", colour="#5a6672")
    return markup(sheet)


def unit_key() -> Markup:
    """What the lines of the plates mean, drawn as they are."""
    icon = element(None, "svg", "chart-key", viewBox="0 0 460 22", role="img", width="460", height="22")
    element(
        icon, "title"
    ).text = "Key: within the line the channel is active; unbroken box: its finding; broken box: another finding."
    for left, name in ((0, "channel active within"), (170, "box of its finding"), (320, "box of another")):
        element(icon, "rect", x=coordinate(left), y="1", width="26", height="20", fill="#707880")
        words = element(icon, "text", "ink-text", x=coordinate(left + 34), y="15", fill="#17212b", font_size="11")
        words.text = name
    _line(icon, "M4,13 C4,4 14,4 14,8 S22,6 22,12 S10,20 4,13 Z")
    for left, dashed in ((170, False), (320, True)):
        for stroke, width in ((HALO, "3"), (BOX, "1.4")):
            box = element(icon, "rect", x=coordinate(left + 5), y="5", width="16", height="12", fill="none", stroke=stroke)
            box.set("stroke-width", width)
            if dashed and stroke == BOX:
                box.set("stroke-dasharray", "3 2.4")
    return markup(icon)


def _active(place: ElementTree.Element, lines: Sequence[Sequence[Point]], tall: float) -> None:
    """Dim what lies outside the lines, and draw them."""
    inside = "".join("M" + "L".join(f"{_n(x * PANEL)},{_n(y * tall)}" for x, y in line) + "Z" for line in lines)
    whole = f"M0,0H{_n(PANEL)}V{_n(tall)}H0Z"
    element(place, "path", d=whole + inside, fill="#000000", fill_opacity=DIMMED, fill_rule="evenodd")
    if inside:
        _line(place, inside)


def _line(place: ElementTree.Element, path: str) -> None:
    for stroke, width in ((HALO, "3.2"), (LINE, "1.7")):
        element(place, "path", d=path, fill="none", stroke=stroke, stroke_width=width, stroke_linejoin="round")


def _boxes(top: Top) -> str:
    said = (
        "no box of its finding"
        if not top.boxes
        else f"{len(top.boxes)} box{'' if len(top.boxes) == 1 else 'es'} of its finding"
    )
    return f"{said}, {len(top.others)} of others"


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
