"""A data set that is a list in a JSON file: classes, and samples with patient, labels and boxes; for models that are tables of scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor import Box, Dataset, Sample, Unreadable, hookimpl


@dataclass(frozen=True)
class Listed(Dataset):
    """`list` is the file: {"classes": [...], "samples": [[id, patient, [labels], [[class, left, top, right, bottom], ...]], ...]}."""

    list: Path

    name = "listed"

    def classes(self) -> tuple[str, ...]:
        return tuple(json.loads(self.list.read_text())["classes"])

    def index(self) -> Any:
        told = json.loads(self.list.read_text())["samples"]
        return [
            Sample(name, patient, tuple(labels), tuple(Box(*box) for box in boxes)) for name, patient, labels, boxes in told
        ]

    def read(self, sample: Sample) -> Any:
        raise Unreadable("decode:absent", f"{sample.id} has no pixels")


@hookimpl
def register_datasets() -> Any:
    return [Listed]
