"""What is printed in full: the numbers that a claim or a gate asks about. Of all others paper holds what is over all classes."""

from __future__ import annotations

from auditor import Evidence

CASES, CHOSEN = 4, 2
"""Pictures that are printed: of the cases chosen beforehand, and of each kind chosen by outcome."""


def asked_about(evidence: Evidence) -> set[str]:
    """Metrics of the primary claims and the gates; where audit.yaml asks about none, the first of every analysis."""
    claimed = {*((evidence.audit.get("claims") or {}).get("primary") or ()), *(gate.metric for gate in evidence.gates)}
    if claimed:
        return claimed
    first: dict[tuple[str, str | None], str] = {}
    for row in evidence.comparisons:
        first.setdefault((row.analysis, row.attribution), row.metric)
    return set(first.values())
