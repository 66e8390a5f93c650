"""The first page: what was audited, what failed, what can and cannot be concluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Finding, Section, hookimpl
from auditor.drawing import figure

from ._alone import overall_numbers
from ._gates import gate_table
from ._reading import strategies, title

MAIN = 3
SPELT_OUT = 6
"""Numbers that are named one by one; of more, the first and the last."""


class Summary(Section):
    """Failures first, then the gates and the main findings, then the limits of what they mean."""

    name = "summary"
    title = "Summary"
    template = "summary.html"
    order = 10

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Facts, alarms, gates, findings and limits."""
        results = [finding for finding in evidence.findings if finding.kind == "result"]
        main = main_findings(evidence, results)
        order = strategies(evidence)
        return {
            "models": len(evidence.models),
            "reference": order[0] if order else "none",
            "strategies": order,
            "facts": _facts(evidence, order),
            "gates": gate_table(evidence),
            "cautions": [finding.text for finding in evidence.findings if finding.kind == "caution"],
            "alarms": [finding.text for finding in evidence.findings if finding.kind == "alarm"],
            "main": [finding.text for finding in main],
            "others": len(results) - len(main),
            "alone": overall_numbers(evidence),
            "can": _can(evidence),
            "cannot": _cannot(evidence),
            "notes": [finding.text for finding in evidence.findings if finding.kind == "note"],
        }


def main_findings(evidence: Evidence, results: list[Finding]) -> list[Finding]:
    """The primary claims, then the contrasts that are largest against the width of their interval; one per metric, three in all."""

    def strength(finding: Finding) -> tuple[bool, float]:
        rows = [
            row
            for row in evidence.contrasts(finding.metric, class_name=finding.class_name)
            if finding.metric and row.strategy == finding.strategy and None not in (row.difference, row.low, row.high)
        ]
        size = max((abs(row.difference) / max(row.high - row.low, 1e-12) for row in rows), default=-1.0)  # type: ignore[arg-type,operator]
        return any(row.claim == "primary" for row in rows), size

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
        "planted truths recovered before measuring" if test else "made by an older version",
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
    if all(row.low is None for row in rows):
        return ["Nothing about differences between strategies: no contrast has an interval."]
    sentences = [
        "Every contrast is made on the same cases for both sides, and its interval treats patients, not images, as independent."
    ]
    judged = [row for row in rows if row.verdict]
    if judged:
        counts = Counter(str(row.verdict) for row in judged)
        said = ", ".join(f"{figure(count)} {verdict}" for verdict, count in counts.most_common())
        sentences.insert(0, f"Of {figure(len(judged))} overall contrasts: {said}, after allowing for how many were looked at.")
    if judged and all(row.claim != "primary" for row in judged):
        sentences.append("All verdicts are exploratory, because audit.yaml declares no primary claim: indications, not proofs.")
    if said := _checked(evidence):
        sentences.append(said)
    return sentences


def _checked(evidence: Evidence) -> str:
    """How many sanity checks of the explanation methods were passed."""
    asked = [control.outcome for control in evidence.controls if control.outcome != "not applicable"]
    if not asked:
        return ""
    passed, failed = asked.count("passed"), asked.count("failed")
    return (
        f"{figure(passed)} of {figure(len(asked))} sanity checks of the explanation methods were passed, {figure(failed)} failed, "
        f"{figure(len(asked) - passed - failed)} could not be decided."
    )


def _cannot(evidence: Evidence) -> list[str]:
    missing = sum(row.missing is not None for row in evidence.comparisons)
    sentences = []
    bare = list(dict.fromkeys(title(row.metric) for row in evidence.comparisons if row.verdict and row.margin is None))
    if bare:
        what = ", ".join(bare) if len(bare) <= SPELT_OUT else f"any of {len(bare)} numbers, from {bare[0]} to {bare[-1]}"
        sentences.append(f"That two strategies are equivalent in {what}: audit.yaml declares no margin for it.")
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
