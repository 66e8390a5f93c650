"""What of an audit is not in the copy that is given away, and what giving it away does not guard against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure

NAMES = {
    "levels": "numbers of networks", "contrasts": "contrasts", "operating": "operating points", "by_outcome": "numbers of maps by outcome",
    "curves": "calibration curves", "histograms": "histograms", "profiles": "profiles of classes", "detectors": "detecting units",
    "overlaps": "feature overlaps", "gaps": "gaps", "subgroups": "numbers by group", "units": "channels of the gallery",
    "unit_classes": "counts of findings on the top images of a channel", "attributes": "attributes of images that no subgroup declares",
    "earlier": "comparisons with an earlier audit",
    "sentences": "sentences that quote what is withheld, or are a plugin's own",
}  # fmt: skip


class Sharing(Section):
    """Only in a copy made by `auditor share`; blank, and so left out, in the report of a run."""

    name = "sharing"
    title = "What this copy leaves out"
    template = "sharing.html"
    order = 15

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Counts of what is withheld, by kind."""
        told = evidence.audit.get("shared") or {}
        withheld = told.get("withheld") or {}
        return {
            "copy": bool(told),
            "fewest": told.get("fewest_patients", 0),
            "classes": told.get("classes_withheld") or [],
            "rows": [(NAMES.get(name, name), figure(n)) for name, n in withheld.items() if n],
            "pictures": told.get("pictures", 0),
            "untold": [
                each["by"] for each in evidence.audit.get("subgroups") or () if each["by"] not in told.get("groups_told", ())
            ],
        }


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Sharing]
