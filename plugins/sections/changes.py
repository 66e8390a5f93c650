"""What was changed on the way, and what happens after this audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from . import _earlier
from ._card import card_rows, known_rows


class Changes(Section):
    """Whether claims and gates were changed after the measurement, what changed since an earlier audit, then the card's plans."""

    name = "changes"
    title = "Change log and monitoring"
    template = "changes.html"
    order = 180

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Rows that the run folder knows, and rows of the card."""
        return {
            "known_rows": known_rows(_known(evidence)),
            "earlier": _earlier.told(evidence.earlier),
            "stated_rows": card_rows(evidence, "upkeep.monitoring", "upkeep.updates"),
        }


def _known(evidence: Evidence) -> list[tuple[str, str | None]]:
    audit = evidence.audit
    claims, gates = audit.get("claims") or {}, audit.get("gates") or {}
    return [
        ("Claims", _when("claims were", bool(claims.get("primary")), claims.get("afterwards"))),
        ("Gates", _when("gates were", bool(gates.get("written")), gates.get("afterwards"))),
        ("Compared with an earlier audit", _earlier.named(evidence)),
    ]


def _when(what: str, written: bool, afterwards: Any) -> str:
    """When claims or gates were declared, as far as the run folder remembers."""
    if afterwards:
        return f"The {what} written or changed after these data had been measured."
    return f"The {what} declared before these data were measured." if written else f"No {what} declared."


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Changes]
