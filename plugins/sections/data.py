"""The audited images: how many, of whom, what was left out, and what their authors say about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many

from ._card import card_rows, known_rows
from ._copies import copies_table, copies_told
from ._reading import plain

STATED = ("data.source", "data.sites", "data.dates", "data.inclusion", "data.deidentification")
PARTITIONS = {"audited": "audited images", "training": "training images"}


class Data(Section):
    """The flow from listed to used images, patients and their overlap with training, then the card."""

    name = "data"
    title = "Data"
    template = "data.html"
    order = 30

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Rows that were counted, a table of who is on the images, the notes of the data set, and rows of the card."""
        return {
            "stated_rows": card_rows(evidence, *STATED),
            "counted": known_rows(_counted(evidence)),
            "people": _people(evidence.dataset.get("described") or {}),
            "copy": bool(evidence.audit.get("shared")),
            "copies_told": copies_told(evidence),
            "copies": copies_table(evidence),
            "notes": list(evidence.dataset.get("notes") or ()),
        }


def _counted(evidence: Evidence) -> list[tuple[str, str | None]]:
    account, data = evidence.accounting, evidence.dataset
    lost, limited = len(account.get("quarantined", ())), evidence.audit.get("limited")
    patients, training = data.get("patients"), account.get("training_images")
    drawn = [f"{figure(limited['available'])} available → {figure(limited['used'])} drawn by the limit"] if limited else []
    listed = f"{figure(account['listed'])} listed → {figure(account['used'])} used; {figure(lost)} set aside"
    return [
        ("Data set", f"{data.get('use')} ({_options(data.get('options') or {})})" if data.get("use") else None),
        ("Flow of the audited images", "; ".join([*drawn, listed])),
        ("Audited patients", figure(patients) if isinstance(patients, int) else None),
        ("Labels that are missing", _missing(data.get("counts") or {})),
        ("Images used for training in this audit", _training(training) if training else None),
        ("Audited patients among these training images", _audited_too(training) if training else None),
        ("Audited patients met in training", _met(evidence)),
        ("Fingerprint of the data", data.get("digest")),
    ]  # fmt: skip


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in options.items() if value not in (None, "")) or "no options"


def _training(training: Mapping[str, Any]) -> str:
    return (
        f"{figure(training['listed'])} listed → {figure(training['used'])} used, of {how_many(training['patients'], 'patient')}; "
        f"{figure(len(training['quarantined']))} set aside"
    )


def _audited_too(training: Mapping[str, Any]) -> str | None:
    """None where the run is older than the question."""
    if "audited_too" not in training:
        return None
    n = training["audited_too"]
    return "some, too few to be shared" if n is None else figure(n) if n else "none"


def _missing(counts: Mapping[str, Mapping[str, int | None]]) -> str | None:
    if not counts:
        return None
    unknown = {name: count.get("unknown", 0) for name, count in counts.items()}
    told = [f"{name} {'not shared' if n is None else figure(n)}" for name, n in unknown.items() if n != 0]
    return ", ".join(told) or "none: every used image has a label for every class"


def _met(evidence: Evidence) -> str | None:
    """The most audited patients that any network was trained on, and was chosen on; None where no network says it."""
    known = [(model.get("training") or {}).get("met") for model in evidence.models]
    told = [met for met in known if met]
    if not told:
        return None
    trained, chosen = (_most([met[side] for met in told]) for side in ("training", "validation"))
    unknown = (
        f"; not known for {figure(len(known) - len(told))} of {how_many(len(known), 'network')}"
        if len(told) < len(known)
        else ""
    )
    return f"{trained} trained on, {chosen} used to choose the best epoch{unknown}"


def _most(numbers: list[int | None]) -> str:
    """The largest; in a copy that was given away one may be too small to be told."""
    told = [n for n in numbers if n is not None]
    most = figure(max(told)) if told and max(told) else None
    return most or ("some, too few to be shared" if len(told) < len(numbers) else figure(0))


def _people(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """A row per key of the metadata, a column per partition; None where the data set says nothing of its images."""
    partitions = [name for name in PARTITIONS if name in described]
    keys = list(dict.fromkeys(key for name in partitions for key in described[name]))
    if not keys:
        return None
    return {
        "caption": "What the data set says of its images",
        "note": "Counts are images. Brackets: images of which it says anything.",
        "first": "What", "absent": "not evidenced",
        "columns": [PARTITIONS[name] for name in partitions],
        "rows": [{"name": key, "cells": [_said(described[name].get(key)) for name in partitions]} for key in keys],
    }  # fmt: skip


def _said(found: Mapping[str, Any] | None) -> str | None:
    if found and "missing" in found:
        return str(found["missing"])
    if not found or not found["known"]:
        return None
    if "counts" in found:
        words = ", ".join(f"{value} {figure(n)}" for value, n in found["counts"].items())
    elif "median" in found:
        words = f"median {found['median']:g}, from {found['low']:g} to {found['high']:g}"
    else:
        words = f"{figure(found['different'])} different values"
    return f"{words} ({figure(found['known'])})"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Data]
