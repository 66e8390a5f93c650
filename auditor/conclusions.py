"""What can be said only when the last image has been seen: analyses that look at all embeddings of a network together.

Embeddings are kept in the ledger as they come, for both splits. Once a network has seen everything, the analysis is handed all of
them, and what it concludes is kept like everything else: per case for both splits, and a profile per class.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from . import training_split
from .analysis import Analysis
from .conclusion import Conclusion
from .embedded import Decision, Embedded, Membership
from .groups import groups
from .ledger import Found, Ledger, of_training
from .measuring import checked, checked_conclusion
from .plan import Plan, PlannedModel, Unit
from .statistics.rows import Values
from .training_split import TrainingSplit

log = logging.getLogger("auditor")


def run(plan: Plan, ledger: Ledger) -> None:
    """Conclude what is not concluded yet; an analysis that fails here is recorded as failed for that network."""
    failed, second = ledger.failures(), training_split.of(plan, ledger)
    for unit in plan.units:
        concludes = unit.analysis is not None and unit.analysis.concludes
        if not concludes or unit.key in failed or ledger.done(second.key(unit)):
            continue
        try:
            _conclude(plan, ledger, unit, second)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, MemoryError) as error:
            log.error("%s failed for %s", unit.name, unit.model, exc_info=error)
            ledger.fail(unit.key, f"{type(error).__name__}: {error}")


def _conclude(plan: Plan, ledger: Ledger, unit: Unit, second: TrainingSplit) -> None:
    (model,) = (model for model in plan.models if model.id == unit.model)
    decision, training = _decision(plan, model, ledger, unit), second.unit(unit)
    if decision is None:
        return
    assert unit.analysis is not None
    codes = {p: n for n, p in enumerate(sorted({s.patient for split in (plan, plan.training) if split for s in split.samples}))}
    sides = [(plan, unit), *([(plan.training, training)] if plan.training and isinstance(training, Unit) else [])]
    splits = [_embedded(split, ledger, of, codes, gone) for (split, of), gone in zip(sides, second.left_out, strict=False)]
    usable = [split for _, split in splits if len(split.vectors)]
    if not len(splits[0][1].vectors):
        return
    found = unit.analysis.conclude(decision, usable[0], usable[1] if len(usable) > 1 else None)
    ledger.conclude(unit.key, checked_conclusion(unit.analysis, Conclusion(numbers=tuple(found.numbers))))
    where = second.key(unit)
    parts = {
        name: Found(_values(unit.analysis, column, samples), {}, [])
        for name, column, (samples, _) in zip(
            (where, of_training(where)), (found.audited, found.training), splits, strict=False
        )
    }
    ledger.tell(where, json.dumps(list(found.profiles), allow_nan=False))
    ledger.write(0, parts, {})


def _decision(plan: Plan, model: PlannedModel, ledger: Ledger, unit: Unit) -> Decision | None:
    layer = ledger.last_layer(unit.key)
    if layer is None:
        return None
    return Decision(plan.classes, layer[:, :-1], layer[:, -1], model.loader.head == "softmax")


def _embedded(
    plan: Plan, ledger: Ledger, unit: Unit, codes: Mapping[str, int], left_out: Sequence[int]
) -> tuple[npt.NDArray[np.int64], Embedded]:
    """The usable samples' numbers in the plan, and their embeddings."""
    every, vectors = ledger.vectors(unit.key)
    kept = ~np.isin(every, np.array(left_out, np.int64))
    samples, vectors = every[kept], vectors[kept]
    rows = [plan.samples[number] for number in samples]
    labels = [[-1 if label is None else label for label in sample.labels] for sample in rows]
    hashes = [hashlib.sha256(sample.id.encode()).digest() for sample in rows]
    lot = np.empty(len(rows), np.int64)
    lot[sorted(range(len(rows)), key=hashes.__getitem__)] = np.arange(len(rows))
    patients = np.array([codes[sample.patient] for sample in rows], np.int64)
    told = {one.by: groups(one, rows) for one in plan.config.subgroups if unit.analysis and one.by in unit.analysis.grouped_by}
    return samples, Embedded(
        vectors, np.array(labels, np.int8).reshape(len(rows), len(plan.classes)), patients, lot,
        {by: Membership(found.names, found.code) for by, found in told.items()},
    )  # fmt: skip


def _values(
    analysis: Analysis, columns: Mapping[str, npt.NDArray[np.float64]], samples: npt.NDArray[np.int64]
) -> dict[str, Values]:
    """The defined values of each metric, held to what it declares."""
    found = {}
    for name, flat in checked(analysis, {n: c.ravel() for n, c in columns.items()}, _size(columns)).items():
        image, target = np.divmod(np.flatnonzero(~np.isnan(flat)), columns[name].shape[1])
        found[name] = Values(samples[image], target.astype(np.int64), flat[~np.isnan(flat)])
    return found


def _size(columns: Mapping[str, npt.NDArray[np.float64]]) -> int:
    """How many cases the columns have."""
    return next((column.size for column in columns.values()), 0)
