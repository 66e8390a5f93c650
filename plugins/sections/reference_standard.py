"""What the networks are held against: labels and boxes, who made them, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many

from ._card import card_rows, known_rows

STATED = (
    "reference_standard.annotators",
    "reference_standard.expertise",
    "reference_standard.agreement",
    "reference_standard.box_origin",
)


class ReferenceStandard(Section):
    """Labels and boxes as counted, then the card."""

    name = "reference_standard"
    title = "Reference standard"
    template = "reference_standard.html"
    order = 40

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Rows that were counted, a table of labels and boxes per class, and rows of the card."""
        return {
            "stated_rows": card_rows(evidence, *STATED),
            "counted": known_rows(_counted(evidence)),
            "labels": _labels(evidence),
        }


def _counted(evidence: Evidence) -> list[tuple[str, str | None]]:
    data, boxes = evidence.dataset, evidence.accounting.get("boxes") or {}
    boxed, lost = data.get("boxed_images"), boxes.get("quarantined", 0)
    lost = lost if isinstance(lost, int) else len(lost)
    said = f"{figure(boxes['listed'])} listed → {figure(boxes['used'])} used; {figure(lost)} set aside" if boxes else None
    share = f"{figure(boxed)} of {how_many(evidence.accounting['used'], 'image')} used" if isinstance(boxed, int) else None
    return [
        ("Classes", figure(len(data["classes"])) if data.get("classes") else None),
        ("Reference boxes", said),
        ("Images with a box", share),
        ("Agreement between annotators, measured here", None),
    ]  # fmt: skip


def _labels(evidence: Evidence) -> dict[str, Any] | None:
    counts = evidence.dataset.get("counts") or {}
    if not counts:
        return None
    return {
        "caption": "Labels and boxes of the audited images",
        "note": "One image can have several findings and several boxes.",
        "first": "Class", "absent": "not recorded",
        "columns": ["With the finding", "Without", "Label unknown", "Boxes"],
        "rows": [
            {
                "name": name,
                "cells": [
                    _count(count, kind) for kind in ("positive", "negative", "unknown", "boxes")
                ],
            }
            for name, count in counts.items()
        ],
    }  # fmt: skip


def _count(count: Mapping[str, int | None], kind: str) -> str | None:
    """A count; None where it is not recorded. In a copy that was given away, too few to be told."""
    if kind not in count:
        return None
    return "not shared" if (n := count[kind]) is None else figure(n)


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [ReferenceStandard]
