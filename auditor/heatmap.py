"""A heat map over a radiograph: even steps of colour, box outlines on top, and the words when there is nothing to show."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from .drawing import element, markup
from .wording import clean_label, figure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIDE = 224
"""Longest side of a printed picture, in pixels; more would only make the report heavier."""
STRONGEST = 0.72
"""Opacity of the map's maximum; its minimum is clear, so that the anatomy stays visible where the network did not look."""
BOX, HALO = "#ffffff", "#101418"
PANEL, GAP, HEAD, FOOT = 150.0, 10.0, 26.0, 38.0
"""Width of a panel of a plate, space between panels, above the first row, below each row."""


@lru_cache(maxsize=1)
def colour_table() -> npt.NDArray[np.uint8]:
    """256 sRGB colours [256, 3] from violet through teal to yellow at equal steps of CIELAB; lightness only rises.

    The path is a curve in lightness, chroma and hue, walked at constant speed (CIE76 distance), so that equal differences of
    the map look equal, also in grey and to readers who cannot tell red from green.
    """
    import numpy as np

    along = np.linspace(0.0, 1.0, 4001)
    light = 20 + 70 * along
    hue = np.radians(np.interp(along, [0, 0.5, 1], [305, 195, 97]))
    chroma = np.interp(along, [0, 0.3, 0.5, 0.75, 1], [42, 28, 28, 48, 72])
    lab = np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], 1)
    walked = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(lab, axis=0), axis=1))])
    even = np.linspace(0.0, walked[-1], 256)
    return _srgb(np.stack([np.interp(even, walked, lab[:, axis]) for axis in range(3)], 1))


class Panel(NamedTuple):
    """One picture of a plate: the raw map [h, w], or None where the model has none."""

    row: str
    column: str
    map: npt.NDArray[np.float32] | None


def plate(
    pixels: npt.NDArray[np.uint8],
    boxes: Sequence[tuple[float, float, float, float]],
    panels: Sequence[Panel],
    *,
    title: str,
    ident: str,
) -> Markup:
    """One case: the radiograph [H, W] at the left, and in a grid the map of every panel over it, boxes (fractions) on all.

    Each map is clipped at 0 and shown between its own minimum and maximum, which stand below it; a map of one value says "empty map". The
    radiograph is embedded once, under the id `ident`, and reused.
    """
    base = fitted(pixels)
    tall = PANEL * base.height / base.width
    rows, columns = _names(panel.row for panel in panels), _names(panel.column for panel in panels)
    width, height = (len(columns) + 1) * (PANEL + GAP) - GAP, HEAD + max(len(rows), 1) * (tall + FOOT)
    sheet = element(None, "svg", "plate", viewBox=f"0 0 {_n(width)} {_n(height)}", role="img")
    element(sheet, "title").text = clean_label(title, 300)
    scales = "; ".join(f"{clean_label(p.column, 40)}, {clean_label(p.row, 40)}: {scale_words(p.map)}" for p in panels)
    element(sheet, "desc").text = f"Radiograph with reference boxes, then one map per model. {scales}."
    size = {"width": _n(PANEL), "height": _n(tall)}
    caption(sheet, 0, HEAD - 10, "Radiograph", bold=True)
    place = element(sheet, "g", transform=f"translate(0 {HEAD})")
    element(place, "image", id=ident, href=png(base), **size)
    outline(place, boxes, tall)
    for number, name in enumerate(columns):
        caption(sheet, (number + 1) * (PANEL + GAP), HEAD - 10, name, bold=True)
    for panel in panels:
        across, down = (columns.index(panel.column) + 1) * (PANEL + GAP), HEAD + rows.index(panel.row) * (tall + FOOT)
        place = element(sheet, "g", transform=f"translate({_n(across)} {_n(down)})")
        element(place, "use", href=f"#{ident}")
        if panel.map is not None and not isinstance(scale_of(panel.map), str):
            heat = png(_tinted(panel.map, base.size))
            element(place, "image", href=heat, preserveAspectRatio="none", **size)
        outline(place, boxes, tall)
        caption(place, 0, tall + 14, panel.row)
        caption(place, 0, tall + 28, scale_words(panel.map), css="muted", colour="#5a6672")
    return markup(sheet)


def scale_of(map: npt.NDArray[np.float32]) -> tuple[float, float] | str:
    """The map's smallest and largest value, or why it cannot be shown; evidence against the class counts as 0, as in the metrics."""
    import numpy as np

    if map.size == 0 or not np.isfinite(map).all():
        return "map has undefined values"
    low, high = float(np.maximum(map, 0).min()), float(np.maximum(map, 0).max())
    return (low, high) if high > low else "empty map"


def scale_words(map: npt.NDArray[np.float32] | None) -> str:
    """The scale of one panel in words: `0.000 to 4.213`, `empty map`, `no map`."""
    state = "no map" if map is None else scale_of(map)
    return state if isinstance(state, str) else f"{figure(state[0])} to {figure(state[1])}"


def scale_bar() -> Markup:
    """The colours from lowest to highest over mid grey, as they appear over a radiograph."""
    import numpy as np

    ramp = np.tile(np.linspace(0.0, 1.0, 256, dtype=np.float32), (2, 1))
    bar = element(None, "svg", "scale", viewBox="0 0 256 12", role="img", width="256", height="12")
    element(bar, "title").text = "Colour scale: clear violet at the map's minimum, through teal, to yellow at its maximum."
    element(bar, "rect", fill="#808080", width="256", height="12")
    element(bar, "image", width="256", height="12", preserveAspectRatio="none", href=png(_tinted(ramp, (256, 12))))
    return markup(bar)


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def caption(
    parent: ElementTree.Element,
    x: float,
    y: float,
    text: str,
    *,
    bold: bool = False,
    css: str = "ink-text",
    colour: str = "#17212b",
) -> None:
    """A few words below or above a panel."""
    words = element(parent, "text", css, x=_n(x), y=_n(y), fill=colour, font_size="10.5")
    if bold:
        words.set("font-weight", "bold")
    words.text = clean_label(text, 24)


def outline(
    parent: ElementTree.Element, boxes: Sequence[tuple[float, float, float, float]], tall: float, *, dashed: bool = False
) -> None:
    """Boxes twice, dark below light, so that they are seen on lung and bone alike; the light line may be broken."""
    for stroke, width in ((HALO, "3"), (BOX, "1.4")):
        for left, top, right, bottom in boxes:
            size = {"width": _n(max(right - left, 0) * PANEL), "height": _n(max(bottom - top, 0) * tall)}
            corner = {"x": _n(left * PANEL), "y": _n(top * tall)}
            rect = element(parent, "rect", fill="none", stroke=stroke, stroke_width=width, **corner, **size)
            if dashed and stroke == BOX:
                rect.set("stroke-dasharray", "4 3")


def _srgb(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """CIELAB (D65) [N, 3] -> sRGB uint8 [N, 3]; IEC 61966-2-1."""
    import numpy as np

    fy = (lab[:, 0] + 16) / 116
    f = np.stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200], 1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    linear = xyz @ np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]).T
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
    colours: npt.NDArray[np.uint8] = np.rint(np.clip(curved, 0, 1) * 255).astype(np.uint8)
    return colours


def fitted(pixels: npt.NDArray[np.uint8]) -> Any:
    """The picture [H, W] with its longer side at most SIDE."""
    from PIL import Image

    image = Image.fromarray(pixels)
    share = min(1.0, SIDE / max(image.size))
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _tinted(map: npt.NDArray[np.float32], size: tuple[int, int]) -> Any:
    """The map between its minimum and maximum as a palette picture whose opacity rises with the value."""
    import numpy as np
    from PIL import Image

    values = np.maximum(map.astype(np.float32), 0)
    scaled = (values - values.min()) / (values.max() - values.min())
    large = np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BILINEAR))
    picture = Image.fromarray(np.rint(np.clip(large, 0, 1) * 255).astype(np.uint8)).convert("P")
    picture.putpalette(colour_table().tobytes())
    picture.info["transparency"] = bytes(round(STRONGEST * 255 * min(1.0, 1.6 * step / 255)) for step in range(256))
    return picture


def png(image: Any) -> str:
    """A picture as a data: address."""
    file = io.BytesIO()
    transparency = image.info.get("transparency") if image.mode == "P" else None
    image.save(
        file, "PNG", optimize=False, compress_level=9, **({} if transparency is None else {"transparency": transparency})
    )
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
