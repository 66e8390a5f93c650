"""The first page: what was audited, what failed, what can and cannot be concluded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Finding, Section, hookimpl
from auditor.drawing import figure

from ._reading import strategies

MAIN = 3


class Summary(Section):
    """Failures first, then the main findings, then the limits of what they mean."""

    name = "summary"
    title = "Summary"
    template = "summary.html"
    order = 10

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Facts, alarms, findings and limits."""
        results = [finding for finding in evidence.findings if finding.kind == "result"]
        main = main_findings(evidence, results)
        order = strategies(evidence)
        return {
            "models": len(evidence.models),
            "reference": order[0] if order else "none",
            "strategies": order,
            "facts": _facts(evidence, order),
            "alarms": [finding.text for finding in evidence.findings if finding.kind == "alarm"],
            "main": [finding.text for finding in main],
            "others": len(results) - len(main),
            "can": _can(evidence),
            "cannot": _cannot(evidence),
            "notes": [finding.text for finding in evidence.findings if finding.kind == "note"],
        }


def main_findings(evidence: Evidence, results: list[Finding]) -> list[Finding]:
    """The contrasts that are largest against the width of their interval, at most one per metric, at most three."""

    def strength(finding: Finding) -> float:
        rows = [
            row
            for row in evidence.contrasts(finding.metric, class_name=finding.class_name)
            if finding.metric and row.strategy == finding.strategy and None not in (row.difference, row.low, row.high)
        ]
        return max((abs(row.difference) / max(row.high - row.low, 1e-12) for row in rows), default=-1.0)  # type: ignore[arg-type,operator]

    chosen: dict[str, Finding] = {}
    for finding in sorted(results, key=strength, reverse=True):
        chosen.setdefault(finding.metric or finding.text, finding)
    return list(chosen.values())[:MAIN]


def _facts(evidence: Evidence, order: list[str]) -> list[tuple[str, str, str]]:
    account, data = evidence.accounting, evidence.dataset
    lost = len(account.get("quarantined", ()))
    boxed = data.get("boxed_images")
    patients = data.get("patients")
    test = evidence.self_test
    tried = (
        "Self-test",
        f"{figure(test['passed'])} of {figure(test['of'])}" if test else "not taken",
        "planted truth recovered by this very installation before anything was measured" if test else "older results",
    )
    return [
        (
            "Images",
            figure(account["used"]),
            f"listed {figure(account['listed'])} = used {figure(account['used'])} + quarantined {figure(lost)}",
        ),
        (
            "Patients",
            figure(patients) if isinstance(patients, int) else "not recorded",
            f"data set {data.get('use') or data.get('name') or 'not named'}",
        ),
        (
            "Networks",
            figure(len(evidence.models)),
            f"{figure(len(order))} strategies, reference {order[0] if order else 'none'}",
        ),
        (
            "Classes",
            figure(len(data.get("classes", ()))),
            f"{figure(boxed)} images with boxes" if isinstance(boxed, int) else "boxes not counted",
        ),
        tried,
    ]


def _can(evidence: Evidence) -> list[str]:
    rows = [row for row in evidence.comparisons if row.class_name in ("(macro)", "(image)")]
    bounded = [(row.low, row.high) for row in rows if row.low is not None and row.high is not None]
    if not bounded:
        return ["Nothing about differences between strategies: no contrast has an interval."]
    apart = sum(low > 0 or high < 0 for low, high in bounded)
    return [
        (
            f"{figure(apart)} of {figure(len(bounded))} overall contrasts have a 95 % interval that leaves out zero. With that many "
            f"contrasts about {figure(max(1, round(0.05 * len(bounded))))} would do so by chance alone, so a single one is an indication, not a proof."
        ),
        "Every contrast is made on the same cases for both sides, and its interval treats patients, not images, as independent.",
    ]


def _cannot(evidence: Evidence) -> list[str]:
    missing = sum(row.missing is not None for row in evidence.comparisons)
    sentences = []
    if all(row.verdict is None for row in evidence.comparisons):
        sentences.append(
            'That two strategies are equivalent: no margin was declared, so the column of verdicts says "not declared".'
        )
    if missing:
        sentences.append(
            f"Anything about {figure(missing)} of {figure(len(evidence.comparisons))} contrasts that could not be estimated; each says why in its place."
        )
    if any(row.attribution for row in evidence.summaries):
        sentences.append(
            "That a network looks at the right place for the right reason: a map shows where a score comes from, not why."
        )
    return sentences


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Summary]
