"""Can the maps be trusted: whether each explanation method depends on the network, the class and the image, and on nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Control, Evidence, Section, hookimpl
from auditor.drawing import key

from ._reading import model_titles, ordered_models, spread, strategies, title

CHECKS = {
    "model_randomisation": "Model randomisation",
    "wrong_class": "Wrong class",
    "batch_independence": "Batch independence",
    "repeat": "Repeat",
    "constant_input": "Grey image",
}
LOCALISED = {
    "trained": ("Trained", "model_randomisation", "trained"),
    "untrained": ("Untrained", "model_randomisation", "untrained"),
    "rank": ("Rank correlation of the maps", "model_randomisation", "rank_correlation"),
    "other": ("Absent finding", "wrong_class", "other_class"),
    "fall": ("Fall to the absent finding", "wrong_class", "fall"),
}
PROBED = {
    "coupling": ("Another image exchanged", "batch_independence", "difference"),
    "repeat": ("The same batch again", "repeat", "difference"),
    "grey": ("Maps unlike a grey image's", "constant_input", "differs"),
}


class Controls(Section):
    """Outcomes, their numbers, and a sentence for each check that was not passed."""

    name = "controls"
    title = "Controls and sanity"
    template = "controls.html"
    order = 90

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A table of outcomes and two of numbers, a row per network and attribution."""
        rows = _rows(evidence)
        return {
            "run": bool(evidence.audit.get("controls")),
            "stamps": [text for texts in evidence.stamps().values() for text in texts],
            "checks": list(CHECKS.values()),
            "rows": [
                {**row, "outcomes": [found.outcome if (found := row["found"].get(check)) else "not run" for check in CHECKS]}
                for row in rows
            ],
            "tables": [
                table
                for columns, caption, note in (
                    (LOCALISED, "How well the maps are localised", "κ localisation, mean over classes, with its 95 % interval over patients, on the same cases (n)"),
                    (PROBED, "What one batch tells", "Largest difference between two maps as a share of both, 0 being the same; and a share of maps (n)"),
                )
                if (table := _table(rows, columns, caption, note))
            ],
            "open": _open(evidence.controls),
        }  # fmt: skip


def _rows(evidence: Evidence) -> list[dict[str, Any]]:
    """A row per network and attribution that has controls, with these by check."""
    order, names = strategies(evidence), model_titles(evidence)
    found: dict[tuple[str, str], dict[str, Control]] = {}
    for control in evidence.controls:
        found.setdefault((control.model, control.attribution), {})[control.check] = control
    return [
        {
            "mark": key(str(model["strategy"]), order),
            "name": f"{model['strategy']}, {names[str(model['id'])]}, {title(attribution)}",
            "found": by_check,
        }
        for model in ordered_models(evidence)
        for (ident, attribution), by_check in found.items()
        if ident == str(model["id"])
    ]


def _table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, tuple[str, str, str]], caption: str, note: str
) -> dict[str, Any] | None:
    lines = [
        {"mark": row["mark"], "name": row["name"], "n": _cases(row["found"], columns), "cells": [_cell(row["found"].get(check), name) for _, check, name in columns.values()]}
        for row in rows
    ]  # fmt: skip
    if not any(cell["value"] is not None for line in lines for cell in line["cells"]):
        return None
    return {"caption": caption, "note": note, "columns": [heading for heading, _, _ in columns.values()], "rows": lines}


def _cases(found: Mapping[str, Control], columns: Mapping[str, tuple[str, str, str]]) -> str:
    return spread([found[check].n for _, check, _ in columns.values() if check in found and found[check].n])


def _cell(control: Control | None, name: str) -> dict[str, Any]:
    numbers = control.numbers if control else {}
    low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
    return {
        "value": numbers.get(name), "low": low, "high": high,
        "missing": control.outcome if control and control.outcome != "failed" else "not measured",
    }  # fmt: skip


def _open(controls: Sequence[Control]) -> list[dict[str, str]]:
    """What was not passed and not failed, each reason once with the networks that it holds for."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for control in controls:
        if control.outcome not in ("passed", "failed"):
            about = (control.attribution, CHECKS[control.check], control.outcome, control.says)
            found.setdefault(about, []).append(control.model)
    return [
        {"what": f"{title(attribution)}, {check.lower()}", "outcome": outcome, "says": says, "where": ", ".join(models)}
        for (attribution, check, outcome, says), models in found.items()
    ]


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Controls]
