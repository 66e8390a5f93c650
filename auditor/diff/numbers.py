"""Numbers that cannot be paired, told as numbers with their own intervals; and numbers that changed though no case did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..evidence import Evidence
from ..statistics.rows import Comparison, Summary
from ..wording import class_spoken, spoken
from .changes import Changes

ALTERED = (
    "although no case that it rests on moved, nor the question: one of the two results.json was changed after its run, "
    "or was made by another version of a plugin"
)


class Number(NamedTuple):
    """One number as each audit reports it on its own cases; None where it does not. No claim is made of the difference."""

    metric: str
    analysis: str
    attribution: str | None
    model: str
    class_name: str
    old: Summary | None
    new: Summary | None

    def written(self) -> dict[str, Any]:
        """The number as one mapping."""
        sides = {name: None if row is None else _told(row) for name, row in (("old", self.old), ("new", self.new))}
        return {
            "metric": self.metric, "analysis": self.analysis, "attribution": self.attribution, "model": self.model,
            "class": self.class_name, **sides,
        }  # fmt: skip


def _told(row: Summary) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("value", "low", "high", "n", "n_patients", "missing", "note")}


def unpaired(old: Evidence, new: Evidence, changes: Changes) -> list[Number]:
    """Every number of a network of both audits that is not the same and has no paired change; absence on one side counts."""
    told = {
        (change.row.metric, change.row.analysis, change.row.attribution, change.who, change.row.class_name)
        for change in changes.of_networks
        if change.row.difference is not None
    }
    networks = {str(model["id"]) for model in old.models} & {str(model["id"]) for model in new.models}
    sides = [{_key(row): row for row in side.summaries if row.model in networks} for side in (old, new)]
    found = []
    for key in dict.fromkeys([*sides[1], *sides[0]]):
        a, b = sides[0].get(key), sides[1].get(key)
        if key not in told and key not in changes.still and _value(a) != _value(b):
            found.append(Number(*key, a, b))
    return found


def altered(old: Evidence, new: Evidence, changes: Changes) -> list[str]:
    """A sentence for each number that is reported otherwise although neither its cases nor the question changed."""
    same = [_question(side) for side in (old, new)]
    if same[0] != same[1] or changes.matched is None:
        return []
    quiet = {(analysis, attribution) for _, analysis, attribution, _ in changes.paired} - changes.moved
    return [
        *_odd(
            ((row.metric, row.class_name, row.model), row, ("value", "low", "high"))
            for side in (old, new)
            for row in side.summaries
            if (row.metric, row.analysis, row.attribution, row.model) in changes.paired
            and (row.analysis, row.attribution) in quiet
        ),
        *_odd(
            ((row.metric, row.class_name, f"{row.strategy} minus {row.reference} ({row.family})"), row, ("difference", "low", "high"))
            for side in (old, new)
            for row in side.comparisons
            if (row.analysis, row.attribution) in quiet
        ),
    ]  # fmt: skip


def _odd(rows: Iterable[tuple[tuple[str, str, str], Summary | Comparison, tuple[str, ...]]]) -> Iterator[str]:
    """The sentences of what is told twice, and not the same."""
    seen: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for (metric, class_name, who), row, parts in rows:
        key = metric, row.analysis, row.attribution, class_name, who
        seen.setdefault(key, []).append({part: getattr(row, part) for part in parts})
    for (metric, _, attribution, class_name, who), told in seen.items():
        if len(told) == 2 and told[0] != told[1]:
            what = next(part for part in told[0] if told[0][part] != told[1][part])
            on = f" with {spoken(attribution)}" if attribution else ""
            yield f"{spoken(metric)}{on}, {class_spoken(class_name)}, {who}: {what} {told[0][what]} became {told[1][what]} {ALTERED}"


def _question(evidence: Evidence) -> tuple[Any, ...]:
    """All that a number depends on beside the values of its cases."""
    lost = sorted(str(item["id"]) for item in evidence.accounting["quarantined"])
    audit = evidence.audit
    return (
        evidence.dataset["digest"], evidence.dataset["train"], lost, audit["seed"], audit["tool"], audit["analyses"],
        audit["attributions"], audit["reference"], evidence.metrics, [(model["id"], model["status"]) for model in evidence.models],
        {name: version for name, version in evidence.environment["packages"].items() if name in ("numpy", "scipy")},
    )  # fmt: skip


def _key(row: Summary) -> tuple[str, str, str | None, str, str]:
    return row.metric, row.analysis, row.attribution, row.model, row.class_name


def _value(row: Summary | None) -> float | None:
    return None if row is None else row.value
