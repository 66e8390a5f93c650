"""Questions that audit.yaml declared beforehand and that these data could not answer, for page one: what, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from auditor import Evidence
from auditor.wording import absence

from ._per_strategy import listed
from ._reading import title

OVERALL = ("(macro)", "(image)")


def unanswered(evidence: Evidence) -> list[str]:
    """A sentence per declared claim and reason: on the overall contrasts, then on each attribute that patients are told apart by."""
    claims = evidence.audit.get("claims") or {}
    return [
        *(text for metric in claims.get("primary") or () for text in _overall(evidence, str(metric))),
        *(
            text
            for told in evidence.audit.get("subgroups") or ()
            for metric in told["primary"]
            for text in _by_group(evidence, str(told["by"]), str(metric))
        ),
    ]


def _overall(evidence: Evidence, metric: str) -> Iterator[str]:
    if len({model["strategy"] for model in evidence.models}) < 2:
        return
    rows = [row for row in evidence.contrasts(metric) if row.class_name in OVERALL]
    if not rows:
        yield f"{title(metric)}: nothing was contrasted; the section on gaps says why."
    sides = {row.strategy for row in rows}
    for why, lacking in _reasons(rows).items():
        yield f"{title(metric)}, {_who(lacking, sides)} against {lacking[0].reference}: {why}."


def _by_group(evidence: Evidence, by: str, metric: str) -> Iterator[str]:
    rows = [
        row
        for row in evidence.subgroups
        if (row.by, row.metric) == (by, metric) and row.class_name in OVERALL and row.against is not None
    ]
    if not rows:
        yield f"{title(metric)} by {by}: no two groups could be held against each other."
    for why, lacking in _reasons(rows).items():
        groups = listed(list(dict.fromkeys(f"{row.group} against {row.against}" for row in lacking)))
        yield f"{title(metric)} by {by}, {groups}, {_who(lacking, {row.strategy for row in rows})}: {why}."


def _reasons(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """The rows without a verdict, by the reason they give."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        if row.verdict is None:
            why = absence(row.missing) if row.missing is not None else f"no verdict ({row.note or 'no reason given'})"
            found.setdefault(why, []).append(row)
    return found


def _who(lacking: Iterable[Any], sides: set[str]) -> str:
    names = list(dict.fromkeys(row.strategy for row in lacking))
    return "every strategy" if len(sides) > 1 and sides == set(names) else listed(names)
