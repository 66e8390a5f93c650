"""The change log of a report: what `auditor diff` finds between an earlier audit and this one, as far as a page can hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ..config import AuditConfig
from ..errors import AuditError, ConfigError
from ..evidence import Evidence
from ..statistics.rows import IMAGE, MACRO
from ..wording import clean_label
from . import told
from .changes import Change
from .difference import Difference, difference
from .numbers import Number
from .side import opened

MAIN, CONCLUDED, WARNED = 20, 40, 10
"""Changes and unpaired numbers, things concluded otherwise, and warnings that the report tells; the rest is counted."""
T = TypeVar("T")


def readable(config: AuditConfig, out: Path) -> None:
    """Raise ConfigError, with the place in audit.yaml, unless the earlier audit can be read and is not the one to be written."""
    if config.earlier is None:
        return
    place = config.place("report.earlier")
    folder = config.earlier if config.earlier.is_dir() else config.earlier.parent
    if folder.resolve() == out.resolve():
        raise ConfigError(f"{place}: found {out}, the folder of this run itself; allowed: the folder of an earlier one")
    try:
        with opened(config.earlier):
            pass
    except AuditError as error:
        raise ConfigError(f"{place}: {error}") from error


def since(earlier: Path, run: Path) -> dict[str, Any]:
    """What changed from the earlier audit to the finished run, for `Evidence.earlier`: no path and no name of an image in it.

    Overall numbers are told, those of single classes where there is but one; `left` counts what is not. Raises AuditError
    where a run cannot be read.
    """
    found = difference(earlier, run)
    changes = [change for change in found.changes if change.row.difference is not None]
    overall = _overall(found, changes, lambda change: change.row.class_name)
    numbers = _overall(found, _primary_first(found), lambda number: number.class_name)
    warnings = list(told.warnings(found))[bool(found.why_not) :]  # the headline says why nothing is paired
    return {
        **_of_the_old(found.old),
        "headline": told.headline(found),
        "counted": told.counted(found) if found.changes or found.unchanged else "",
        "warnings": [clean_label(warning, 400) for warning in warnings[:WARNED]],
        "question": [fact._asdict() for fact in found.facts],
        "shared_images": found.shared_images,
        "shared_classes": len(found.shared_classes),
        "not_paired": [{"reason": cause.reason, "images": len(cause.ids)} for cause in found.causes],
        "changes": [_told(found, change) for change in overall[:MAIN]],
        "numbers": [number.written() for number in numbers[:MAIN]],
        "concluded": [outcome._asdict() for outcome in found.outcomes[:CONCLUDED]],
        "left": {
            "warnings": max(len(warnings) - WARNED, 0),
            "changes": len(changes) - len(overall[:MAIN]),
            "not_estimable": told.missing(found),
            "numbers": len(found.numbers) - len(numbers[:MAIN]),
            "concluded": max(len(found.outcomes) - CONCLUDED, 0),
        },
    }


def _of_the_old(old: Evidence) -> dict[str, str | None]:
    date, plan = old.environment.get("date"), old.audit.get("plan")
    return {
        "title": str(old.audit["title"]),
        "date": None if date is None else str(date),
        "tool": str(old.audit.get("tool") or ""),
        "plan": None if plan is None else str(plan),
    }


def _overall(found: Difference, rows: Sequence[T], name: Any) -> list[T]:
    """The rows that speak of all classes together, or of the only class."""
    classes: Mapping[str, Any] = dict.fromkeys(found.new.dataset["classes"])
    return [row for row in rows if name(row) in (MACRO, IMAGE) or len(classes) == 1]


def _primary_first(found: Difference) -> list[Number]:
    primary = found.new.audit["claims"]["primary"]
    return sorted(found.numbers, key=lambda number: number.metric not in primary)


def _told(found: Difference, change: Change) -> dict[str, Any]:
    """A change as a flat row: new minus old, its interval and verdict, and what each audit reports."""
    row = change.row
    return {
        "who": change.who, "networks": change.networks, "old": change.old, "new": change.new,
        "metric": row.metric, "analysis": row.analysis, "attribution": row.attribution, "class": row.class_name,
        "difference": row.difference, "low": row.low, "high": row.high, "n_cases": row.n_cases, "n_patients": row.n_patients,
        "claim": row.claim, "margin": row.margin, "p_adjusted": row.p_adjusted, "verdict": row.verdict, "note": row.note,
        "direction": found.better(change) or None,
    }  # fmt: skip
