"""Rows of a table that lack a number for one and the same reason, told in one row that names and counts them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

COUNT = re.compile(r"(?<=\()\d[\d,]*(?= )")
"""The count that a reason opens its brackets with: `not estimable (3 positives; 10 are needed)`."""


class _Lacking(NamedTuple):
    name: str
    count: int | None
    reason: str


def folded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with a number as they are; then one for each group and reason that stands in every cell of its rows.

    A row has `name`, `group` and `cells`, each cell `missing`: a reason or None. A folded row has how many rows it stands for
    (`folds`) and their reason (`missing`) instead of cells. Reasons that differ in their count alone are one, with the fewest
    and the most; each name then has its own count.
    """
    kept: list[dict[str, Any]] = []
    alike: dict[tuple[str, str], list[_Lacking]] = {}
    for row in rows:
        reasons = {cell["missing"] for cell in row["cells"]}
        if len(reasons) == 1 and None not in reasons:
            reason = str(reasons.pop())
            count = COUNT.search(reason)
            lacking = _Lacking(row["name"], int(count[0].replace(",", "")) if count else None, reason)
            alike.setdefault((row["group"], COUNT.sub("", reason)), []).append(lacking)
        else:
            kept.append(dict(row))
    return kept + [_one(group, lacking) for (group, _), lacking in alike.items()]


def _one(group: str, lacking: Sequence[_Lacking]) -> dict[str, Any]:
    counts = sorted({one.count for one in lacking if one.count is not None})
    names, reason = [one.name for one in lacking], lacking[0].reason
    if len(counts) > 1:
        names = [f"{one.name} ({one.count:,})" for one in lacking]
        reason = COUNT.sub(f"{counts[0]:,} to {counts[-1]:,}", reason, count=1)
    return {"name": ", ".join(names), "group": group, "folds": len(lacking), "missing": reason}
