"""Level 2, second half: what people read (report.html, report.pdf) against results.json."""

from __future__ import annotations

from pathlib import Path

from .. import __version__
from ..evidence import Evidence
from ..observers import ask
from ..registry import Registry
from ..report import render_html
from . import page, paper
from .found import Difference, Level

FONTS = (
    "the letters embedded in report.html are not byte for byte those that are embedded here; another version of fontTools makes "
    "others, and a false font could draw one digit as another"
)
PICTURED = "pieces with pictures and their captions were not compared: a bundle holds no other copy of them"


def check(folder: Path, told: Evidence, registry: Registry, level: Level, strangers: bool = False) -> None:
    """Add to level 2 where report.html or report.pdf say something else than results.json.

    `strangers`: the audit lists plugins that are not at hand, and sections of theirs may stand in the report.
    """
    made_by = str(told.audit.get("tool"))
    shown = [name for name in ("report.html", "report.pdf") if (folder / name).is_file()]
    if not shown:
        level.undecided.append("there is no report to compare with results.json")
        return
    if made_by != __version__:
        level.undecided.append(f"{shown[0]} was made by auditor {made_by}, this is {__version__}: install that version")
        return
    made, failures = render_html(
        told,
        registry.all("sections").values(),
        prepare=lambda env: ask(registry.hook, "prepare_environment", environment=env)[1],
    )
    if failures:
        level.undecided.append(f"the page could not be made anew: section {failures[0].section} failed: {failures[0].error}")
        return
    if strangers and (more := _sections_of_others(folder / "report.html", made)):
        what = f"the report has sections that auditor does not make ({', '.join(more)})"
        level.undecided.append(f"{what}; if they are of the plugins that the audit lists, give --audit AUDIT.yaml")
        return
    pictured = bool((told.audit.get("shared") or {}).get("pictures")) and not told.pictures
    if "report.html" in shown:
        _of_page(folder / "report.html", made, pictured, level)
    if "report.pdf" in shown:
        if pictured:
            level.undecided.append("the words of report.pdf: it has pictures, and a bundle holds no other copy of them")
        else:
            paper.check(folder / "report.pdf", (folder / "results.json").read_bytes(), made, level)


def _sections_of_others(place: Path, made: str) -> list[str]:
    if not place.is_file():
        return []
    known = set(page.sections(made))
    return [title for title in page.sections(place.read_text(encoding="utf-8", errors="replace")) if title not in known]


def _of_page(place: Path, made: str, pictured: bool, level: Level) -> None:
    try:
        shown = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        level.differences.append(Difference("report.html", "found bytes that are not UTF-8; a report is UTF-8"))
        return
    found, left_out = page.differences(shown, made, pictured)
    if page.letters(shown) != page.letters(made) and not found and not pictured:
        level.undecided.append(FONTS)
    level.differences += found
    if left_out:
        level.said.append(f"report.html: {left_out:,} {PICTURED}")
    if not found:
        level.said.append(f"report.html shows what results.json gives, {len(page.pieces(shown)) - left_out:,} pieces of it")
