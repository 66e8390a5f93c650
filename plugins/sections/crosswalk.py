"""Reporting checklists, item by item: where this report speaks to it, and whether it evidences it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.checklist import Answer, Checklist, answers, shipped
from auditor.drawing import figure

from ._card import LABELS
from ._reading import analyses

STATUSES = ("evidenced", "not evidenced", "not applicable")
WHERE = {
    "title_block": "Title block", "summary": "Summary", "data": "Data", "reference_standard": "Reference standard",
    "strategies": "Strategies", "discrimination": "Discrimination", "calibration": "Calibration", "where_it_looks": "Maps",
    "controls": "Controls", "logit_shift": "By heart", "outcomes": "Right and wrong", "limits": "Limits", "gaps": "Gaps",
    "oversight": "Oversight", "methods": "Methods", "provenance": "Provenance", "changes": "Changes", "subgroups": "Subgroups",
    "shortcuts": "Shortcuts",
    "robustness": "Robustness",
}  # fmt: skip
"""Short names of the sections that checklists point to."""


class Crosswalk(Section):
    """Counts of all checklists, then a table each."""

    name = "crosswalk"
    title = "Checklist crosswalk"
    template = "crosswalk.html"
    order = 190

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A row of counts and a table of items per checklist."""
        found = [(checklist, answers(checklist, evidence)) for checklist in shipped()]
        absent = {"subgroups": not evidence.audit.get("subgroups"), "shortcuts": not analyses(evidence, "shortcuts")}
        nowhere = {name for name, missing in absent.items() if missing}  # there is no such section to point to
        return {"counts": _counts(found), "checklists": [_table(checklist, told, nowhere) for checklist, told in found]}


def _counts(found: list[tuple[Checklist, list[Answer]]]) -> dict[str, Any]:
    rows = []
    for checklist, told in found:
        counts = Counter(answer.status for answer in told)
        rows.append({"name": _called(checklist), "cells": [figure(counts[status]) for status in STATUSES]})
    return {
        "caption": "Items by status", "note": "Rows of the tables below.", "first": "Checklist", "absent": "none",
        "columns": [status.capitalize() for status in STATUSES], "rows": rows,
    }  # fmt: skip


def _called(checklist: Checklist) -> str:
    return f"{checklist.name} ({checklist.version})"


def _table(checklist: Checklist, told: list[Answer], nowhere: set[str]) -> dict[str, Any]:
    return {
        "name": _called(checklist),
        "source": checklist.source,
        "note": checklist.note,
        "rows": [
            {
                "item": answer.item.item,
                "asks": answer.item.asks,
                "where": [(name, WHERE[name]) for name in answer.item.sections if name not in nowhere],
                "status": answer.status,
                "why": answer.why,
                "there": [_words(text) for text in answer.there],
                "lacking": [_words(text) for text in answer.lacking],
            }
            for answer in told
        ],
    }


def _words(text: str) -> str:
    """A card field by its label; a fact as it is called."""
    field = text.removeprefix("card.")
    return f"{LABELS[field].lower()} (stated)" if field in LABELS and field != text else text


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Crosswalk]
