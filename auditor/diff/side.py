"""One finished run as a side of a diff: what it reported, and the value of every case where its folder still holds them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import cases, sample_record
from ..dataset import Sample
from ..elsewhere import Elsewhere
from ..errors import AuditError, OutputError
from ..evidence import Evidence
from ..finished import refuse_others, results_of
from ..identity import digest
from ..ledger import Ledger
from ..regate import evidence_of
from ..statistics.between_splits import NO_TRAINING
from ..statistics.columns import Columns
from ..statistics.rows import Values

Work = tuple[str, str | None]
"""An analysis, and the attribution whose maps it reads."""


@dataclass(frozen=True)
class Side:
    """A run; `cases` is None exactly when `unpaired` says why its cases cannot be paired."""

    folder: Path
    evidence: Evidence
    cases: Cases | None
    unpaired: str | None


class Cases:
    """The per-case values of a run in its own numbering of samples and classes, read one analysis at a time."""

    def __init__(self, plan: dict[str, Any], results: dict[str, Any], ledger: Ledger) -> None:
        self._ledger, told = ledger, plan.get("training_images")
        self.samples: list[str] = plan["samples"]
        self.classes: list[str] = plan["dataset"]["classes"]
        self.training_samples: list[str] = told["samples"] if told else []
        known = sample_record.read(plan["known"], self.samples)
        trained_on = sample_record.read(told["known"], self.training_samples) if told else ()
        codes = _codes(known, trained_on)
        self.patients = np.array([codes[sample.patient] for sample in known], np.int64)
        self.training_patients = np.array([codes[sample.patient] for sample in trained_on], np.int64)
        self.labels = np.array([[-1 if label is None else label for label in sample.labels] for sample in known], np.int8)
        self.boxes = [_boxes(known, name) for name in self.classes]
        self.held_against: Sequence[Sequence[int]] = Elsewhere(known, self.classes).cases
        self.used = _used(self.samples, results["accounting"])
        self.training_used = _used(self.training_samples, results["accounting"].get("training_images"))
        self.needs = {analysis["use"]: set(analysis["needs"]) for analysis in plan["analyses"]}
        if self.labels.shape != (len(self.samples), len(self.classes)) or len(self.patients) != len(self.samples):
            raise ValueError("its cases have other numbers of patients, labels and samples")
        self._failed = set(ledger.failures())
        self._audited = _by_work(*cases.audited_units(plan, results, ledger))
        self._training = _by_work(*cases.training_units(plan, results, ledger))

    def works(self) -> list[Work]:
        """Every analysis with every attribution that it reads, in the order of the plan."""
        return list(dict.fromkeys((analysis, attribution) for _, analysis, attribution in self._audited))

    def columns(self, work: Work) -> dict[str, Columns]:
        """{model: what it left of this work}, used samples only; raises AuditError where the ledger is damaged."""
        try:
            return {
                model: self._columns(model, work, keys)
                for (model, *about), keys in self._audited.items()
                if tuple(about) == work and keys[0] not in self._failed
            }
        except (sqlite3.Error, ValueError, IndexError) as error:
            raise AuditError(f"{self._ledger.path}: is damaged or of another run ({error}); run the audit again") from error

    def _columns(self, model: str, work: Work, keys: tuple[str, str]) -> Columns:
        training: Mapping[str, Values] | str = NO_TRAINING
        if (model, work[0], None) in self._training:
            training = self._values(self._training[model, work[0], None], self.training_used)
        elsewhere, whole = self._ledger.elsewhere(keys[0]), self._ledger.summary(keys[0])
        return Columns(self._values(keys, self.used), elsewhere, whole, training)

    def _values(self, keys: tuple[str, str], used: npt.NDArray[np.bool_]) -> dict[str, Values]:
        found = {}
        for key in keys:
            for metric, column in self._ledger.values(key).items():
                good = used[column.sample]
                found[metric] = Values(column.sample[good], column.target[good], column.value[good])
        return found


def _codes(audited: Sequence[Sample], trained_on: Sequence[Sample]) -> dict[str, int]:
    """A number per patient, in the order of their names, those of training images only after the others."""
    first = sorted({sample.patient for sample in audited})
    later = sorted({sample.patient for sample in trained_on} - set(first))
    return {patient: number for number, patient in enumerate([*first, *later])}


def _boxes(samples: Sequence[Sample], name: str) -> dict[str, str]:
    """A digest of the boxes of this class of each boxed sample, by its number."""
    found = {}
    for number, sample in enumerate(samples):
        edges = [(box.left, box.top, box.right, box.bottom) for box in sample.boxes if box.label == name]
        if edges:
            found[str(number)] = digest(sorted(edges))
    return found


def _by_work(
    units: list[dict[str, Any]], keys: dict[str, tuple[str, str]]
) -> dict[tuple[str, str, str | None], tuple[str, str]]:
    return {(unit["model"], unit["analysis"], unit["attribution"]): keys[unit["key"]] for unit in units}


def _used(samples: list[str], accounting: Mapping[str, Any] | None) -> npt.NDArray[np.bool_]:
    lost = {item["id"] for item in (accounting or {}).get("quarantined", ())}
    return np.array([name not in lost for name in samples], bool)


@contextmanager
def opened(folder: Path) -> Iterator[Side]:
    """A finished run folder (a shared results.json will do); raises AuditError where there are no results to read."""
    results = results_of(folder)
    evidence = evidence_of(results)
    refuse_others(results, vars(evidence))
    with _ledger(results.parent) as ledger:
        known = ledger if isinstance(ledger, str) else _cases(results, ledger)
        sure = isinstance(known, Cases)
        yield Side(folder, evidence, known if isinstance(known, Cases) else None, None if sure else str(known))


@contextmanager
def _ledger(folder: Path) -> Iterator[Ledger | str]:
    missing = [name for name in ("plan.json", "ledger.db") if not (folder / name).is_file()]
    if missing:
        yield f"no {' and no '.join(missing)} lies beside its results.json, so it holds no value per case"
        return
    try:
        ledger = Ledger(folder / "ledger.db")
    except OutputError:
        yield "its ledger.db cannot be opened; it must be a ledger, in a folder that can be written"
        return
    try:
        yield ledger
    finally:
        ledger.close()


def _cases(results: Path, ledger: Ledger) -> Cases | str:
    """The cases, or why there are none."""
    try:
        text = (results.parent / "plan.json").read_text(encoding="utf-8")
        plan, said = json.loads(text), json.loads(results.read_text(encoding="utf-8"))
        if said["audit"].get("plan") != digest(text):
            return "its results.json does not belong to its plan.json: the last run did not finish, or another was made since"
        if "known" not in plan:
            return "it was made before plan.json kept patients and labels; run it again (what is measured is kept)"
        return Cases(plan, said, ledger)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error) as error:
        return f"its plan.json or ledger.db cannot be read ({type(error).__name__})"
