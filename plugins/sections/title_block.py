"""Which system was audited, who answers for it, and which audit this is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._card import card_rows, known_rows

STATED = ("system.name", "system.version", "system.owner", "system.status", "signers")


class TitleBlock(Section):
    """The card's identity fields, then those of the audit."""

    name = "title_block"
    title = "Title block"
    template = "title_block.html"
    order = 10

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Rows of a label and its texts."""
        own = known_rows(
            [
                ("Audit", evidence.audit.get("plan")),
                ("Begun on", evidence.environment.get("date")),
                ("Made with", _tools(evidence)),
            ]
        )
        return {"rows": card_rows(evidence, *STATED) + own}


def _tools(evidence: Evidence) -> str | None:
    """The version of this tool, and the plugins that audit.yaml loads."""
    tool, plugins = evidence.audit.get("tool"), evidence.audit.get("plugins") or ()
    return " with ".join([f"auditor {tool}", *([", ".join(map(str, plugins))] if plugins else [])]) if tool else None


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [TitleBlock]
