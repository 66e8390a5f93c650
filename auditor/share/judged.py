"""Findings and gates judged anew from what is shared, so that no sentence quotes a number that is not."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from .. import by_heart, by_outcome, duplicates, gated, robustness, sanity, shortcut_findings, subgroups
from ..claims import MARGINS
from ..evidence import Evidence
from ..findings import Finding, judge
from ..gates import Gate
from ..metric import Metric
from ..origin import met_before
from ..statistics.between_splits import NO_TRAINING
from ..statistics.rows import BASELINE, Cohort
from .cells import FEWEST, REASON, few

MET = (
    f"Some of the audited patients (fewer than {FEWEST}: not shared how many) were in the training or validation images of these networks: "
    "what is measured on them is partly memory."
)

SPLITS = re.compile(
    r"(?P<n>[\d,]+)(?P<rest> of the [\d,]+ audited patients are among the training images that audit\.yaml names: what was learnt by heart and "
    r"what was understood cannot be told apart on them\.)|[\d,]+ of [\d,]+ training images could not be used, which is more than audit\.yaml allows\."
)
"""Alarms about the training images that rest on whole lists of names, which are not shared: they are taken over word for word."""


def judged_again(original: Evidence, shared: Evidence) -> tuple[Evidence, int]:
    """The shared evidence with its findings and gates, and how many sentences of the original it does not have.

    Sentences that name a number which is withheld are lost, and so are those of plugins.
    """
    mine = _about_training(original, shared) + findings(shared)
    lost = Counter(finding.text for finding in original.findings) - Counter(
        finding.text for finding in _about_training(original, original) + findings(original)
    )
    without = Counter(finding.text for finding in findings(original)) - Counter(finding.text for finding in mine)
    written = tuple(Gate.model_validate(gate) for gate in original.audit["gates"]["written"])
    judged = replace(shared, findings=tuple(mine))
    return replace(judged, gates=gated.judge(written, judged)), lost.total() + without.total()


def findings(evidence: Evidence) -> list[Finding]:
    """What the audit's own rules say of this evidence, in the order of a run."""
    metrics = {name: Metric(**declared) for name, declared in evidence.metrics.items()}
    of_networks = [row for row in evidence.summaries if row.strategy != BASELINE]
    of_both = {row.analysis for row in evidence.summaries if row.missing == NO_TRAINING} | {"logit_shift", "embeddings"}
    judged = judge(
        [row for row in evidence.comparisons if row.missing != NO_TRAINING], evidence.gaps,
        [row for row in of_networks if row.missing is None or (row.analysis not in of_both and row.missing != REASON)], evidence.models, evidence.accounting,
        metrics, evidence.accounting["max_quarantine"], afterwards=bool(evidence.audit["claims"]["afterwards"]),
    )  # fmt: skip
    found = sanity.findings(evidence.controls, bool(evidence.audit["controls"])) + judged
    late = any(told["afterwards"] for told in evidence.audit.get("subgroups") or ())
    found += subgroups.findings(evidence.subgroups, late)
    found += by_outcome.cautions(evidence.by_outcome)
    found = [Finding("alarm", f"The self-test failed: {what}.") for what in evidence.self_test.get("failed", ())] + found
    margin = float(evidence.audit["claims"]["margin"].get("auroc", MARGINS["auroc"]))
    found = shortcut_findings.judge(of_networks, metrics) + found
    found += by_heart.judge(of_networks) + robustness.judge(of_networks, metrics, margin)
    return duplicates.findings(evidence.accounting) + _met(evidence) + found


def _about_training(original: Evidence, shared: Evidence) -> list[Finding]:
    """Alarms about the training images; how many patients are on both sides only where they are enough."""
    failed = (shared.accounting.get("training_images") or {}).get("failed", {})
    found = [
        Finding("alarm", f"The model {model} could not be measured on the training images: {why}.")
        for model, why in failed.items()
    ]
    for finding in original.findings:
        if match := SPLITS.fullmatch(finding.text):
            small = match["n"] is not None and few(int(match["n"].replace(",", ""))) and shared is not original
            found.append(replace(finding, text=f"Fewer than {FEWEST}{match['rest']}" if small else finding.text))
    return found


def _met(evidence: Evidence) -> list[Finding]:
    """Whether audited patients were trained on; so few that their number is not shared are an alarm all the same."""
    met = [model["training"]["met"] or {} for model in evidence.models if model.get("training")]
    if any(None in sides.values() for sides in met):
        return [Finding("alarm", MET)]
    patients = np.arange(evidence.dataset["patients"])
    models: Any = [{**model, "training": model.get("training")} for model in evidence.models]
    return met_before(models, Cohort((), patients, np.zeros((len(patients), 0), np.int8)))
