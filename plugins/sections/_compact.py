"""Provenance on paper: a line per part of the audit in place of a row per option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ._reading import plain

ELSEWHERE = ("card", "chosen_by", "gates", "subgroups", "title")
"""Parts of the audit that other sections print."""


def compact(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(part, its options in one line) for nested values; what is not set is left out.

    >>> compact({"seed": 0, "limited": None, "analyses": [{"use": "outcomes", "options": {"fit": None, "specificity": 0.9}}]})
    [('seed', '0'), ('analyses', 'outcomes (specificity 0.9)')]
    """
    lines = ((name.replace("_", " "), _line(value)) for name, value in values.items() if name not in ELSEWHERE)
    return [(name, line) for name, line in lines if line]


def _line(value: Any) -> str:
    if isinstance(value, Mapping) and "use" in value:
        options = _line(value.get("options"))
        return f"{value['use']} ({options})" if options else str(value["use"])
    if isinstance(value, Mapping):
        return ", ".join(_parts(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        told = [line for item in value if (line := _line(item))]
        return ("; " if any(isinstance(item, Mapping) for item in value) else ", ").join(told)
    return "" if value is None or value == "" else plain(value)


def _parts(value: Mapping[str, Any]) -> Iterator[str]:
    for name, item in value.items():
        if line := _line(item):
            spoken = str(name).replace("_", " ")
            yield f"{spoken} ({line})" if isinstance(item, Mapping) else f"{spoken} {line}"
