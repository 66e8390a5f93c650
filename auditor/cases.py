"""The value of every case of a finished run, from its plan.json and ledger.db."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import OutputError
from .identity import digest
from .ledger import Ledger, concluded_key, of_training
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
    split: str = "audited"


def columns(run: Path) -> Iterator[CaseColumn]:
    """Every column of per-case values that results.json is made from: used images, units that did not fail.

    Raises OutputError when plan.json and results.json are of different runs.
    """
    text = (run / "plan.json").read_text(encoding="utf-8")
    plan, results = json.loads(text), json.loads((run / "results.json").read_text(encoding="utf-8"))
    if results["audit"].get("plan") != digest(text):
        raise OutputError(f"{run / 'results.json'} is older than plan.json: the last run did not finish; run it again")
    ledger = Ledger(run / "ledger.db")
    try:
        yield from _audited(plan, results, ledger)
        if plan.get("training_images"):
            yield from _training(plan, results, ledger)
    finally:
        ledger.close()


def _audited(plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> Iterator[CaseColumn]:
    units, keys = audited_units(plan, results, ledger)
    yield from _columns(plan, plan["samples"], results["accounting"], units, keys, ledger, "audited")


def _training(plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> Iterator[CaseColumn]:
    told, accounting = plan["training_images"], results["accounting"]["training_images"]
    units, keys = training_units(plan, results, ledger)
    yield from _columns(plan, told["samples"], accounting, units, keys, ledger, "training")


Keyed = tuple[list[dict[str, Any]], dict[str, tuple[str, str]]]
"""Units of work as plan.json names them, and by the key of each what its values are kept under in the ledger."""


def audited_units(plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> Keyed:
    """The units on the audited images, of models that did not fail."""
    broken = {model["id"] for model in results["models"] if model["status"] == "failed"}
    units = [unit for unit in plan["units"] if unit["model"] not in broken]
    twins, left_out = _twins(plan, results, ledger), _left_out(plan, results)
    return units, {
        unit["key"]: (unit["key"], concluded_key(unit["key"], twins.get((unit["model"], unit["analysis"])), left_out))
        for unit in units
    }


def training_units(plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> Keyed:
    """The units on the training images that came to an end; none where there are no training images."""
    told, audited = plan.get("training_images"), {(unit["model"], unit["analysis"]): unit["key"] for unit in plan["units"]}
    twins, left_out = _twins(plan, results, ledger), _left_out(plan, results)
    listed = told["units"] if told else ()
    units = [{"attribution": None, **unit} for unit in listed if (unit["model"], unit["analysis"]) in twins]
    return units, {
        unit["key"]: (
            unit["key"], of_training(concluded_key(audited[unit["model"], unit["analysis"]], unit["key"], left_out)),
        )
        for unit in units
    }  # fmt: skip


def _twins(plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> dict[tuple[str, str], str]:
    """{(model, analysis): the key of its work on the training images}, as far as that came to an end."""
    told, failed = plan.get("training_images"), ledger.failures()
    if not told:
        return {}
    broken = results["accounting"]["training_images"]["failed"]
    standing = [unit for unit in told["units"] if unit["key"] not in failed and unit["model"] not in broken]
    return {(unit["model"], unit["analysis"]): unit["key"] for unit in standing}


def _left_out(plan: dict[str, Any], results: dict[str, Any]) -> list[list[int]]:
    """The numbers of the samples of both splits that could not be used."""
    splits = [(plan, results["accounting"])]
    splits.append((plan.get("training_images") or {}, results["accounting"].get("training_images") or {}))
    found = []
    for listed, accounting in splits:
        gone = {item["id"] for item in accounting.get("quarantined", ())}
        found.append([number for number, name in enumerate(listed.get("samples", ())) if name in gone])
    return found


def _columns(
    plan: dict[str, Any], samples: list[str], accounting: dict[str, Any], units: list[dict[str, Any]],
    keys: dict[str, tuple[str, str]], ledger: Ledger, split: str,
) -> Iterator[CaseColumn]:  # fmt: skip
    classes = [*plan["dataset"]["classes"], IMAGE]
    left_out = {item["id"] for item in accounting["quarantined"]}
    used = np.array([name not in left_out for name in samples], bool)
    failed = ledger.failures()
    for unit in units:
        for key in keys[unit["key"]] if unit["key"] not in failed else ():
            for metric, found in sorted(ledger.values(key).items()):
                good = used[found.sample]
                ids = [samples[number] for number in found.sample[good]]
                names = [classes[target] for target in found.target[good]]
                about = (unit["model"], unit["analysis"], unit["attribution"], metric)
                yield CaseColumn(*about, ids, names, found.value[good], split)
