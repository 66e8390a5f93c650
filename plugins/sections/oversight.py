"""How people should work with the maps, and when they should not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._card import card_rows

ALWAYS = (
    "A map shows which places raised a network's score. It is no finding in the patient, and a plausible map does not make the score right.",
    "Colours compare places within one map. They do not compare maps, networks or patients.",
    "A map was drawn for every score that was asked for, also where the score is wrong.",
)
UNCHECKED = "Nobody checked in this audit whether the maps depend on what the networks learned. Do not use them for a decision."


class Oversight(Section):
    """Fixed cautions, stronger where the explanation methods failed or were not checked, then the card."""

    name = "oversight"
    title = "Human oversight and use of maps"
    template = "oversight.html"
    order = 150

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Warnings from the controls, cautions that always hold, and rows of the card."""
        mapped = bool(evidence.audit.get("attributions"))
        return {
            "mapped": mapped,
            "failed": [text for texts in evidence.stamps().values() for text in texts],
            "unchecked": UNCHECKED if mapped and not evidence.controls else "",
            "always": ALWAYS if mapped else (),
            "stated_rows": card_rows(evidence, "oversight.reading_maps", "oversight.not_reading_maps"),
        }


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Oversight]
