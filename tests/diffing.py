"""Audits of tables of scores, small enough to be made by the dozen: what the tests of `auditor diff` compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from auditor.report import Rendered
from auditor.run import run

LISTED = Path(__file__).parent / "plugins_for_tests" / "listed.py"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tables:
    """An audit as lists: a row per sample. `scores` are log-odds [S, K] by (strategy, seed)."""

    samples: tuple[str, ...]
    patients: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    scores: Mapping[tuple[str, int], Floats]
    classes: tuple[str, ...] = ("Mass", "Nodule")
    boxes: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def only(self, kept: npt.NDArray[np.bool_]) -> Tables:
        """Some of the samples."""

        def some(of: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name, fine in zip(of, kept, strict=True) if fine)

        scores = {name: table[kept] for name, table in self.scores.items()}
        return replace(self, samples=some(self.samples), patients=some(self.patients), labels=self.labels[kept], scores=scores)

    def with_scores(self, name: tuple[str, int], table: Floats) -> Tables:
        """One network replaced."""
        return replace(self, scores={**self.scores, name: table})


def drawn(seed: int = 0, patients: int = 60, networks: Sequence[tuple[str, int]] = (("bce", 0), ("focal", 0))) -> Tables:
    """Two images of each patient, two classes that half of them have, and networks that know something of them."""
    lots = np.random.default_rng(seed)
    labels = lots.integers(0, 2, (2 * patients, 2))
    scores = {name: labels * 0.9 + lots.normal(0, 1, labels.shape) for name in networks}
    names = tuple(f"image-{number:03d}" for number in range(2 * patients))
    return Tables(names, tuple(f"patient-{number // 2:03d}" for number in range(2 * patients)), labels, scores)


def audited(folder: Path, tables: Tables, **lines: str) -> Path:
    """The run folder of an audit of these tables; keywords replace lines of audit.yaml."""
    audit = written(folder, tables, **lines)
    with patch("auditor.report.render", return_value=Rendered({}, [])):  # no test of a diff reads the reports of its audits
        run(audit, folder / "run", device="cpu")
    return folder / "run"


def written(folder: Path, tables: Tables, **lines: str) -> Path:
    """The audit.yaml of an audit of these tables, with all that it names beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = zip(tables.samples, tables.patients, tables.labels.tolist(), strict=True)
    samples = [[name, who, said, list(tables.boxes.get(name, ()))] for name, who, said in rows]
    (folder / "list.json").write_text(json.dumps({"classes": list(tables.classes), "samples": samples}))
    models = []
    for number, ((strategy, seed), table) in enumerate(tables.scores.items()):
        path = folder / f"scores-{number}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", *tables.classes])
            writer.writerows([name, *map(repr, row)] for name, row in zip(tables.samples, table.tolist(), strict=True))
        models.append({"use": "scores", "strategy": strategy, "seed": seed, "table": str(path), "values": "logits"})
    content = {
        "title": "Tables of scores", "dataset": json.dumps({"use": "listed", "list": str(folder / "list.json")}),
        "models": json.dumps(models), "reference": next(iter(tables.scores))[0], "attributions": "[]",
        "analyses": "[performance]", "report": "{formats: [html], images: false}", "controls": "false", "plugins": f"['{LISTED}']",
        "claims": "{primary: [auroc]}", **lines,
    }  # fmt: skip
    (folder / "audit.yaml").write_text("".join(f"{key}: {value}\n" for key, value in content.items()))
    return folder / "audit.yaml"
