"""A finished run judged again, by its own gates or by those of another audit.yaml; reads results.json and nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from . import gated, gates
from .config import judging
from .errors import AuditError
from .evidence import Evidence
from .metric import Metric
from .problems import Problems
from .statistics.rows import Comparison, Summary

AFTERWARDS = "these gates were written or changed after the data had been measured"
NONE = "no gate is declared, so none was evaluated; declare what must hold under gates: in audit.yaml"


class Judged(NamedTuple):
    """The run with the outcomes of its gates, and what must be said of how they came about."""

    evidence: Evidence
    note: str | None


def judge_again(run: Path, audit: Path | None = None) -> Judged:
    """The outcomes of a run's own gates, or of those of `audit`; raises one ConfigError with every mistake in these."""
    evidence = evidence_of(run / "results.json")
    kept = evidence.audit.get("gates") or {"written": [], "afterwards": False}
    own = tuple(gates.Gate.model_validate(written) for written in kept["written"])
    wanted = _of_file(audit, evidence) if audit else own
    note = AFTERWARDS if kept["afterwards"] else None
    if gates.text(wanted) != gates.text(own):
        note = f"the gates of {audit} are not those of the run: they came after it"
    return Judged(replace(evidence, gates=gated.judge(wanted, evidence)), note if wanted else NONE)


def measured(evidence: Evidence) -> gates.Measured:
    """What a gate can be about in a finished run."""
    maps: dict[str, list[str]] = {}
    rows: list[Summary | Comparison] = [*evidence.summaries, *evidence.comparisons]
    for row in rows:
        if row.attribution and row.attribution not in maps.setdefault(row.metric, []):
            maps[row.metric].append(row.attribution)
    return gates.Measured(
        metrics={name: Metric(**declared) for name, declared in evidence.metrics.items()},
        maps=maps,
        strategies=tuple(dict.fromkeys(str(model["strategy"]) for model in evidence.models)),
        reference=str(evidence.audit["reference"]),
        classes=tuple(evidence.dataset["classes"]),
    )


def _of_file(audit: Path, evidence: Evidence) -> tuple[gates.Gate, ...]:
    config, problems = judging(audit), Problems()
    gates.check(config, measured(evidence), problems)
    problems.stop()
    return config.judged_gates


def evidence_of(results: Path) -> Evidence:
    """What a results.json says; raises AuditError where it cannot be read."""
    try:
        return Evidence.from_json(results.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuditError(
            f"{results}: cannot be read ({type(error).__name__}); run the audit again: finished work is kept"
        ) from error
