"""The strict reader of audit.yaml and train.yaml: plain values only, each with its line and column, every mistake at once.

YAML is taken at its word: only `true` and `false` are booleans, `no`, `off`, `12:30:45` and `0012` are text, `1e-4` is a
number. Anchors, aliases, merge keys, tags and duplicate keys are refused before anything is expanded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError
from .problems import Places, Problems, join, show

MAX_BYTES = 2**20
MAX_DEPTH = 32
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EMPTY: dict[type[yaml.Event], Callable[[], Any]] = {
    yaml.MappingStartEvent: dict,
    yaml.SequenceStartEvent: list,
    yaml.AliasEvent: str,
}
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def read(path: Path, problems: Problems) -> tuple[Any, Places]:
    """The file's value and the place of everything in it.

    What cannot be read at all raises ConfigError at once; what can be passed over is added to the problems.
    """
    places = Places(str(path))
    return parse(_text(path), places, problems), places


def parse(text: str, places: Places, problems: Problems) -> Any:
    """The value of a YAML text made of mappings, lists and scalars."""
    if bad := _UNPRINTABLE.search(text):
        raise ConfigError(f"{_at(places, text, bad.start())}: found the character U+{ord(bad[0]):04X}; allowed: printable text")
    loader = LOADER(text)
    builder = _Builder(places, problems)
    try:
        while loader.check_event() and builder.take(loader.get_event()):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problems.add(f"{places.file}:{line}:{column}: {_syntax(text, line, error)}")
        problems.stop()
    finally:
        loader.dispose()
    if builder.stopped:
        problems.stop()
    return builder.value


def scalar(text: str) -> Any:
    """What a plain (unquoted) scalar means.

    >>> [scalar(t) for t in ("no", "true", "0012", "12", "1e-4", "12:30:45", "1e999", "~")]
    ['no', True, '0012', 12, 0.0001, '12:30:45', '1e999', None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)) and not text.lstrip("+-").isdigit():
        return number
    return text


@dataclass
class _Open:
    """A mapping or a list whose end has not come yet; `key` waits for its value, which is dropped if `again`."""

    value: Any
    path: str
    key: str | None = None
    again: bool = False


class _Builder:
    """Builds the value from parser events, so that nothing hostile is ever expanded and no recursion is needed."""

    def __init__(self, places: Places, problems: Problems) -> None:
        self.value: Any = None
        self.stopped = False
        self._places, self._problems = places, problems
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> bool:
        """Take in one event; False when it makes no sense to go on."""
        assert event.start_mark is not None
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if event.tags:
                self._refuse(line, column, "", "found a %TAG directive; allowed: plain values")
            if self._documents > 1:
                self._refuse(line, column, "", "found a second document; allowed: one in a file")
            return self._documents == 1
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            return True
        if isinstance(event, yaml.NodeEvent):
            return self._node(event, line, column)
        return True

    def _node(self, event: yaml.NodeEvent, line: int, column: int) -> bool:
        holder = self._open[-1] if self._open else None
        if holder and isinstance(holder.value, dict) and holder.key is None:
            return self._key(holder, event, line, column)
        path = _child(holder)
        self._places.mark(path, line, column)
        self._plain(event, line, column, path)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value
            if isinstance(value, str) and _UNPRINTABLE.search(value):
                self._refuse(line, column, path, f"found {show(value)}; allowed: printable text")
        else:
            value = _EMPTY[type(event)]()
        self._attach(holder, value)
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Open(value, path))
            if len(self._open) > MAX_DEPTH:
                self._refuse(line, column, "", f"found values nested more than {MAX_DEPTH} deep; 5 are enough")
                self.stopped = True
        return not self.stopped

    def _key(self, holder: _Open, event: yaml.NodeEvent, line: int, column: int) -> bool:
        self._plain(event, line, column, holder.path)
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse(line, column, holder.path, "found a list or a mapping as a key; allowed: a word")
            self.stopped = True
            return False
        holder.key = event.value if isinstance(event, yaml.ScalarEvent) else f"*{event.anchor}"
        path = join(holder.path, holder.key)
        if _UNPRINTABLE.search(holder.key):
            self._refuse(line, column, holder.path, f"found the key {show(holder.key)}; allowed: printable text")
        if holder.key == "<<":
            self._refuse(line, column, holder.path, "found a merge key <<; allowed: write the values out")
        holder.again = holder.key in holder.value
        if holder.again:
            first = self._places.key_place(path).removeprefix(self._places.file).split(":")[1]
            self._refuse(line, column, path, f"found the key a second time; allowed: once (it is already on line {first})")
        holder.again = holder.again or holder.key == "<<" or isinstance(event, yaml.AliasEvent)
        self._places.mark_key(path, line, column)
        return True

    def _plain(self, event: yaml.NodeEvent, line: int, column: int, path: str) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(line, column, path, f"found the alias *{event.anchor}; allowed: write the value out")
            return
        if event.anchor:
            self._refuse(line, column, path, f"found the anchor &{event.anchor}; allowed: plain values")
        if event.tag:  # type: ignore[attr-defined]
            self._refuse(line, column, path, f"found the tag {show(event.tag)}; allowed: plain values")  # type: ignore[attr-defined]

    def _attach(self, holder: _Open | None, value: Any) -> None:
        if holder is None:
            self.value = value
        elif isinstance(holder.value, list):
            holder.value.append(value)
        else:
            if not holder.again:
                holder.value[holder.key] = value
            holder.key = None

    def _refuse(self, line: int, column: int, path: str, message: str) -> None:
        self._problems.add(f"{self._places.file}:{line}:{column}: {path}{': ' if path else ''}{message}")


def _child(holder: _Open | None) -> str:
    if holder is None:
        return ""
    return join(holder.path, len(holder.value) if isinstance(holder.value, list) else str(holder.key))


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            there = "a folder" if path.is_dir() else "no file"
            raise ConfigError(f"{path}: found {there}; allowed: a YAML file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}:1:1: found more than {MAX_BYTES:,} bytes; allowed: a YAML file of at most 1 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise ConfigError(f"{path}:{line}:{column}: found the byte 0x{data[error.start]:02X}; allowed: UTF-8 text") from None


def _at(places: Places, text: str, position: int) -> str:
    before = text[:position]
    return f"{places.file}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


def _syntax(text: str, line: int, error: yaml.MarkedYAMLError) -> str:
    rows = text.splitlines()
    row = rows[line - 1] if line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        return "found a tab before the text; allowed: spaces"
    parts = [part for part in (error.context, error.problem) if part]
    quotes = "; write a text with a colon in quotes" if "mapping values are not allowed" in str(error.problem) else ""
    return f"not readable as YAML: {', '.join(parts)}{quotes}"
