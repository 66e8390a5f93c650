"""The contact sheet: what was chosen, as pictures with the reason under each, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..report import new_environment, whole_page

Thumbs = Mapping[tuple[str, str], str]


def render(record: Mapping[str, Any], chosen: Sequence[Mapping[str, Any]], thumbs: Thumbs) -> str:
    """The page; every name in it is escaped, and the same selection gives the same bytes."""
    pool, query = record["pool"]["use"], record["query"]["use"]
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for row in chosen:
        groups.setdefault(row["class"], []).append({**row, "picture": thumbs.get((pool, row["id"]))})
    wanted = [
        {
            **asked,
            "pictures": [{"id": name, "picture": thumbs[query, name]} for name in asked["ids"] if (query, name) in thumbs],
        }
        for asked in record["query"]["classes"]
    ]
    return whole_page(
        new_environment(),
        "selection.html",
        title=record["title"],
        version=record["tool"],
        record=record,
        wanted=wanted,
        groups=list(groups.items()),
        shown=sum(row["picture"] is not None for rows in groups.values() for row in rows),
        total=len(chosen),
    )
