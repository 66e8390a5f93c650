"""Every network's cases at its operating points: which it finds, misses, calls falsely and rightly leaves alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import levels
from .ledger import Ledger
from .metric import Metric
from .plan import Plan, PlannedModel
from .statistics.columns import Columns
from .statistics.estimates import operated
from .statistics.influence import Integers
from .statistics.operating import CHOOSES, MEASURED, Called, OperatingPoint
from .statistics.rows import Cohort


@dataclass(frozen=True)
class Told:
    """One network: by class its cases at the operating point, or why there is none, and the `samples` that its rows are of."""

    model: PlannedModel
    called: dict[int, Called | str]
    samples: dict[int, Integers]

    def of(self, number: int, outcome: int) -> Integers:
        """The samples of one outcome (0 to 3: TP, FN, FP, TN) of a class, in order."""
        found = self.called[number]
        return self.samples[number][found.outcome == outcome] if isinstance(found, Called) else np.zeros(0, np.int64)


def declared(plan: Plan) -> Metric | None:
    """The sensitivity that this audit asks for; its operating point is everybody's."""
    return next((metric for name, metric in plan.metrics().items() if metric.statistic == "sensitivity"), None)


def tell(
    plan: Plan, ledger: Ledger, used: npt.NDArray[np.bool_], cohort: Cohort, failed: Collection[str]
) -> Iterator[tuple[Told, list[OperatingPoint]]]:
    """Each network that has outcomes, with a point per class; `failed` are keys of units."""
    metric = declared(plan)
    models = {model.id: model for model in plan.models}
    for unit in plan.units:
        if metric is None or unit.analysis is None or metric not in unit.analysis.metrics or unit.key in failed:
            continue
        network = Columns(levels.of_used(ledger.values(unit.key), used), {})
        if metric.of in network.values:
            yield _told(models[unit.model], metric, network, cohort, int(used.sum()))


def _told(
    model: PlannedModel, metric: Metric, network: Columns, cohort: Cohort, used: int
) -> tuple[Told, list[OperatingPoint]]:
    told, points = Told(model, {}, {}), []
    scores, roles = network.values[metric.of], network.values[metric.against]
    for number in range(len(cohort.classes)):
        samples = np.sort(scores.sample[(scores.target == number) & ~np.isnan(scores.value)])
        mine = np.flatnonzero(roles.target == number)
        role = roles.value[mine[np.argsort(roles.sample[mine])]]
        found = operated(metric, network, cohort, number, samples)
        told.called[number] = found
        told.samples[number] = samples[found.rows] if isinstance(found, Called) else samples[:0]
        points.append(_point(model, metric, cohort, number, samples, role, found, used))
    return told, points


def _point(
    model: PlannedModel, metric: Metric, cohort: Cohort, number: int, samples: Integers, role: npt.NDArray[np.float64],
    found: Called | str, used: int,
) -> OperatingPoint:  # fmt: skip
    choosing = samples[(role > MEASURED) & (cohort.labels[samples, number] == 0)]
    tp, fn, fp, tn = np.bincount(found.outcome, minlength=4).tolist() if isinstance(found, Called) else (0, 0, 0, 0)
    assert metric.at is not None
    return OperatingPoint(
        model.id, model.loader.strategy, cohort.classes[number], metric.at,
        found.threshold if isinstance(found, Called) else None, None if isinstance(found, Called) else found,
        tp, fn, fp, tn, int((role == CHOOSES).sum()), used - len(samples), len(choosing), len(np.unique(cohort.patients[choosing])),
    )  # fmt: skip
