"""An image as it is, changed, and with its control, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from .drawing import coordinate, element, markup
from .heatmap import GAP, PANEL, caption, fitted, outline, png
from .wording import clean_label

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Boxes = Sequence[tuple[float, float, float, float]]
FOOT = 20.0
"""Below a panel, for its words."""


def trial_plate(panels: Sequence[tuple[str, npt.NDArray[np.uint8], Boxes]], *, title: str) -> Markup:
    """A panel [H, W] each, with its words below it and an outline around what was changed."""
    pictures = [(words, fitted(pixels), boxes) for words, pixels, boxes in panels]
    tall = max(PANEL * picture.height / picture.width for _, picture, _ in pictures)
    width = len(panels) * (PANEL + GAP) - GAP
    sheet = element(None, "svg", "plate", viewBox=f"0 0 {coordinate(width)} {coordinate(tall + FOOT)}", role="img")
    element(sheet, "title").text = clean_label(title, 300)
    element(sheet, "desc").text = f"From the left: {'; '.join(clean_label(words, 60) for words, *_ in panels)}."
    for number, (words, picture, boxes) in enumerate(pictures):
        place = element(sheet, "g", transform=f"translate({coordinate(number * (PANEL + GAP))} 0)")
        size = {"width": coordinate(PANEL), "height": coordinate(PANEL * picture.height / picture.width)}
        element(place, "image", href=png(picture), **size)
        outline(place, boxes, PANEL * picture.height / picture.width)
        caption(place, 0, tall + 14, words)
    return markup(sheet)
