"""One image under every change of the picture, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from .drawing import coordinate, element, markup
from .heatmap import FOOT, GAP, PANEL, caption, fitted, png
from .wording import clean_label

if TYPE_CHECKING:
    from .evidence import Picture

ACROSS = 6


def strip(pictures: Sequence[Picture]) -> Markup:
    """A panel per picture in their order, six in a row, each with its words below."""
    shown = [fitted(picture.pixels) for picture in pictures]
    tall = max(PANEL * picture.height / picture.width for picture in shown)
    rows = -(-len(shown) // ACROSS)
    width, height = ACROSS * (PANEL + GAP) - GAP, rows * (tall + FOOT)
    sheet = element(None, "svg", "plate", viewBox=f"0 0 {coordinate(width)} {coordinate(height)}", role="img")
    element(sheet, "title").text = "One image under every change of the picture"
    element(sheet, "desc").text = f"From the left: {'; '.join(clean_label(picture.words, 60) for picture in pictures)}."
    for number, (told, picture) in enumerate(zip(pictures, shown, strict=True)):
        row, column = divmod(number, ACROSS)
        place = element(
            sheet, "g", transform=f"translate({coordinate(column * (PANEL + GAP))} {coordinate(row * (tall + FOOT))})"
        )
        size = {"width": coordinate(PANEL), "height": coordinate(PANEL * picture.height / picture.width)}
        element(place, "image", href=png(picture), **size)
        words, _, strength = told.words.partition(" (")
        caption(place, 0, tall + 13, words)
        caption(place, 0, tall + 25, strength.removesuffix(")"), css="muted", colour="#5a6672")
    return markup(sheet)
