"""What audit.yaml says under `card:`, as rows for readers; an empty field says "not evidenced"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence

LABELS = {
    "system.name": "Device or model",
    "system.version": "Version",
    "system.owner": "Owner",
    "system.status": "Intended status",
    "system.intended_use": "Intended use",
    "system.users": "Intended users",
    "system.out_of_scope": "Out of scope",
    "data.source": "Source",
    "data.sites": "Sites",
    "data.dates": "Dates",
    "data.inclusion": "Inclusion and exclusion",
    "data.deidentification": "De-identification",
    "reference_standard.annotators": "Annotators",
    "reference_standard.expertise": "Their expertise",
    "reference_standard.agreement": "Their agreement",
    "reference_standard.box_origin": "Origin of the boxes",
    "training.why_imbalance": "Why class imbalance was handled, and why like this",
    "failures.clinical_comment": "Clinical comment on the wrong cases",
    "risk.unintended_outcomes": "Foreseeable unintended outcomes",
    "risk.level": "Level of risk",
    "oversight.reading_maps": "How to read a map",
    "oversight.not_reading_maps": "How not to read a map",
    "upkeep.monitoring": "Monitoring plan",
    "upkeep.updates": "Update policy",
    "signers": "Signers",
}


def said(evidence: Evidence, field: str) -> list[str]:
    """The texts of a field such as `system.name`; none where nothing was said."""
    found: Any = evidence.audit.get("card") or {}
    for name in field.split("."):
        found = (found.get(name) if isinstance(found, Mapping) else None) or ()
    return [found] if isinstance(found, str) else [str(text) for text in found]


def card_rows(evidence: Evidence, *fields: str) -> list[tuple[str, list[str]]]:
    """(label, texts) of each field, in the order asked for."""
    return [(LABELS[field], said(evidence, field)) for field in fields]


def known_rows(rows: Sequence[tuple[str, str | None]]) -> list[tuple[str, list[str]]]:
    """The same for what the audit knows itself: (label, text or None)."""
    return [(label, [text] if text else []) for label, text in rows]
