"""Rows without a number are told together: none is lost, and none that has a number is touched."""

from __future__ import annotations

from typing import Any

from auditor_plugins.sections._folded import folded
from hypothesis import given
from hypothesis import strategies as st

REASONS = st.sampled_from(
    [None, "not estimable in any class", *(f"not estimable ({n} positives; 10 are needed)" for n in (0, 3, 9))]
)


def row(name: str, group: str, *reasons: str | None) -> dict[str, Any]:
    return {"name": name, "group": group, "cells": [{"missing": reason} for reason in reasons]}


def test_one_line_names_the_rows_with_their_counts() -> None:
    few = [f"not estimable ({n} positives; 10 are needed)" for n in (3, 1_200, 3)]
    told = folded([row("Mean", "A", None), *(row(name, "A", why, why) for name, why in zip("xyz", few, strict=True))])
    assert [line["name"] for line in told] == ["Mean", "x (3), y (1,200), z (3)"]
    assert told[1] | {"name": ""} == {
        "name": "", "group": "A", "folds": 3, "missing": "not estimable (3 to 1,200 positives; 10 are needed)",
    }  # fmt: skip
    same = folded([row("x", "A", few[0]), row("z", "A", few[0]), row("x", "B", few[0])])
    assert [(line["name"], line["group"], line["missing"]) for line in same] == [("x, z", "A", few[0]), ("x", "B", few[0])]


def test_a_reason_that_is_not_that_of_every_strategy_keeps_its_row() -> None:
    rows = [row("x", "A", "no box", None), row("y", "A", "no box", "other")]
    assert folded(rows) == rows


@given(st.lists(st.lists(REASONS, min_size=2, max_size=2), max_size=12))
def test_every_row_is_told_once(reasons: list[list[str | None]]) -> None:
    rows = [row(f"class {n}", "AB"[n % 2], *why) for n, why in enumerate(reasons)]
    told = folded(rows)
    assert [line for line in told if "folds" not in line] == [
        one for one in rows if len({c["missing"] for c in one["cells"]}) > 1 or one["cells"][0]["missing"] is None
    ]
    assert sum(line.get("folds", 1) for line in told) == len(rows)
    for one in rows:
        assert sum(f"{one['name']}," in f"{line['name'].replace(' (', ', (')}," for line in told) == 1
