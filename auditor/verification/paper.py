"""report.pdf against results.json: what is attached to it, and its words against those of the PDF made anew."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import MissingLibrary
from .found import Difference, Level

LARGEST = 256 << 20
SHOWN = 12
"""Words of a page that are named where it differs."""


def check(place: Path, results: bytes, made: str, level: Level) -> None:
    """Add to level 2 where report.pdf holds other results, or other words, than the page `made` from `results`."""
    import pypdf

    if place.stat().st_size > LARGEST:
        level.differences.append(
            Difference("report.pdf", f"found {place.stat().st_size:,} bytes; allowed: at most {LARGEST:,}")
        )
        return
    content = place.read_bytes()
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        attached = [bytes(one) for one in reader.attachments.get("results.json", [])]
        shown = _words(reader)
    except Exception as error:  # a broken PDF may break a parser in any way
        level.differences.append(Difference("report.pdf", f"cannot be read as a PDF ({type(error).__name__})"))
        return
    if attached != [results]:
        level.differences.append(Difference("report.pdf", "the results.json attached to it is not the one beside it"))
    try:
        anew = _anew(made, results.decode("utf-8"))
    except MissingLibrary as error:
        level.undecided.append(f"the words of report.pdf: {error}")
        return
    if anew == content:
        level.said.append("report.pdf is byte for byte the one that results.json gives")
        return
    found = list(_differences(shown, _words(pypdf.PdfReader(io.BytesIO(anew)))))
    level.differences += found
    if not found:
        level.said.append("report.pdf shows the words that results.json gives; its drawings were not compared")


def _anew(html: str, results: str) -> bytes:
    from ..report import write_pdf

    with tempfile.TemporaryDirectory() as folder:
        write_pdf(html, Path(folder) / "report.pdf", results)
        return (Path(folder) / "report.pdf").read_bytes()


def _words(reader: Any) -> list[list[str]]:
    """The words of each page, in the order in which they are drawn."""
    return [page.extract_text().split() for page in reader.pages]


def _differences(shown: Sequence[Sequence[str]], made: Sequence[Sequence[str]]) -> Iterator[Difference]:
    if len(shown) == len(made):
        for number, (mine, theirs) in enumerate(zip(shown, made, strict=True), 1):
            yield from _of_page(f"report.pdf, page {number}", mine, theirs)
    else:  # laid out otherwise: the words must still be the same
        yield from _of_page("report.pdf", [*chain(*shown)], [*chain(*made)])


def _of_page(place: str, mine: Sequence[str], theirs: Sequence[str]) -> Iterator[Difference]:
    if mine == theirs:
        return
    more, fewer = Counter(mine) - Counter(theirs), Counter(theirs) - Counter(mine)
    if more or fewer:
        yield Difference(place, f"shows {_some(more)}; results.json gives {_some(fewer)}")
    else:
        yield Difference(place, "shows the same words in another order")


def _some(words: Counter[str]) -> str:
    told = list(words.elements())
    return " ".join(map(repr, told[:SHOWN])) + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "") or "nothing"
