"""Gates held against the change: the grammar and the judge of audit.yaml's gates, with the old audit in place of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from .. import gated
from ..config import judging
from ..evidence import Evidence
from ..gated import GateOutcome
from ..gates import OF_CONTRASTS, Gate, check
from ..problems import Problems
from ..regate import measured
from ..statistics.rows import Comparison
from .changes import OLD, Changes

STILL, LEVEL = "no case moved", "although cases moved"


class Declared(NamedTuple):
    """The gates of a file that are about a change, each with its number in it, and what must be said of the others."""

    gates: tuple[tuple[int, Gate], ...]
    notes: tuple[str, ...]


def read(path: Path, new: Evidence) -> Declared:
    """The gates of a file (`gates:` and `claims:` as in audit.yaml, the rest is not read); raises ConfigError with every mistake.

    `strategy` may name any strategy, the reference too: every one is compared with itself in the old audit.
    """
    config, problems = judging(path), Problems()
    check(config, measured(new)._replace(reference=""), problems)
    problems.stop()
    gates = list(enumerate(config.judged_gates, 1))
    others = [
        f"gate {number} ({gate.claim}) is about a level and not about a change; auditor gate judges it"
        for number, gate in gates
        if gate.claim not in OF_CONTRASTS
    ]
    if not gates:
        others = [f"{path} declares no gate, so none was evaluated"]
    return Declared(tuple((number, gate) for number, gate in gates if gate.claim in OF_CONTRASTS), tuple(others))


def judge(
    gates: Sequence[tuple[int, Gate]], old: Evidence, new: Evidence, changes: Changes, why_not: str | None
) -> tuple[GateOutcome, ...]:
    """Every gate on every strategy (and architecture) that it is about; `why_not` says why nothing could be paired."""
    evidence = _as_evidence(old, new, changes, why_not)
    return tuple(replace(_settled(row), gate=number) for number, gate in gates for row in gated.judge([gate], evidence))


def _as_evidence(old: Evidence, new: Evidence, changes: Changes, why_not: str | None) -> Evidence:
    """The changes as contrasts with the old audit: one row per strategy and architecture, of all its networks together."""
    several = {_about(change.row) for change in changes.of_strategies}
    alone = [change for change in changes.of_networks if _about(change.row)[-2:] not in {about[-2:] for about in several}]
    rows = [change.row for change in (*changes.of_strategies, *alone)]
    known = {_about(row) for row in rows}
    rows += [row for row in _still(new, changes) if _about(row) not in known]
    there = {str(model["id"]) for model in old.models}
    missing = "the old audit has no such network"
    models = tuple(
        {**model, "error": model.get("error") or why_not or (None if model["id"] in there else missing)} for model in new.models
    )
    return replace(new, audit={**new.audit, "reference": OLD}, comparisons=tuple(rows), models=models, gaps=())


def _about(row: Comparison) -> tuple[str, str, str | None, str, str, str]:
    return row.metric, row.analysis, row.attribution, row.class_name, row.family, row.strategy


def _still(new: Evidence, changes: Changes) -> list[Comparison]:
    """A row of no change for what rests on cases of which none moved in any network of a strategy."""
    networks: dict[tuple[str, str], set[str]] = {}
    for network in new.models:
        networks.setdefault((str(network["strategy"]), str(network["family"])), set()).add(str(network["id"]))
    found: dict[Comparison, None] = {}
    for metric, analysis, attribution, model, name in changes.still:
        strategy, family = next(key for key, ids in networks.items() if model in ids)
        paired = [one for one in networks[strategy, family] if (metric, analysis, attribution, one) in changes.paired]
        if all((metric, analysis, attribution, one, name) in changes.still for one in paired):
            numbers = (0.0, 0.0, 0.0, 0, 0)
            moved = any((metric, analysis, attribution, one, name) in changes.level for one in paired)
            about = (metric, analysis, attribution, name, family, strategy, OLD)
            found[Comparison(*about, *numbers, note=LEVEL if moved else STILL, verdict="equivalent")] = None
    return list(found)


def _settled(row: GateOutcome) -> GateOutcome:
    """A number that did not move is told without the interval that it does not need."""
    if row.note not in (STILL, LEVEL):
        return row
    return replace(row, low=None, high=None, sentence=f"{row.sentence.partition(': 0.000')[0]}: unchanged, {row.note}")
