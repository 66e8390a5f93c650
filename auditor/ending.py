"""How an audit ended, as an exit code, from its evidence alone."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import ExitCode, gravest
from .evidence import Evidence, GateOutcome


def exit_code(evidence: Evidence) -> ExitCode:
    """The gravest of what the measurements and the gates say."""
    return gravest(of_measurements(evidence), of_gates(evidence))


def of_measurements(evidence: Evidence) -> ExitCode:
    """Complete, or incomplete: something failed, or more images were quarantined than allowed."""
    accounting = evidence.accounting
    share = len(accounting["quarantined"]) / max(accounting["listed"], 1)
    failed = any(gap.reason.startswith("failed") for gap in evidence.gaps) or any(
        m["status"] == "failed" for m in evidence.models
    )
    failed |= any(finding.kind == "alarm" for finding in evidence.findings)
    return ExitCode.INCOMPLETE if failed or share > accounting["max_quarantine"] else ExitCode.COMPLETE


def of_gates(evidence: Evidence) -> ExitCode:
    """What the blocking gates say: one that failed, or one that these data cannot answer. Advisory gates say nothing here."""
    return of_outcomes(evidence.gates)


def of_outcomes(gates: Iterable[GateOutcome]) -> ExitCode:
    """The same of outcomes that stand alone."""
    blocking = {row.outcome for row in gates if row.tier == "blocking"}
    if "failed" in blocking:
        return ExitCode.GATE_FAILED
    return ExitCode.INCOMPLETE if blocking - {"passed"} else ExitCode.COMPLETE
