"""Page one: what was audited, what failed, the verdicts, and what can and cannot be concluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Finding, Section, hookimpl
from auditor.drawing import figure, how_many, signed

from ._alone import overall_numbers
from ._card import said
from ._gates import gate_table
from ._questions import verdict_table
from ._reading import class_title, strategies, title
from ._unanswered import unanswered
from ._verdicts import joint

MAIN = 3
SPELT_OUT = 6
"""Numbers that are named one by one; of more, the first and the last."""
ALARMS, CAUTIONS, UNANSWERED = 5, 3, 4
"""Sentences of a kind that page one holds; the section on limits holds all of them."""


INTERVALS = "Joint intervals hold together in 95 % of studies; those of a contrast alone, in the tables, are narrower."


class Summary(Section):
    """What was audited, failures, the verdict table, the main findings, and the limits of what they mean."""

    name = "summary"
    title = "Summary"
    template = "summary.html"
    order = 20

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Facts, alarms, verdicts, findings, limits and gates."""
        results = [finding for finding in evidence.findings if finding.kind == "result"]
        main = main_findings(evidence, results)
        order, lacking = strategies(evidence), unanswered(evidence)
        alarms, cautions, notes = (
            [finding.text for finding in evidence.findings if finding.kind == kind] for kind in ("alarm", "caution", "note")
        )
        return {
            "models": len(evidence.models),
            "strategies": order,
            "facts": _facts(evidence, order),
            "uses": [(label, said(evidence, field)) for label, field in USES],
            "alarms": alarms[:ALARMS],
            "more_alarms": len(alarms[ALARMS:]),
            "cautions": cautions[:CAUTIONS],
            "more_cautions": len(cautions[CAUTIONS:]),
            "verdicts": verdict_table(evidence),
            "main": [_sentence(evidence, finding) for finding in main],
            "others": len(results) - len(main),
            "intervals": INTERVALS,
            "unanswered": lacking[:UNANSWERED],
            "more_unanswered": len(lacking[UNANSWERED:]),
            "alone": overall_numbers(evidence),
            "can": _can(evidence),
            "cannot": _cannot(evidence),
            "notes": len(notes),
            "self_test": evidence.self_test,
            "gates": gate_table(evidence),
        }


CLAIMS = {True: "Declared beforehand", False: "Exploratory"}
USES = (("Intended use", "system.intended_use"), ("Users", "system.users"), ("Out of scope", "system.out_of_scope"))


def _sentence(evidence: Evidence, finding: Finding) -> str:
    """The finding in one line with the interval that its verdict rests on; one without a contrast behind it, as it stands."""
    row = max(_contrasts_of(evidence, finding), key=_clearness, default=None)
    if row is None:
        return finding.text
    better = evidence.metrics.get(row.metric, {}).get("better")
    what = f"{title(row.metric)}, {title(row.attribution)}" if row.attribution else title(row.metric)
    low, high = joint(row)
    size = f"{signed(row.difference)} ({'joint ' if row.joint_low is not None else ''}95 % interval {signed(low)} to {signed(high)})"
    way = ("higher" if row.difference > 0 else "lower") if better not in ("higher", "lower") else (
        "better" if (row.difference > 0) == (better == "higher") else "worse"
    )  # fmt: skip
    told = {
        "different": f"{row.strategy} is {way} than {row.reference} by {size}",
        "different but negligible": f"{row.strategy} is {way} than {row.reference}, but negligibly: {size}",
        "equivalent": f"{row.strategy} and {row.reference} differ by no more than {figure(row.margin or 0.0)}: {size}",
        "inconclusive": f"{row.strategy} and {row.reference} cannot be told apart, which does not make them the same: {size}",
    }.get(str(row.verdict), f"{row.strategy} minus {row.reference} is {size}, of too few patients for a verdict")
    return f"{what}, {class_title(row.class_name).lower()}: {told}. {CLAIMS[row.claim == 'primary']}."


def main_findings(evidence: Evidence, results: list[Finding]) -> list[Finding]:
    """The primary claims, then the contrasts that are largest against the width of their interval; one per metric, three in all."""

    def strength(finding: Finding) -> tuple[bool, float]:
        rows = _contrasts_of(evidence, finding)
        return any(row.claim == "primary" for row in rows), max(map(_clearness, rows), default=-1.0)

    chosen: dict[str, Finding] = {}
    judged = [finding for finding in results if _is_judged(evidence, finding)]
    for finding in sorted(judged, key=strength, reverse=True):
        chosen.setdefault(finding.metric or finding.text, finding)
    return list(chosen.values())[:MAIN]


def _is_judged(evidence: Evidence, finding: Finding) -> bool:
    """Whether a finding has a verdict behind it, or no contrast at all; what too few patients allow no verdict on is no main finding."""
    rows = _contrasts_of(evidence, finding)
    return not rows or any(row.verdict for row in rows)


def _contrasts_of(evidence: Evidence, finding: Finding) -> list[Any]:
    """The contrasts with an interval that a finding is about."""
    return [
        row
        for row in evidence.contrasts(finding.metric, class_name=finding.class_name)
        if finding.metric and row.strategy == finding.strategy and None not in (row.difference, row.low, row.high)
    ]


def _clearness(row: Any) -> float:
    """How many times its interval's width the difference is."""
    return float(abs(row.difference) / max(row.high - row.low, 1e-12))


def _facts(evidence: Evidence, order: list[str]) -> list[tuple[str, str, str]]:
    account, data = evidence.accounting, evidence.dataset
    lost = len(account.get("quarantined", ()))
    boxed = data.get("boxed_images")
    patients = data.get("patients")
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
            f"{how_many(len(order), 'strategy')}, reference {order[0] if order else 'none'}",
        ),
        (
            "Classes",
            figure(len(data.get("classes", ()))),
            f"{how_many(boxed, 'image')} with boxes" if isinstance(boxed, int) else "boxes not counted",
        ),
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
        declared = (evidence.audit.get("claims") or {}).get("primary")
        why = "no verdict could be given on a declared claim" if declared else "audit.yaml declares no primary claim"
        sentences.append(f"All verdicts are exploratory, because {why}: indications, not proofs.")
    return [*sentences, *(text for text in (_checked(evidence), _unmet(evidence)) if text)]


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


def _unmet(evidence: Evidence) -> str:
    """That no network has met an audited patient before, where that is known of all of them."""
    met = [(model.get("training") or {}).get("met") for model in evidence.models]
    clean = met and all(known and all(n == 0 for n in known.values()) for known in met)
    return "No audited patient was among the images that the networks were trained or chosen on." if clean else ""


def _cannot(evidence: Evidence) -> list[str]:
    missing = sum(row.missing is not None for row in evidence.comparisons)
    sentences = []
    bare = list(dict.fromkeys(title(row.metric) for row in evidence.comparisons if row.verdict and row.margin is None))
    if bare:
        what = ", ".join(bare) if len(bare) <= SPELT_OUT else f"any of {len(bare)} numbers, from {bare[0]} to {bare[-1]}"
        sentences.append(f"That two strategies are equivalent in {what}: audit.yaml declares no margin for it.")
    if missing:
        sentences.append(
            f"Anything about {figure(missing)} of {how_many(len(evidence.comparisons), 'contrast')} that could not be estimated; each says why in its place."
        )
    trained = Counter((model["strategy"], model.get("family")) for model in evidence.models)
    if trained and min(trained.values()) == 1:
        sentences.append(
            "That training again would give the same: some strategies have one network, so chance in training is not known."
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
