"""Verdicts for readers: what each of them means, and the overall contrasts with theirs."""

from __future__ import annotations

from typing import Any

from auditor import Evidence
from auditor.drawing import figure, key

from ._reading import class_title, strategies, title

NO_VERDICT = "no verdict"
MEANINGS = {
    "different": "the difference is larger than chance explains, after allowing for how many differences were looked at.",
    "equivalent": "whatever difference there is lies within the margin that audit.yaml calls negligible.",
    "different but negligible": "there is a difference, and it lies within that margin.",
    "inconclusive": "these data can show neither a difference nor equivalence; it does not mean that the two are the same.",
    NO_VERDICT: "too few patients for any claim; the note beside the number says how few.",
}
OVERALL = ("(macro)", "(image)")


def verdict_words(row: Any) -> str:
    """The verdict of a contrast, or that there is none."""
    return str(row.verdict or NO_VERDICT)


def overall_verdicts(evidence: Evidence) -> list[dict[str, Any]]:
    """A row per overall contrast that has a difference, the primary claims first."""
    order = strategies(evidence)
    rows = [row for row in evidence.comparisons if row.class_name in OVERALL and row.difference is not None]
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
            "low": row.joint_low if row.joint_low is not None else row.low,
            "high": row.joint_high if row.joint_high is not None else row.high,
            "p": "not tested"
            if row.p_adjusted is None
            else "<\u00a00.001"
            if row.p_adjusted < 0.001
            else figure(row.p_adjusted),
            "margin": "none" if row.margin is None else figure(row.margin),
            "smallest": "not known" if row.smallest_margin is None else figure(row.smallest_margin),
            "verdict": verdict_words(row),
        }
        for row in rows
    ]


def meanings(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(verdict, what it means) for the verdicts that occur, in a fixed order."""
    found = {row["verdict"] for row in rows}
    return [(name, words) for name, words in MEANINGS.items() if name in found]
