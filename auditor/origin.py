"""How the networks under audit were trained, where `auditor train` has written it down, and whom they have met before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .findings import Finding
from .plan import Plan
from .statistics.rows import Cohort
from .trained import Trained, met
from .wording import how_many


def told(plan: Plan) -> list[dict[str, Any] | None]:
    """For every model what its model.json says of its training; None for a model that has none."""
    if not plan.config.trained:
        return [None] * len(plan.models)
    patients = {sample.patient for sample in plan.samples}
    return [_about(network, plan.dataset.name, patients) for network in plan.config.trained]


def _about(network: Trained, dataset: str, patients: set[str]) -> dict[str, Any]:
    card = network.card
    counts = card["counts"]
    best: Mapping[str, Any] = next(
        (epoch for epoch in card.get("epochs", ()) if epoch.get("number") == card.get("best_epoch")), {}
    )
    return {
        "strategy": card["strategy"].get("parts", []), "pretrained": card.get("pretrained"), "recipe": card.get("recipe", {}),
        "images": counts.get("images"), "positives": dict(zip(card.get("classes", ()), counts.get("positives", ()), strict=False)),
        "best_epoch": card.get("best_epoch"), "validation_auroc": best.get("macro"), "notes": card.get("notes", []),
        "data": card.get("data", {}).get("training"), "met": met(network, dataset, patients),
    }  # fmt: skip


def counted(plan: Plan) -> tuple[int, dict[str, int]] | None:
    """(images, positives per class) that all the networks were trained on; None where they differ or nothing is written."""
    found = [
        (
            network.card["counts"].get("images"),
            dict(zip(network.card.get("classes", ()), network.card["counts"].get("positives", ()), strict=False)),
        )
        for network in plan.config.trained
    ]
    if not found or any(other != found[0] for other in found) or not set(plan.classes) <= set(found[0][1]):
        return None
    return found[0][0], {name: found[0][1][name] for name in plan.classes}


def met_before(models: Sequence[Mapping[str, Any]], cohort: Cohort) -> list[Finding]:
    """An alarm where audited patients were trained on, a note where the networks were chosen on them or nobody can tell."""
    known = [model["training"] for model in models if model["training"] is not None]
    if not known:
        return []
    patients = len(np.unique(cohort.patients))
    seen = [training["met"] for training in known if training["met"] is not None]
    findings = []
    if trained := max((found["training"] for found in seen), default=0):
        text = (
            f"{trained:,} of the {patients:,} audited patients were in the training images of these networks: what is measured on "
            "them is partly memory."
        )
        findings.append(Finding("alarm", text))
    if validated := max((found["validation"] for found in seen), default=0):
        text = f"The best epoch was chosen on {validated:,} of the {patients:,} audited patients, which flatters every network a little."
        findings.append(Finding("note", text))
    if seen and not trained and not validated:
        findings.append(
            Finding(
                "note", f"None of the {patients:,} audited patients was in the training or validation images of these networks."
            )
        )
    if len(seen) < len(known):
        findings.append(
            Finding(
                "note",
                f"Whether the audited patients were trained on is not known for {len(known) - len(seen)} of the {how_many(len(known), 'network')}.",
            )
        )
    return findings
