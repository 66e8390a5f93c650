"""What could not be measured, and why; what was left out, and how it adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Gap, Section, hookimpl
from auditor.drawing import figure

from ._reading import class_title, spread, title


class Gaps(Section):
    """Gaps with n and reason, quarantined images, boxes."""

    name = "gaps"
    title = "Gaps and exclusions"
    template = "gaps.html"
    order = 142

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Gaps of one kind over several networks stand in one row."""
        account = evidence.accounting
        quarantined = list(account.get("quarantined", ()))
        boxes = account.get("boxes") or {}
        lost_boxes = boxes.get("quarantined", 0)
        return {
            "gaps": _rows(evidence),
            "listed": account["listed"],
            "used": account["used"],
            "quarantined": [
                {"id": row["id"], "reason": row["reason"], "detail": row.get("detail") or "no further detail"}
                for row in quarantined
            ],
            "boxes": boxes,
            "lost_boxes": lost_boxes if isinstance(lost_boxes, int) else len(lost_boxes),
            "box_rows": [] if isinstance(lost_boxes, int) else [_box(row) for row in lost_boxes],
            "limited": evidence.audit.get("limited"),
        }


def _rows(evidence: Evidence) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str | None, str | None, str], list[Gap]] = defaultdict(list)
    for gap in evidence.gaps:
        groups[gap.analysis, gap.attribution, gap.class_name, gap.reason].append(gap)
    every = len(evidence.models)
    rows = []
    for (analysis, attribution, class_name, reason), found in groups.items():
        models = list(dict.fromkeys(gap.model for gap in found))
        rows.append(
            {
                "what": f"{title(analysis)}, {title(attribution)}" if attribution else title(analysis),
                "class": class_title(class_name) if class_name else "all classes",
                "single": class_name in evidence.dataset.get("classes", ()),
                "n": "all cases" if all(gap.n == 0 for gap in found) else spread([gap.n for gap in found]),
                "models": f"all {figure(every)}" if len(models) == every else ", ".join(models),
                "reason": reason,
            }
        )
    return sorted(rows, key=lambda row: row["n"] != "all cases")


def _box(row: Any) -> dict[str, str]:
    given = row if isinstance(row, Mapping) else {"reason": str(row)}
    return {name: str(given.get(name) or "not recorded") for name in ("id", "class", "reason")}


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Gaps]
