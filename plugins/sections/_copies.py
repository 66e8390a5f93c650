"""Images that are one film: what was compared, what was found, and the groups that cross patients or splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auditor import Evidence
from auditor.drawing import figure

SHOWN = 20
"""Groups in the table; results.json names more."""
CROSSES = {
    "training": "across audited and training images",
    "patients": "across several patients",
    "nothing": "within one patient",
}
COMPARED = (
    "Two images are called one film where every decoded pixel is equal, or, between patients, where the local contrast of their thumbnails "
    "correlates by {alike} or more. Films that were turned, mirrored, inverted or cut are not found."
)
OLDER = "Not looked for: this run was made by a version of auditor that did not ask."


def copies_told(evidence: Evidence) -> list[str]:
    """Sentences: what was compared and how, and what was found; or why nothing was compared."""
    told = evidence.accounting.get("copies")
    if told is None:
        return [OLDER]
    if "missing" in told:
        return [f"Not looked for: {told['missing']}."]
    read, training = told["compared"]["audited"], told["compared"]["training"]
    sides = f"All {figure(read)} audited images that could be read were compared with each other"
    sides += f" and with {figure(training)} training images. " if training is not None else ". "
    return [sides + COMPARED.format(alike=figure(told["alike"])), _found(told["counts"])]


def _found(counts: Mapping[str, Mapping[str, int | None]]) -> str:
    said = [f"{_images(of)} {CROSSES[name]}" for name, of in counts.items() if of["groups"] != 0]
    return f"Copies: {'; '.join(said)}." if said else "No copies were found."


def _images(of: Mapping[str, int | None]) -> str:
    """How many audited images, and how many of them have their equal."""
    if of["exact"] is None or of["near"] is None:
        return "too few images to be shared,"
    return f"{figure(of['exact'] + of['near'])} audited images, {figure(of['exact'])} of them pixel for pixel,"


def copies_table(evidence: Evidence) -> dict[str, Any] | None:
    """A row per group; None where there is none."""
    groups: Sequence[Mapping[str, Any]] = (evidence.accounting.get("copies") or {}).get("groups") or ()
    if not groups:
        return None
    note = f"The first {SHOWN} of {figure(len(groups))}; results.json names the others. " if len(groups) > SHOWN else ""
    return {
        "caption": "Images that are one film",
        "note": f"{note}In brackets the patient. Alike: the lowest correlation that holds them together, 1 where pixels are equal.",
        "first": "Where", "columns": ["Alike", "Images"], "absent": "",
        "rows": [{"name": CROSSES[group["crosses"]], "cells": [figure(group["alike"]), _names(group["images"])]} for group in groups[:SHOWN]],
    }  # fmt: skip


def _names(images: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(
        f"{image['id']} ({image['patient']}{', training' if image['split'] == 'training' else ''})" for image in images
    )
