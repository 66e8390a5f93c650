"""Level 2, second half: report.html against the page that results.json gives, word by word."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import NamedTuple

from .found import Difference

ALIGNED = 4000
"""Pieces of a section that are aligned where their numbers differ; of longer ones only the first difference is told."""
_DATA = re.compile(r"data:[a-z/+.\-]+;base64,[A-Za-z0-9+/=]+")
_BLOCKS = (
    "tr",
    "p",
    "li",
    "figure",
    "figcaption",
    "caption",
    "dt",
    "dd",
    "h1",
    "h2",
    "h3",
    "h4",
    "summary",
    "details",
    "svg",
    "table",
)
LETTERS = "font/ttf"


class Piece(NamedTuple):
    """One tag with its attributes, or one text between tags, and where it stands in words."""

    section: str
    block: str
    what: str
    text: str

    @property
    def content(self) -> tuple[str, str]:
        """What is compared."""
        return self.what, self.text


class _Reader(HTMLParser):
    """The page as pieces; pictures and letters are named by their sha256."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[Piece] = []
        self._section = ""
        self._heading: list[str] | None = None
        self._blocks: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self._blocks.append((tag, []))
        if tag == "h2":
            self._heading = []
        told = " ".join(f'{name}="{self._short(value or "")}"' for name, value in attrs)
        self._add(f"<{tag}>", told)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2" and self._heading is not None:
            self._section, self._heading = " ".join(" ".join(self._heading).split()), None
        self._add(f"</{tag}>", "")
        if self._blocks and self._blocks[-1][0] == tag:
            self._blocks.pop()

    def handle_data(self, data: str) -> None:
        text = self._short(" ".join(data.split()))
        if not text:
            return
        if self._heading is not None:
            self._heading.append(data)
        self._add("text", text)
        if self._blocks:
            self._blocks[-1][1].append(text)

    def handle_comment(self, data: str) -> None:
        self._add("comment", data)

    def handle_decl(self, decl: str) -> None:
        self._add("declaration", decl)

    def unknown_decl(self, data: str) -> None:
        self._add("declaration", data)

    def handle_pi(self, data: str) -> None:
        self._add("instruction", data)

    def _add(self, what: str, text: str) -> None:
        tag, words = self._blocks[-1] if self._blocks else ("", [])
        self.pieces.append(Piece(self._section, " ".join([tag, " · ".join(words[:2])]).strip()[:100], what, text))

    def _short(self, value: str) -> str:
        def named(match: re.Match[str]) -> str:
            kind = match[0][5 : match[0].index(";")]
            if kind == LETTERS:
                return f"data:{kind}"
            return f"data:{kind};sha256,{hashlib.sha256(match[0].encode()).hexdigest()[:16]}"

        return _DATA.sub(named, value)


def pieces(html: str) -> list[Piece]:
    """All of a page in order: tags, their attributes, texts, comments; white space between words does not count."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.pieces


def differences(shown: str, made: str, pictured: bool = False) -> tuple[list[Difference], int]:
    """Where report.html says something else than the page made anew, by section and row.

    With `pictured` the page has pictures of which no other copy is at hand: pieces around them are counted, not compared.
    """
    if shown == made:
        return [], 0
    one, other = (_by_section(pieces(html)) for html in (shown, made))
    found: list[Difference] = []
    left_out = 0
    for name in dict.fromkeys([*one, *other]):
        for mine, theirs in _unlike(one.get(name, []), other.get(name, [])):
            if pictured and (_is_picture(mine) or _is_picture(theirs)):
                left_out += len(mine)
            else:
                found.append(_difference(name, mine, theirs))
    lines = [_DATA.sub("data:", html).splitlines() for html in (shown, made)]
    if not found and not left_out and lines[0] != lines[1]:  # what a browser may read otherwise than we do
        line = next((n for n, (x, y) in enumerate(zip(*lines, strict=False)) if x != y), min(map(len, lines)))
        found.append(Difference(f"report.html:{line + 1}", "is written otherwise than the page that results.json gives"))
    return found, left_out


def _is_picture(some: Sequence[Piece]) -> bool:
    """Whether pieces come with a picture, or say that there is none."""
    return any(piece.what in ("<img>", "<image>", "<figure>") or piece.text.startswith("data:image") for piece in some)


def sections(html: str) -> list[str]:
    """The titles of the sections, without their numbers."""
    return list(dict.fromkeys(piece.section.lstrip("0123456789 ") for piece in pieces(html) if piece.section))


def letters(html: str) -> list[str]:
    """The embedded fonts: a font that draws one digit as another changes what is read, and no word."""
    return [match[0] for match in _DATA.finditer(html) if match[0].startswith(f"data:{LETTERS}")]


def _by_section(found: Sequence[Piece]) -> dict[str, list[Piece]]:
    sections: dict[str, list[Piece]] = {}
    for piece in found:
        sections.setdefault(piece.section, []).append(piece)
    return sections


def _unlike(shown: Sequence[Piece], made: Sequence[Piece]) -> Iterator[tuple[Sequence[Piece], Sequence[Piece]]]:
    """The stretches of a section that are not alike, aligned; in a long section of unequal length only the first."""
    a, b = [piece.content for piece in shown], [piece.content for piece in made]
    if len(a) == len(b):
        yield from (([mine], [theirs]) for mine, theirs in zip(shown, made, strict=True) if mine.content != theirs.content)
        return
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if max(len(a), len(b)) - start > ALIGNED:
        yield shown[start : start + 1], made[start : start + 1]
        return
    for kind, i, j, k, m in SequenceMatcher(None, a[start:], b[start:], autojunk=False).get_opcodes():
        if kind != "equal":
            yield shown[start + i : start + j], made[start + k : start + m]


def _difference(section: str, shown: Sequence[Piece], made: Sequence[Piece]) -> Difference:
    where = (made or shown)[0].block if made or shown else ""
    place = ", ".join(part for part in ("report.html", section and f"section {section!r}", where) if part)
    mine, theirs = _told(shown), _told(made)
    start = next((n for n, (x, y) in enumerate(zip(mine, theirs, strict=False)) if x != y), 0)
    return Difference(place, f"shows {_cut(mine, start)}; results.json gives {_cut(theirs, start)}")


def _told(some: Sequence[Piece]) -> str:
    return " ".join(
        piece.text if piece.what == "text" else f"{piece.what[:-1]} {piece.text}>" if piece.text else piece.what
        for piece in some
    )


def _cut(words: str, start: int) -> str:
    """At most 160 characters around the first that differs."""
    if not words:
        return "nothing"
    before = max(start - 60, 0) if len(words) > 160 else 0
    part = words[before : before + 160]
    return repr(f"{'…' if before else ''}{part}{'…' if before + 160 < len(words) else ''}")
