"""What changed since an earlier audit, in the words of the change log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence
from auditor.drawing import figure, signed
from auditor.wording import absence, title

from ._reading import WHOLES, class_title

SHORT = 12
"""Letters of a digest that are shown."""
AT_HOME = "This audit was compared with an earlier one. What changed stays with the run and is not in this copy."


def named(evidence: Evidence) -> str | None:
    """The earlier audit by its title, day, version and plan; None where there is none."""
    earlier = evidence.earlier
    if not earlier:
        shared = evidence.audit.get("shared") or {}
        return AT_HOME if (shared.get("withheld") or {}).get("earlier") else None
    begun = f", begun on {earlier['date']}" if earlier["date"] else ""
    plan = f" (plan {earlier['plan'][:SHORT]})" if earlier["plan"] else ""
    return f"“{earlier['title']}”{begun}, made by auditor {earlier['tool'] or 'of an unknown version'}{plan}."


def told(earlier: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows and sentences of the template; None where no earlier audit was named."""
    if not earlier:
        return None
    left = earlier["left"]
    return {
        "headline": _as_here(earlier["headline"]),
        "counted": "" if earlier["counted"] == earlier["headline"] else earlier["counted"],
        "warnings": [*map(_as_here, earlier["warnings"]), *_more(left["warnings"], "warning")],
        "question": [
            (row["topic"], row["name"], row["old"] or "nothing", row["new"] or "nothing") for row in earlier["question"]
        ],
        "shared": _shared(earlier),
        "not_paired": [f"{_count(row['images'], 'image')}: {_as_here(row['reason'])}" for row in earlier["not_paired"]],
        "changes": [_change(row) for row in earlier["changes"]],
        "changes_left": left["changes"],
        "not_estimable": left["not_estimable"],
        "numbers": [_number(row) for row in earlier["numbers"]],
        "numbers_left": left["numbers"],
        "concluded": [
            (row["kind"], row["what"], row["old"] or "not there", row["new"] or "not there") for row in earlier["concluded"]
        ],
        "concluded_left": left["concluded"],
    }


def _count(n: int, one: str, several: str = "") -> str:
    return f"{figure(n)} {one if n == 1 else several or f'{one}s'}"


def _shared(earlier: Mapping[str, Any]) -> str:
    """How much both audits have; nothing where no case could be paired, since then it is not known."""
    images, classes = earlier["shared_images"], earlier["shared_classes"]
    return f"{_count(images, 'image')} and {_count(classes, 'class', 'classes')}" if images else ""


def _as_here(reason: str) -> str:
    """The words of a diff as a reader of this audit says them."""
    return reason.replace("the old audit", "the earlier audit").replace("the new audit", "this audit")


def _more(n: int, what: str) -> list[str]:
    return [f"and {_count(n, f'more {what}')}"] if n else []


def _what(row: Mapping[str, Any]) -> str:
    return title(row["metric"]) + (f" with {title(row['attribution'])}" if row["attribution"] else "")


def _change(row: Mapping[str, Any]) -> dict[str, Any]:
    """As change_table.html writes it."""
    verdict = ", ".join(filter(None, (row["verdict"] or "no verdict", row["direction"])))
    return {
        "metric": _what(row), "class_name": _class(row), "who": row["who"], "missing": None, "note": row["note"],
        "old": "" if row["old"] is None else figure(row["old"]), "new": "" if row["new"] is None else figure(row["new"]),
        "difference": signed(row["difference"]), "interval": _interval(row, signed), "n": f"{row['n_cases']:,} ({row['n_patients']:,})",
        "verdict": verdict, "worse": row["direction"] == "worse", "overall": True,
    }  # fmt: skip


def _interval(row: Mapping[str, Any], write: Any) -> str:
    return "" if row["low"] is None or row["high"] is None else f"{write(row['low'])} to {write(row['high'])}"


def _number(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return f"{_what(row)}, {_class(row)}", row["model"], _side(row["old"]), _side(row["new"])


def _class(row: Mapping[str, Any]) -> str:
    """A class by its name; what stands for several as it reads inside a sentence."""
    name = row["class"]
    return class_title(name).lower() if name in WHOLES else str(name)


def _side(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not reported"
    if row["value"] is None:
        return absence(row["missing"])
    interval = _interval(row, figure)
    return figure(row["value"]) + (f" ({interval})" if interval else "")
