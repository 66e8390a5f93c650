"""Level 2, second half: what people read (report.html, report.pdf) against results.json."""

from __future__ import annotations

import io
from pathlib import Path

from .. import __version__
from ..evidence import Evidence
from ..observers import ask
from ..registry import Registry
from ..report import render_html
from . import page
from .found import Difference, Level

FONTS = (
    "the letters embedded in report.html are not byte for byte those that are embedded here; another version of fontTools makes "
    "others, and a false font could draw one digit as another"
)


def check(folder: Path, told: Evidence, registry: Registry, level: Level) -> None:
    """Add to level 2 where report.html or report.pdf say something else than results.json."""
    made_by = str(told.audit.get("tool"))
    if made_by != __version__:
        level.undecided.append(f"report.html was made by auditor {made_by}, this is {__version__}: install that version")
    elif (folder / "report.html").is_file():
        _of_page(folder / "report.html", told, registry, level)
    else:
        level.said.append("there is no report.html to compare")
    if (folder / "report.pdf").is_file():
        _of_pdf(folder / "report.pdf", folder / "results.json", level)


def _of_page(place: Path, told: Evidence, registry: Registry, level: Level) -> None:
    try:
        shown = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        level.differences.append(Difference("report.html", "found bytes that are not UTF-8; a report is UTF-8"))
        return
    made, failures = render_html(
        told,
        registry.all("sections").values(),
        prepare=lambda env: ask(registry.hook, "prepare_environment", environment=env)[1],
    )
    if failures:
        level.undecided.append(f"the page could not be made anew: section {failures[0].section} failed: {failures[0].error}")
        return
    found = list(page.differences(shown, made))
    if page.letters(shown) != page.letters(made) and not found:
        level.undecided.append(FONTS)
    level.differences += found
    if not found:
        level.said.append(f"report.html shows results.json and nothing else ({len(page.pieces(shown)):,} pieces compared)")


def _of_pdf(place: Path, results: Path, level: Level) -> None:
    """The results attached to the PDF, and its text against that of the PDF made anew from the page."""
    try:
        import pypdf
    except ImportError:
        level.undecided.append("report.pdf: reading it needs pypdf (pip install pypdf)")
        return
    try:
        reader = pypdf.PdfReader(io.BytesIO(place.read_bytes()))
        attached = reader.attachments.get("results.json", [])
    except Exception as error:  # a hostile PDF may break the parser in any way
        level.differences.append(Difference("report.pdf", f"cannot be read as a PDF ({type(error).__name__})"))
        return
    if [bytes(one) for one in attached] != [results.read_bytes()]:
        level.differences.append(Difference("report.pdf", "the results.json attached to it is not the one beside it"))
