"""The value of every case of a finished run, from its plan.json and ledger.db."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import OutputError
from .identity import digest
from .ledger import Ledger
from .statistics.rows import IMAGE


class CaseColumn(NamedTuple):
    """One metric of one model: P cases, NaN where the metric was undefined."""

    model: str
    analysis: str
    attribution: str | None
    metric: str
    samples: list[str]
    classes: list[str]
    values: npt.NDArray[np.float64]


def columns(run: Path) -> Iterator[CaseColumn]:
    """Every column of per-case values that results.json is made from: used images, units that did not fail.

    Raises OutputError when plan.json and results.json are of different runs.
    """
    text = (run / "plan.json").read_text(encoding="utf-8")
    plan, results = json.loads(text), json.loads((run / "results.json").read_text(encoding="utf-8"))
    if results["audit"].get("plan") != digest(text):
        raise OutputError(f"{run / 'results.json'} is older than plan.json: the last run did not finish; run it again")
    samples, classes = plan["samples"], [*plan["dataset"]["classes"], IMAGE]
    left_out = {item["id"] for item in results["accounting"]["quarantined"]}
    used = np.array([name not in left_out for name in samples], bool)
    broken = {model["id"] for model in results["models"] if model["status"] == "failed"}
    ledger = Ledger(run / "ledger.db")
    try:
        failed = ledger.failures()
        for unit in plan["units"]:
            if unit["key"] in failed or unit["model"] in broken:
                continue
            for metric, found in sorted(ledger.values(unit["key"]).items()):
                good = used[found.sample]
                ids = [samples[number] for number in found.sample[good]]
                names = [classes[target] for target in found.target[good]]
                yield CaseColumn(unit["model"], unit["analysis"], unit["attribution"], metric, ids, names, found.value[good])
    finally:
        ledger.close()
