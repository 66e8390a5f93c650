"""Level 2 on a bundle: its case tables become a plan and a ledger again, from which the ordinary code makes the numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..dataset import Sample
from ..errors import AuditError
from ..evidence import Evidence
from ..gated import judge
from ..identity import digest
from ..ledger import Found, Ledger, concluded_key, of_training
from ..plan import Plan
from ..registry import Registry
from ..results import Known
from ..share.case_tables import FOLDER
from ..share.judged import findings
from ..statistics.rows import IMAGE, Values
from . import boxed_tables, case_tables, compare, drawn, group_table, numbers, recorded
from .boxed_tables import Boxes
from .case_tables import Cases, Part
from .found import Difference, Level
from .group_table import Groups
from .withheld import Withheld

NEAR = 1e-9
TOLERANCE = f"images stand in another order in a bundle, so sums may differ in their last digits: numbers count as equal to within {NEAR:g}"


def of_bundle(bundle: Path, told: Evidence, registry: Registry, level: Level) -> None:
    """Add to level 2 where results.json is not what follows from the tables in cases/."""
    cases = case_tables.read(bundle, told)
    if not cases.parts:
        raise AuditError(f"{bundle / 'cases'}: found no table; allowed: the case tables that auditor share wrote")
    groups = group_table.read(bundle, told)
    parts = recorded.components(told, registry)
    boxes = boxed_tables.read(bundle, told, cases)
    plan = _plan(told, parts, cases, groups, boxes)
    known = Known([model["training"] for model in told.models], told.controls, told.gaps, told.accounting)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder) / "ledger.db", plan, cases, boxes)
        made = numbers.made_again(plan, Path(folder) / "ledger.db", told, known, bundle / FOLDER)
    made = replace(drawn.judged_by(told, made), findings=tuple(findings(told)), gates=judge(plan.config.judged_gates, told))
    left_out, alike = Withheld(told, cases, parts, groups, boxes), drawn.Alike(told, NEAR)
    found, agree = compare.differences(compare.rows(told), compare.rows(made), alike, left_out)
    level.differences += [*_withheld_in_vain(told, cases), *found, *drawn.adjusted(told)]
    if len({image for split, image in cases.patients if split == "audited"}) == told.dataset["images"]:
        level.differences += group_table.counted(told, made, list(groups))
    level.said.append(f"{agree:,} numbers were made again from cases/ and agree; {TOLERANCE}")
    level.said += [*alike.told(), *left_out.told()]


def _withheld_in_vain(told: Evidence, cases: Cases) -> Iterator[Difference]:
    """Classes said to be withheld whose cases are in the tables: means over them could hide behind that."""
    known = {name for _, _, name in cases.labels}
    for name in (told.audit.get("shared") or {}).get("classes_withheld", ()):
        if name in known:
            yield Difference("results.json, audit, shared", f"says that {name} is withheld; its cases are in cases/")


def _plan(told: Evidence, parts: recorded.Components, cases: Cases, groups: Groups, boxes: Boxes) -> Plan:
    """The plan of the audit as far as the tables know its images."""
    audited = boxes.boxed(_samples(told, cases, "audited", groups))
    record = {
        "available": len(audited), "dataset": {"digest": ""}, "data_key": "bundle", "unmet": (),
        "boxes": {"listed": 0, "used": 0, "clipped": 0, "quarantined": ()},
        "models": [{"outputs": range(len(told.dataset["classes"])), "identity": model["id"]} for model in told.models],
        "units": _units(cases, "audited"),
    }  # fmt: skip
    plan = recorded.plan(told, parts, record, audited)
    if any(part.split == "training" for part in cases.parts):
        samples = _samples(told, cases, "training", {})
        second = {"available": len(samples), "digest": "", "data_key": "bundle", "units": _units(cases, "training")}
        plan = replace(plan, training=recorded.training(plan, parts, second, samples))
    return plan


def _samples(told: Evidence, cases: Cases, split: str, groups: Groups) -> list[Sample]:
    """The images of a split in order of their pseudonyms, with the labels that the tables tell."""
    images = sorted(image for one, image in cases.patients if one == split)
    classes = told.dataset["classes"]
    return [
        Sample(
            image,
            cases.patients[split, image],
            tuple(cases.labels.get((split, image, name)) for name in classes),
            metadata={by: of[image] for by, of in groups.items() if image in of},
        )
        for image in images
    ]


def _units(cases: Cases, split: str) -> list[dict[str, str | None]]:
    found = {(part.model, part.analysis, part.attribution) for part in cases.parts if part.split == split}
    return [
        {"key": _key(split, *about), "model": about[0], "analysis": about[1], "attribution": about[2]}
        for about in sorted(found, key=str)
    ]


def _key(split: str, model: str, analysis: str, attribution: str | None) -> str:
    return digest("bundle", split, model, analysis, attribution)


def _fill(place: Path, plan: Plan, cases: Cases, boxes: Boxes) -> None:
    """Write the tables into a ledger, each unit under the key that the ordinary code will ask for."""
    ledger = Ledger(place)
    splits = {"audited": plan.samples, "training": plan.training.samples if plan.training else ()}
    numbers_of = {split: {sample.id: number for number, sample in enumerate(samples)} for split, samples in splits.items()}
    concludes = {analysis.name for analysis in plan.analyses if analysis.concludes}
    twins = {(part.model, part.analysis, part.attribution) for part in cases.parts if part.split == "training"}
    try:
        for part in cases.parts:
            about = (part.model, part.analysis, part.attribution)
            key = _key(part.split, *about)
            if part.analysis in concludes:
                both = concluded_key(_key("audited", *about), _key("training", *about) if about in twins else None, ((), ()))
                key = both if part.split == "audited" else of_training(both)
            found = Found(_values(part, numbers_of[part.split], plan.classes), {}, [])
            if part.split == "audited":
                found.elsewhere = boxes.elsewhere(about, numbers_of["audited"], plan.classes)
            ledger.write(0, {key: found}, {})
    finally:
        ledger.close()


def _values(part: Part, number: dict[str, int], classes: Sequence[str]) -> dict[str, Values]:
    """The columns of a table in order of image and class, as an audit leaves them."""
    place = {name: target for target, name in enumerate(classes)} | {IMAGE: -1}
    sample = np.array([number[image] for image in part.images], np.int64)
    target = np.array([place[name] for name in part.classes], np.int64)
    order = np.lexsort((target, sample))
    found = {}
    for metric, column in part.values.items():
        there = order[~np.isposinf(column[order])]
        if len(there):
            found[metric] = Values(sample[there], target[there], column[there])
    return found
