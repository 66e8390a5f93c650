"""The gates as page one shows them: what is demanded, the number it is held against, and how it came out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from auditor import Evidence
from auditor.drawing import figure, signed

from ._apart import set_apart
from ._reading import class_title, title

GRAVEST = ("failed", "not evaluated", "inconclusive", "passed")
MEANINGS = {
    "passed": "the numbers show what the gate demands.",
    "failed": "the numbers show that it does not hold.",
    "inconclusive": "the interval reaches to both sides of the bound, or is not reliable: these data cannot tell.",
    "not evaluated": "there is no number to hold against the bound.",
}
VERDICTS = {
    "failed": "This audit does not pass its gates.",
    "not evaluated": "Whether this audit passes its gates cannot be said.",
    "inconclusive": "Whether this audit passes its gates cannot be said.",
    "passed": "This audit passes its gates.",
}
NOTHING_BLOCKS = "No gate of this audit is blocking."
WEAK = "A gate that only asks for a strategy not to be shown worse also passes when there are few data; it proves no equality."


def gate_table(evidence: Evidence) -> dict[str, Any] | None:
    """A part per gate with its rows, the outcomes in a sentence, and what they mean; None where audit.yaml declares no gate."""
    if not evidence.gates:
        return None
    parts = [_part(evidence, [row for row in evidence.gates if row.gate == number]) for number in _numbers(evidence)]
    found = {row.outcome for row in evidence.gates}
    tiers = {tier: [part["outcome"] for part in parts if part["tier"] == tier] for tier in ("blocking", "advisory")}
    return {
        "parts": parts,
        "verdict": VERDICTS[min(tiers["blocking"], key=GRAVEST.index)] if tiers["blocking"] else NOTHING_BLOCKS,
        "blocking": _counted(tiers["blocking"]),
        "advisory": _counted(tiers["advisory"]),
        "meanings": [(outcome, MEANINGS[outcome]) for outcome in reversed(GRAVEST) if outcome in found],
        "weak": WEAK if any(row.claim == "not_shown_worse" and row.outcome == "passed" for row in evidence.gates) else "",
        "left_out": any(part["others"] for part in parts),
        "apart": set_apart(evidence, *dict.fromkeys(row.metric for row in evidence.gates)),
        "afterwards": bool(evidence.audit["gates"]["afterwards"]),
    }


def _numbers(evidence: Evidence) -> list[int]:
    return list(dict.fromkeys(row.gate for row in evidence.gates))


def _counted(outcomes: Sequence[str]) -> str:
    """`2 passed, 1 failed`, the gravest last; empty where there is none."""
    counts = Counter(outcomes)
    return ", ".join(f"{figure(counts[outcome])} {outcome}" for outcome in reversed(GRAVEST) if counts[outcome])


def _part(evidence: Evidence, rows: Sequence[Any]) -> dict[str, Any]:
    """One gate. Of what passed only the row closest to the bound is shown, so that a gate on many networks stays short."""
    passed = sorted((row for row in rows if row.outcome == "passed"), key=_distance)
    shown = [row for row in rows if row.outcome != "passed"] + passed[:1]
    first = rows[0]
    what = f"{title(first.metric)}, {class_title(first.class_name).lower() if first.class_name.startswith('(') else first.class_name}"
    return {
        "what": what,
        "demand": _demand(first),
        "tier": first.tier,
        "outcome": min((row.outcome for row in rows), key=GRAVEST.index),
        "rows": [_row(evidence, row) for row in shown],
        "others": len(rows) - len(shown),
    }


def _distance(row: Any) -> float:
    """How far the end that counts lies on the good side of the bound; the smallest is the closest call."""
    low, high = (row.estimate, row.estimate) if row.low is None else (row.low, row.high)
    counts = {"not_shown_worse": (high, low)}.get(row.claim, (low, high))
    return float(counts[0] - row.bound if row.better == "higher" else row.bound - counts[1])


def _demand(row: Any) -> str:
    """The claim in words."""
    size = figure(abs(row.bound) if row.reference else row.bound)
    return {
        "noninferior": f"not worse than {row.reference} by more than {size}",
        "not_shown_worse": f"not shown to be worse than {row.reference}",
        "at_least": f"at least {size}",
        "at_most": f"at most {size}",
    }[row.claim]


def _row(evidence: Evidence, row: Any) -> dict[str, Any]:
    show = signed if row.reference else figure
    several = len({model["family"] for model in evidence.models}) > 1
    who = row.model or (f"{row.strategy} − {row.reference}" + (f" ({row.family})" if several else ""))
    cells = {"who": f"{who}, {title(row.attribution)}" if row.attribution else who, "outcome": row.outcome}
    if row.estimate is None:
        return cells | {"missing": row.missing, "number": "", "interval": "", "bound": _bound(row), "note": ""}
    interval = "no interval" if row.low is None else f"{show(row.low)} to {show(row.high)}"
    note = row.note if not row.reliable and row.note else ""
    return cells | {"missing": "", "number": show(row.estimate), "interval": interval, "bound": _bound(row), "note": note}


def _bound(row: Any) -> str:
    """What the interval, or the number where there is none, must do."""
    higher, size = row.better == "higher", (signed if row.reference else figure)(row.bound)
    if row.claim == "not_shown_worse":
        return f"not all {'below' if higher else 'above'} 0"
    return f"{'all ' if row.reference or row.low is not None else ''}{'at least' if higher else 'at most'} {size}"
