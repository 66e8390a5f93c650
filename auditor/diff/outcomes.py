"""What was concluded: verdicts, gates, findings, sanity checks and the self-test, as far as they are not the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..evidence import Evidence
from ..findings import Finding
from ..wording import class_spoken, figure, spoken

NUMBERS = re.compile(r"[+−-]?\d[\d.,]*")


class Outcome(NamedTuple):
    """Something concluded by one audit or by both, not alike: "" where an audit does not say it."""

    kind: str
    what: str
    old: str
    new: str


def outcomes(old: Evidence, new: Evidence) -> list[Outcome]:
    """Everything that was concluded otherwise, the gravest kinds first."""
    return [
        *_self_test(old, new),
        *_told("gate", _gates(old), _gates(new)),
        *_told("sanity check", _controls(old), _controls(new)),
        *_findings(old, new),
        *_told("verdict", _verdicts(old), _verdicts(new)),
    ]


def _self_test(old: Evidence, new: Evidence) -> Iterator[Outcome]:
    told = [dict(side.self_test) for side in (old, new)]
    if told[0] != told[1]:
        yield Outcome("self-test", "planted truth", *(_score(one) for one in told))


def _score(told: dict[str, Any]) -> str:
    if not told:
        return "not taken"
    failed = f", wrong: {', '.join(map(str, told['failed']))}" if told["failed"] else ""
    return f"{told['passed']} of {told['of']}{failed}"


def _gates(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for row in evidence.gates:
        who = row.model or f"{row.strategy} minus {row.reference} ({row.family})"
        on = f" with {spoken(row.attribution)}" if row.attribution else ""
        claim = f"{row.claim.replace('_', ' ')} {figure(row.bound)}"
        yield f"{spoken(row.metric)}{on} {claim}, {class_spoken(row.class_name)}, {who} ({row.tier})", row.outcome


def _controls(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for row in evidence.controls:
        yield f"{spoken(str(row.attribution))} ({row.name}) on {row.model}", row.outcome


def _verdicts(evidence: Evidence) -> Iterator[tuple[str, str]]:
    for row in evidence.comparisons:
        on = f" with {spoken(row.attribution)}" if row.attribution else ""
        yield (
            f"{spoken(row.metric)}{on}, {class_spoken(row.class_name)}: {row.strategy} minus {row.reference} ({row.family})",
            row.verdict or "no verdict",
        )


def _told(kind: str, old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> Iterator[Outcome]:
    """What stands under one name on both sides, or on one, and does not say the same."""
    before, after = dict(old), dict(new)
    for what in dict.fromkeys([*after, *before]):
        if before.get(what, "") != after.get(what, ""):
            yield Outcome(kind, what, before.get(what, ""), after.get(what, ""))


def _findings(old: Evidence, new: Evidence) -> Iterator[Outcome]:
    """Findings that appeared or vanished; one that says the same with other numbers is the same finding.

    Findings of contrasts are left to the verdicts.
    """
    sides = [[finding for finding in side.findings if finding.kind != "result"] for side in (old, new)]
    counts = [Counter(_skeleton(finding) for finding in side) for side in sides]
    for which, other in ((1, 0), (0, 1)):
        spare = counts[which] - counts[other]
        for finding in sides[which]:
            if spare[_skeleton(finding)] > 0:
                spare[_skeleton(finding)] -= 1
                yield Outcome(finding.kind, finding.text, "" if which else "said", "said" if which else "")


def _skeleton(finding: Finding) -> tuple[str, str]:
    return finding.kind, NUMBERS.sub("#", finding.text)
