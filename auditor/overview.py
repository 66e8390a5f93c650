"""What a few lines can say of an audit: its size, the contrasts that stand first, the gates that were not passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .evidence import Evidence, Finding, GateOutcome
from .statistics.rows import IMAGE, MACRO, Comparison
from .wording import clean_label, figure, how_many, signed, title

SHOWN = 8
"""Contrasts, and gates, that are told; the report has all of them."""
MAIN = 3


def main_findings(evidence: Evidence) -> list[Finding]:
    """The sentences about the contrasts with a verdict that stand first: primary claims, then the clearest; one per metric, three in all."""
    texts: dict[tuple[str | None, ...], Finding] = {}
    for finding in evidence.findings:
        if finding.kind == "result":
            texts.setdefault((finding.metric, finding.strategy, finding.class_name), finding)
    chosen: dict[str, Finding] = {}
    for row in _ranked(evidence):
        told = texts.get((row.metric, row.strategy, row.class_name))
        if told is not None and row.verdict:
            chosen.setdefault(row.metric, told)
    return list(chosen.values())[:MAIN]


def overall(evidence: Evidence) -> tuple[list[Comparison], int]:
    """The overall contrasts that stand first, and how many more there are."""
    rows = _ranked(evidence)
    return rows[:SHOWN], len(rows) - len(rows[:SHOWN])


def _ranked(evidence: Evidence) -> list[Comparison]:
    """Overall contrasts that have a number: primary claims first, then those largest against the width of their interval."""

    def clearness(row: Comparison) -> tuple[bool, float]:
        if row.difference is None or row.low is None or row.high is None:
            return row.claim != "primary", 1.0
        return row.claim != "primary", -abs(row.difference) / max(row.high - row.low, 1e-12)

    rows = [row for row in evidence.comparisons if row.class_name in (MACRO, IMAGE) and row.difference is not None]
    return sorted(rows, key=clearness)


def cells(row: Comparison, stamped: Iterable[str | None]) -> tuple[str, str, str, str, str]:
    """Metric, contrast, difference, interval and verdict in words."""
    assert row.difference is not None
    name = f"{title(row.metric)}, {title(row.attribution)}" if row.attribution else title(row.metric)
    if row.attribution in stamped and "sanity check" in (row.note or ""):
        name += " (failed a sanity check)"
    interval = "no interval" if row.low is None or row.high is None else f"{signed(row.low)} to {signed(row.high)}"
    sides = f"{clean_label(row.strategy, 40)} − {clean_label(row.reference, 40)}"
    return clean_label(name), sides, signed(row.difference), interval, clean_label(row.verdict or "no verdict")


ALONE = "Intervals are those of each contrast alone; verdicts allow for how many were looked at, and so do joint_low and joint_high in .comparisons."


def levels(evidence: Evidence) -> list[str]:
    """Where nothing is contrasted: the first overall numbers of the networks that have a better direction."""
    judged = {
        name
        for name, metric in evidence.metrics.items()
        if metric["better"] != "neither" and not (metric["repeats"] or metric["after"])
    }
    networks = {model["id"] for model in evidence.models}
    said = []
    for row in evidence.summaries:
        if row.metric in judged and row.class_name in (MACRO, IMAGE) and row.model in networks and row.value is not None:
            name = f"{title(row.metric)}, {title(row.attribution)}" if row.attribution else title(row.metric)
            interval = "" if row.low is None or row.high is None else f" ({figure(row.low)} to {figure(row.high)})"
            said.append(f"{name} of {clean_label(row.model)}: {figure(row.value)}{interval}")
    return said[:SHOWN]


def unmet(evidence: Evidence) -> list[GateOutcome]:
    """Gates that did not pass, the blocking ones first."""
    return sorted((row for row in evidence.gates if row.outcome != "passed"), key=lambda row: row.tier != "blocking")


def counted(outcomes: Iterable[str]) -> str:
    """`4 passed, 1 inconclusive`, or nothing."""
    return ", ".join(f"{figure(count)} {outcome}" for outcome, count in Counter(outcomes).most_common())


def size(evidence: Evidence) -> str:
    """Networks, images and patients, and that none was dropped in silence."""
    account, patients = evidence.accounting, evidence.dataset.get("patients")
    of = f" of {how_many(patients, 'patient')}" if isinstance(patients, int) else ""
    return (
        f"{how_many(len(evidence.models), 'network')}, {how_many(account['used'], 'image')}{of}; "
        f"listed {figure(account['listed'])} = used {figure(account['used'])} + quarantined {figure(len(account['quarantined']))}"
    )
