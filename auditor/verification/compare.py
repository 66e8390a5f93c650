"""What results.json says against what follows from the tables, row by row and field by field."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..evidence import Evidence
from .found import Difference

TABLES = (
    "summaries", "comparisons", "repeated", "curves", "operating", "by_outcome", "detectors", "controls", "histograms", "profiles",
    "overlaps", "subgroups", "units", "gates", "findings", "gaps",
)  # fmt: skip
WHOLE = ("accounting", "metrics")
"""Not rows, but mappings that are made anew too."""
NAMED = (
    "metric", "analysis", "attribution", "check", "gate", "after", "unit", "feature", "outcome", "assuming", "by", "group", "against", "family", "strategy",
    "reference", "model", "base", "class", "kind", "reason",
)  # fmt: skip
"""What a row is about, in the order in which it is named; the other fields are what it says."""
NOT_A_NAME = {"gates": {"outcome"}, "controls": {"outcome"}}
ABSENT = "(absent)"
Row = Mapping[str, Any]
Passes = Callable[[str, Row, str], bool]
Same = Callable[[str, Row, str, Any, Any], bool]


def rows(evidence: Evidence) -> dict[str, Any]:
    """Evidence as results.json would hold it."""
    read: dict[str, Any] = json.loads(evidence.to_json())
    return read


def exactly(table: str, row: Row, field: str, one: Any, other: Any) -> bool:
    """Two values are the same to the last bit: the same code added in the same order."""
    return same(one, other, 0.0)


def everything(table: str, row: Row, field: str) -> bool:
    """Nothing is left out."""
    return False


def differences(
    told: Mapping[str, Any], made: Mapping[str, Any], alike: Same = exactly, left_out: Passes = everything
) -> tuple[list[Difference], int]:
    """(where they differ, how many numbers agree).

    `alike` says whether two values of a field count as the same, `left_out` which fields of which rows (field "" for a row
    without a counterpart) are not compared.
    """
    found: list[Difference] = []
    agree = 0
    for table in TABLES:
        for place, mine, theirs in _pairs(table, told[table], made[table]):
            if theirs is None:
                if not left_out(table, mine or {}, ""):
                    found.append(Difference(place, "stands in results.json and does not follow from the cases"))
            elif mine is None:
                if not left_out(table, theirs, ABSENT):
                    found.append(Difference(place, "follows from the cases and is not in results.json"))
            else:
                for field in sorted(mine.keys() | theirs.keys()):
                    if left_out(table, mine, field):
                        continue
                    one, other = mine.get(field), theirs.get(field)
                    if alike(table, mine, field, one, other):
                        agree += _numbers(one)
                    else:
                        found.append(Difference(place, f"{field} is {shown(one)}; from the cases it is {shown(other)}"))
    for name in WHOLE:
        if not left_out(name, {}, ""):
            found += _inside(name, told[name], made[name])
    return found, agree


def _pairs(table: str, told: Sequence[Row], made: Sequence[Row]) -> Iterator[tuple[str, Row | None, Row | None]]:
    """(place, row of results.json, row from the cases), one of them None where it has no counterpart.

    Rows are told apart by what they are about, and where several are about the same, by their order.
    """
    waiting: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in made:
        waiting[_about(table, row)].append(row)
    for row in told:
        partners = waiting[_about(table, row)]
        yield _place(table, row), row, partners.pop(0) if partners else None
    for left in waiting.values():
        yield from ((_place(table, row), None, row) for row in left)


def _about(table: str, row: Row) -> tuple[Any, ...]:
    names = [name for name in NAMED if name not in NOT_A_NAME.get(table, ())]
    return tuple(row.get(name) for name in names if not isinstance(row.get(name), list | dict))


def _place(table: str, row: Row) -> str:
    told = [str(part) for part in _about(table, row) if part not in (None, "")]
    return ", ".join([f"results.json, {table}", *told])


def same(one: Any, other: Any, near: float) -> bool:
    """Equal, numbers up to the relative difference `near`."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=near, abs_tol=near)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, near) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], near) for key in one)
    return bool(one == other)


def _inside(name: str, told: Any, made: Any) -> Iterator[Difference]:
    """Where two mappings differ, by the path of keys."""
    if isinstance(told, dict) and isinstance(made, dict):
        for key in sorted(told.keys() | made.keys()):
            yield from _inside(f"{name}, {key}", told.get(key), made.get(key))
    elif not same(told, made, 0.0):
        yield Difference(f"results.json, {name}", f"is {shown(told)}; from the cases it is {shown(made)}")


def _numbers(value: Any) -> int:
    if isinstance(value, list | dict):
        return sum(_numbers(item) for item in (value.values() if isinstance(value, dict) else value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:159]}…"
