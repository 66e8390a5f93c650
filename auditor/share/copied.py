"""Copies of images on their way out: counts of enough patients, and the groups that they speak of under pseudonyms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import few
from .pseudonyms import Pseudonyms


def shared(told: Mapping[str, Any], pseudonyms: Pseudonyms) -> dict[str, Any]:
    """What `auditor.duplicates` found; of copies of too few patients, neither how many nor which."""
    if "missing" in told:
        return dict(told)
    gone = {name for name, counts in told["counts"].items() if few(counts["patients"])}
    counts = {name: dict.fromkeys(of) if name in gone else of for name, of in told["counts"].items()}
    groups = [
        {**group, "images": [_image(image, pseudonyms) for image in group["images"]]}
        for group in told["groups"]
        if group["crosses"] not in gone
    ]
    return {**told, "counts": counts, "groups": groups}


def _image(image: Mapping[str, str], pseudonyms: Pseudonyms) -> dict[str, str]:
    return {"id": pseudonyms.image(image["id"]), "patient": pseudonyms.patient(image["patient"]), "split": image["split"]}
