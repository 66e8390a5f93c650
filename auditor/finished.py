"""The results.json of a finished run, known to be one without reading its rows: what another audit may be compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import AuditError, nearest

SAID = {
    "audit": ("title", "reference", "seed", "claims", "analyses", "attributions"),
    "dataset": ("use", "options", "classes", "digest", "train"),
    "accounting": ("listed", "used", "quarantined", "max_quarantine"),
}
"""What a results.json must say to be a side of a comparison; every version has said it."""


def results_of(run: Path) -> Path:
    """Where the results of a run folder (or of a bundle, or of a results.json itself) lie; raises AuditError where there are none."""
    if not run.exists():
        siblings = [entry.name for entry in run.parent.iterdir()] if run.parent.is_dir() else []
        allowed = f"the folder of a finished run, or its results.json{nearest(run.name, siblings)}"
        raise AuditError(f"{run}: found no such folder; allowed: {allowed}")
    results = run / "results.json" if run.is_dir() else run
    if not results.is_file():
        raise AuditError(f"{run}: found no results.json; allowed: the folder of a finished run (auditor run AUDIT.yaml)")
    return results


def refuse_others(results: Path, told: Mapping[str, Any]) -> None:
    """Raise AuditError unless these are the parts of a results.json."""
    for part, names in SAID.items():
        inside = told.get(part)
        for name in names:
            if not isinstance(inside, Mapping) or name not in inside:
                raise AuditError(f"{results}: found no {part}.{name}; allowed: the results.json of a finished run, unchanged")


def check(run: Path) -> None:
    """Raise AuditError unless a finished run, or its results.json, lies here; looks at no row."""
    results = results_of(run)
    try:
        told = json.loads(results.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        what = f"found no JSON ({type(error).__name__})"
        raise AuditError(f"{results}: {what}; allowed: the results.json of a finished run, unchanged") from error
    refuse_others(results, told if isinstance(told, Mapping) else {})
