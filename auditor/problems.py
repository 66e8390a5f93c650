"""Everything wrong with an audit.yaml at once: one line per mistake, in the order of the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, among, listed, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHOWN = 50
ENOUGH = 500
"""More mistakes than these are not looked into: a hostile file must not cost time."""

_POSITION = re.compile(r"^.*?:(\d+):(\d+): ", re.DOTALL)
_LAST_STEP = re.compile(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]*)$")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|([\w.+-]+)")


class Problems:
    """Collects mistakes; `stop` raises them together as one ConfigError, sorted by position."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def add(self, line: str) -> None:
        """Remember one mistake: `config.place(path)`, a colon, and what was found."""
        self._lines[line] = None

    def tells(self, what: str) -> bool:
        """Whether one of the mistakes says this already."""
        return any(what in line for line in self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self) -> list[str]:
        """All mistakes in the order of the file."""
        return sorted(self._lines, key=_position)

    def stop(self) -> None:
        """Raise ConfigError if there is any mistake."""
        if self._lines:
            raise ConfigError("\n".join([*self.lines()[:SHOWN], *(["... and more"] if len(self._lines) > SHOWN else [])]))


class Places:
    """Where in a file each value and each key stands; a path looks like `models[1].layers.attribution`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._values: dict[str, tuple[int, int]] = {}
        self._keys: dict[str, tuple[int, int]] = {}

    def mark(self, path: str, line: int, column: int) -> None:
        """Note where a value stands; the first note of a path holds."""
        self._values.setdefault(path, (line, column))

    def mark_key(self, path: str, line: int, column: int) -> None:
        """Note where a key stands; the first note of a path holds."""
        self._keys.setdefault(path, (line, column))

    def place(self, path: str) -> str:
        """`audit.yaml:16:12: models[1].layers`; for a path that was not written, the position of what would hold it."""
        return self._say(path, self._values)

    def key_place(self, path: str) -> str:
        """The same, for the key rather than its value."""
        return self._say(path, self._keys if path in self._keys else self._values)

    def _say(self, path: str, table: Mapping[str, tuple[int, int]]) -> str:
        at = path
        while at and at not in table:
            at = _LAST_STEP.sub("", at)
        line, column = table.get(at, (1, 1))
        return f"{self.file}:{line}:{column}: {path}" if path else f"{self.file}:{line}:{column}"


def plain_path(path: Path) -> Path:
    """The path without `a/../` in it, where that leads to the same place; behind a link it may not."""
    plain = Path(os.path.normpath(path))
    return plain if os.path.realpath(plain) == os.path.realpath(path) else path


def join(path: str, step: str | int) -> str:
    """The path one step further: a key or a number in a list."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


def show(value: object) -> str:
    """A value as the user wrote it, short enough for a line.

    >>> show("big"), show(True), show(None), show([1, 2])
    ("'big'", 'true', 'nothing', 'a list')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}...{text[-1]}"


def from_pydantic(errors: Iterable[ErrorDetails], data: Any, allowed: Sequence[str], word: str) -> dict[str, str]:
    """{path: message} in our words; `word` is what a key is called ("key", "option"), `allowed` are the top-level ones.

    Alternatives of a union that all fail share one path and become one message.
    """
    wanted: dict[str, list[str]] = {}
    finished: dict[str, str] = {}
    for error in errors:
        at, top = _path(error["loc"], data, error["type"])
        name = str(error["loc"][-1]) if error["loc"] else ""
        if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = allowed if top else ()
            finished[at] = f"unknown {word}" + (f"; allowed: {among(name, known)}" if top else "")
        elif error["type"].startswith("missing"):
            owner = word.removeprefix("option of ")
            finished[at] = "is missing" if owner == word else f"is missing; {owner} cannot do without"
        elif error["type"] in ("value_error", "assertion_error"):
            finished[at] = str(error["ctx"]["error"])
        elif not _is_long_enough(error, _value(data, at)):
            wanted.setdefault(at, []).append(_allowed(error))
    for at, options in wanted.items():
        finished.setdefault(at, _found(_value(data, at), list(dict.fromkeys(options))))
    return finished


def _position(line: str) -> tuple[int, int]:
    found = _POSITION.match(line)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _path(loc: Sequence[str | int], data: Any, kind: str) -> tuple[str, bool]:
    """The steps of a pydantic location that exist in the data (it also names union members), and whether it has one step."""
    path, steps = "", 0
    for number, step in enumerate(loc):
        in_list = isinstance(data, list) and isinstance(step, int) and step < len(data)
        is_there = in_list or (isinstance(data, dict) and step in data)
        if is_there:
            data = data[step]
        elif not (number == len(loc) - 1 and kind.startswith("missing")):
            continue
        path, steps = join(path, step), steps + 1
    return path, steps == 1


def _value(data: Any, path: str) -> Any:
    for name, number in re.findall(r"\.?([^.\[\]]+)|\[(\d+)\]", path):
        try:
            data = data[int(number)] if number else data[name]
        except (KeyError, IndexError, TypeError):
            return data
    return data


def _is_long_enough(error: ErrorDetails, value: Any) -> bool:
    """Whether a list is called too short only because some of its items are wrong."""
    return error["type"] == "too_short" and isinstance(value, list) and len(value) >= error["ctx"]["min_length"]


def _found(value: Any, allowed: list[str]) -> str:
    hint = nearest(value, _names(allowed)) if isinstance(value, str) else ""
    if "text" in allowed and isinstance(value, bool | int | float):
        hint = f" (write it in quotes: '{show(value)}')"
    return f"found {show(value)}; allowed: {' or '.join(listed(value, _names([words])) for words in allowed)}{hint}"


def _names(allowed: Iterable[str]) -> list[str]:
    return [name.strip() for option in allowed for name in option.split(",")]


_KINDS = {
    "bool": "true or false", "int": "a whole number", "float": "a number", "string": "text", "list": "a list",
    "tuple": "a list", "set": "a list", "frozen_set": "a list", "dict": "a mapping", "mapping": "a mapping",
    "path": "a path", "none_required": "nothing",
}  # fmt: skip
_BOUNDS = {
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}", "less_than": "less than {lt}",
    "less_than_equal": "at most {le}", "multiple_of": "a multiple of {multiple_of}", "string_too_short": "text, not empty",
    "string_too_long": "at most {max_length} characters", "finite_number": "a finite number",
}  # fmt: skip


def _allowed(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return ", ".join(quoted or bare for quoted, bare in _QUOTED.findall(context["expected"]) if bare != "or")
    if kind in ("model_type", "dataclass_type", "model_attributes_type"):
        return (
            "a name, or {use: name, option: value}"
            if context.get("class_name") in ("Use", "Architecture", "Combination", "Query")
            else "a mapping"
        )
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length") if kind == "too_short" else context.get("max_length")
        return f"a list of at {'least' if kind == 'too_short' else 'most'} {limit}"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    stem = kind.rsplit("_", 1)[0].removesuffix("_from").removesuffix("_parsing")
    return _KINDS.get(kind) or _KINDS.get(stem) or f"{error['msg'][:1].lower()}{error['msg'][1:]}"
