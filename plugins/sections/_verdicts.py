"""Verdicts for readers: what each of them means, and the overall contrasts with theirs."""

from __future__ import annotations

from typing import Any

from auditor import Evidence
from auditor.adjusted import MARK, NOTE, only_alone
from auditor.drawing import figure, key
from auditor.wording import p_value

from ._reading import class_title, strategies, title

NO_VERDICT = "no verdict"
MEANINGS = {
    "different": "the difference is larger than chance explains, after allowing for how many differences were looked at.",
    "equivalent": "whatever difference there is lies within the margin that audit.yaml calls negligible.",
    "different but negligible": "there is a difference, and it lies within that margin.",
    "inconclusive": "these data can show neither a difference nor equivalence; it does not mean that the two are the same.",
    NO_VERDICT: "no claim can be made of it; the note beside the number says why, mostly too few patients.",
}
OVERALL = ("(macro)", "(image)")
CLEAREST = 20
"""Exploratory contrasts in the table of verdicts: those whose difference is largest against the width of its interval."""


def verdict_words(row: Any) -> str:
    """The verdict of a contrast, or that there is none."""
    return str(row.verdict or NO_VERDICT)


def joint(row: Any) -> tuple[float | None, float | None]:
    """The interval that a verdict rests on: the one that holds together with its family's, where there is one."""
    return (row.low, row.high) if row.joint_low is None else (row.joint_low, row.joint_high)


def overall_verdicts(evidence: Evidence) -> tuple[list[dict[str, Any]], int]:
    """A row per overall contrast that is a primary claim, then the clearest of the others; and how many those leave out."""
    order = strategies(evidence)
    every = [row for row in evidence.comparisons if row.class_name in OVERALL and row.difference is not None]
    clearest = sorted((row for row in every if row.claim != "primary"), key=_clearness, reverse=True)[:CLEAREST]
    rows = [row for row in every if row.claim == "primary" or row in clearest]
    return _rows(evidence, rows, order), len(every) - len(rows)


def _clearness(row: Any) -> float:
    """How many times its interval's width the difference is; without an interval it comes last."""
    return abs(row.difference) / max(row.high - row.low, 1e-12) if None not in (row.low, row.high) else -1.0


def _rows(evidence: Evidence, rows: list[Any], order: list[str]) -> list[dict[str, Any]]:
    numbers = list(dict.fromkeys((row.metric, row.attribution) for row in rows))
    rows.sort(key=lambda row: (row.claim != "primary", numbers.index((row.metric, row.attribution))))
    several = len({row.family for row in rows}) > 1
    return [
        {
            "metric": f"{title(row.metric)}, {title(row.attribution)}" if row.attribution else title(row.metric),
            "over": class_title(row.class_name),
            "family": row.family if several else None,
            "mark": key(row.strategy, order),
            "strategy": row.strategy,
            "stamped": row.attribution in evidence.stamps() and "sanity check" in (row.note or ""),
            "primary": row.claim == "primary",
            "difference": row.difference,
            "low": joint(row)[0],
            "high": joint(row)[1],
            "p": "not tested" if row.p_adjusted is None else p_value(row.p_adjusted),
            "margin": "none" if row.margin is None else figure(row.margin),
            "smallest": "not known" if row.smallest_margin is None else figure(row.smallest_margin),
            "verdict": verdict_words(row),
            "alone": MARK if only_alone(row.low, row.high, row.verdict) else "",
        }
        for row in rows
    ]


def alone(rows: list[dict[str, Any]]) -> tuple[str, str] | None:
    """The mark of verdicts that only the number of contrasts made inconclusive, and what it says; None where no row has it."""
    return (MARK, NOTE) if any(row["alone"] for row in rows) else None


def meanings(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(verdict, what it means) for the verdicts that occur, in a fixed order."""
    found = {row["verdict"] for row in rows}
    return [(name, words) for name, words in MEANINGS.items() if name in found]
