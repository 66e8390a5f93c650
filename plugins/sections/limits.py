"""Every limit of this audit in one place: what failed, what to look at first, what the data are too few for, what can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many

from ._card import card_rows
from ._reading import OVER_CLASSES, title

FEW = 20
"""Images with a finding below which its numbers are called weak, as the verdicts do with patients."""
OVERALL = ("(macro)", "(image)")


class Limits(Section):
    """Alarms, cautions and notes as judged; limits counted from the evidence; the card's risks."""

    name = "limits"
    title = "Limits and warnings"
    template = "limits.html"
    order = 140

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Sentences by kind, and rows of the card."""
        by_kind = {kind: [f.text for f in evidence.findings if f.kind == kind] for kind in ("alarm", "caution", "note")}
        return {
            "alarms": by_kind["alarm"],
            "cautions": by_kind["caution"],
            "notes": by_kind["note"],
            "counted": [text for text in (_few(evidence), _undecided(evidence), _unmeasured(evidence), _boxes(evidence),
                                          _thresholds(evidence), _exploratory(evidence)) if text],
            "stated_rows": card_rows(evidence, "risk.unintended_outcomes", "risk.level"),
        }  # fmt: skip


def _few(evidence: Evidence) -> str:
    counts = evidence.dataset.get("counts") or {}
    positive = {name: count.get("positive") for name, count in counts.items()}
    few = {name: n for name, n in positive.items() if n is not None and n < FEW}
    said = ", ".join(f"{name} ({figure(n)})" for name, n in few.items())
    return (
        f"Few images with the finding, fewer than {FEW}: {said}. Numbers of these findings are weak or missing." if few else ""
    )


def _undecided(evidence: Evidence) -> str:
    """Overall contrasts whose interval is too wide to decide anything."""
    judged = [row for row in evidence.comparisons if row.class_name in OVERALL and row.verdict]
    open_ = [row for row in judged if row.verdict == "inconclusive"]
    if not open_:
        return ""
    return (
        f"{figure(len(open_))} of {figure(len(judged))} overall contrasts are inconclusive: their interval is too wide to show a difference "
        "or that there is none. More patients would be needed."
    )


def _unmeasured(evidence: Evidence) -> str:
    lacking = [row for row in evidence.summaries if row.value is None and row.class_name not in OVER_CLASSES]
    if not lacking:
        return ""
    return f"{figure(len(lacking))} of {how_many(len(evidence.summaries), 'number')} have no value; each says why in its place."


def _boxes(evidence: Evidence) -> str:
    boxed, used = evidence.dataset.get("boxed_images"), evidence.accounting["used"]
    if not isinstance(boxed, int):
        return ""
    if boxed == 0:
        return "No image has a reference box: where the networks look could not be held against anything."
    return (
        f"Only {figure(boxed)} of {how_many(used, 'image')} have a reference box: what is said about maps holds for these."
        if boxed < used
        else ""
    )


def _thresholds(evidence: Evidence) -> str:
    if not evidence.operating or any(point.apart for point in evidence.operating):
        return ""
    return "Thresholds were set on the audited images themselves, so the counts of right and wrong are exploratory."


def _exploratory(evidence: Evidence) -> str:
    claims = evidence.audit.get("claims") or {}
    primary = ", ".join(title(str(name)) for name in claims.get("primary") or ())
    if not primary:
        return "No claim was declared beforehand: every verdict of this report is exploratory."
    return f"Everything but the claims that were declared ({primary}) is exploratory."


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Limits]
