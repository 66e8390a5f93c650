"""Level 3: some of the images go through the networks again, and what was kept of them is compared."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import passes
from ..config import read
from ..device import choose_device
from ..identity import digest
from ..ledger import Found, Ledger
from ..pixels import PixelStore
from ..plan import Plan, PlannedModel, Unit, label, to_json
from ..planning import make
from ..registry import Registry
from .found import Difference, Level
from .numbers import told_in

PROVED = "the networks and the images at hand give the values that were kept, for the batches that were tried"
OPEN = "the batches that were not tried; that the labels and boxes are right; that the networks are good"
NEAR = 1e-3
"""How far a value may lie from the one kept on another machine, absolute below 1 and relative above."""
EXACT = "to the last bit"
MEANING = "a machine or version other than that of the run may add in another order"
IGNORED = ("device", "units", "key")


def check(run: Path, audit: Path, batches: int, seed: int) -> Level:
    """Level 3 of a run folder: `batches` chunks of each network, drawn with `seed`, measured anew into a ledger of their own."""
    level = Level(3, PROVED, OPEN)
    told = told_in(run)
    config = read(audit)
    limited = told.audit["limited"]
    plan = make(
        config,
        Registry(config.plugins, audit.absolute().parent, config.place),
        limit=limited["used"] if limited else None,
        device=choose_device("auto" if told.audit["device"] == "cuda" else "cpu"),
    )
    record = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    level.differences += _of_plans(record, json.loads(to_json(plan)))
    if level.differences:
        return level
    plan = _with_keys(plan, record)
    kept = Ledger(run / "ledger.db")
    try:
        with tempfile.TemporaryDirectory() as folder:
            for model in plan.models:
                _again(plan, model, kept, Path(folder), batches, seed, level)
    finally:
        kept.close()
    return level


def _with_keys(plan: Plan, record: Mapping[str, Any]) -> Plan:
    """The plan with the keys under which the run kept its work; another device or version would give others."""
    keys = {(unit["model"], unit["analysis"], unit["attribution"]): unit["key"] for unit in record["units"]}
    units = [(unit, keys.get((unit.model, unit.name, label(unit.attribution)))) for unit in plan.units]
    return replace(plan, units=tuple(replace(unit, key=key) for unit, key in units if key is not None))


def _of_plans(record: Any, made: Any, path: str = "") -> Iterator[Difference]:
    """Where the audit.yaml at hand, its networks and its images are not those of the run."""
    if isinstance(record, dict) and isinstance(made, dict):
        for key in sorted((record.keys() | made.keys()) - set(IGNORED)):
            yield from _of_plans(record.get(key), made.get(key), f"{path}, {key}" if path else key)
    elif isinstance(record, list) and isinstance(made, list) and len(record) == len(made):
        for number, (mine, theirs) in enumerate(zip(record, made, strict=True)):
            yield from _of_plans(mine, theirs, f"{path}[{number}]")
    elif record != made:
        yield Difference(f"plan.json, {path}", f"is {_shown(record)}; with the audit.yaml at hand it is {_shown(made)}")


def _again(plan: Plan, model: PlannedModel, kept: Ledger, folder: Path, batches: int, seed: int, level: Level) -> None:
    """Measure some chunks of one network anew and compare them with what is kept."""
    once: list[Unit] = []
    later: list[Unit] = []
    for unit in plan.units_of(model.id):
        concludes = unit.analysis is not None and unit.analysis.concludes
        (later if unit.analysis is None or concludes or passes.looks_twice(unit) else once).append(unit)
    failed = kept.failures()
    once = [unit for unit in once if unit.key not in failed]
    chunks = sorted(random.Random(f"{seed} {model.id}").sample(range(plan.chunks), min(batches, plan.chunks)))
    if not once or not chunks:
        level.undecided.append(f"{model.id}: has nothing that can be measured batch by batch")
        return
    place = folder / digest(model.id)
    fresh, store = Ledger(place / "ledger.db"), PixelStore(place / "pixels", plan.dataset, plan.samples, plan.chunk)
    try:
        for chunk in set(range(plan.chunks)) - set(chunks):
            fresh.write(chunk, {unit.key: Found({}, {}, []) for unit in once}, {})
        passes.run(replace(plan, units=tuple(once)), model, fresh, store, place, lambda name, chunk: None)
        broken = fresh.failures()
        for unit in once:
            if unit.key in broken:
                level.differences.append(Difference(f"{model.id}, {unit.name}", f"failed this time: {broken[unit.key]}"))
        exact, near = 0, 0
        for unit in once:
            same, alike = _compare(plan, unit, kept, fresh, chunks, level)
            exact, near = exact + same, near + alike
    finally:
        store.close()
        fresh.close()
    which = ", ".join(str(chunk + 1) for chunk in chunks)
    level.said.append(
        f"{model.id}: {exact + near:,} values of images in part {which} of {plan.chunks}: {exact:,} are the same {EXACT}"
        + (f", {near:,} to within {NEAR:g}; {MEANING}" if near else "")
    )
    if later:
        names = ", ".join(dict.fromkeys(unit.name for unit in later))
        level.said.append(f"{model.id}: not measured again: {names}, which look at all images together")


def _compare(plan: Plan, unit: Unit, kept: Ledger, fresh: Ledger, chunks: list[int], level: Level) -> tuple[int, int]:
    """(values the same to the last bit, values the same to within NEAR) of a unit; the others are differences."""
    before, after = kept.values(unit.key), fresh.values(unit.key)
    exact = near = 0
    for metric in sorted(before.keys() | after.keys()):
        sides = [_by_case(values.get(metric), plan, chunks) for values in (before, after)]
        for case in sorted(sides[0].keys() | sides[1].keys()):
            one, other = (side.get(case) for side in sides)
            if one is not None and other is not None and (one == other or (one != one and other != other)):
                exact += 1
            elif one is not None and other is not None and abs(one - other) <= NEAR * max(1.0, abs(one)):
                near += 1
            else:
                sample, target = case
                name = plan.classes[target] if target >= 0 else "(image)"
                place = f"{unit.model}, {unit.name}, {metric}, {plan.samples[sample].id}, {name}"
                level.differences.append(Difference(place, f"{_shown(one)} was kept; this time it is {_shown(other)}"))
    return exact, near


def _by_case(values: Any, plan: Plan, chunks: list[int]) -> Mapping[tuple[int, int], float]:
    """{(sample, class): value} of the images in these chunks."""
    if values is None:
        return {}
    wanted = np.isin(values.sample // plan.chunk, chunks)
    cases = zip(values.sample[wanted].tolist(), values.target[wanted].tolist(), strict=True)
    return dict(zip(cases, values.value[wanted].tolist(), strict=True))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else "undefined" if value != value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"
