"""The same contrasts under a changed assumption: would the result stand if boxes were larger, or each patient had one image?

Shown beside the main result and judged by nobody: they answer whether it hangs on an arbitrary choice, and are no further claims.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from . import contrasts
from .analysis import Analysis
from .attribution import Attribution
from .metric import Metric
from .plan import Plan
from .statistics.columns import Columns
from .statistics.decide import Row
from .statistics.influence import Integers
from .statistics.one_per_patient import ASSUMING, kept, thinned, thinned_cohort, values_of
from .statistics.rows import Cohort, Repeat


def gather(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, columns: dict[str, Columns], cohort: Cohort
) -> Iterator[Repeat]:
    """Metrics that repeat others, and the primary claims with one image per patient."""
    for metric in analysis.metrics:
        if metric.repeats:
            for row in _contrasts(plan, analysis, attribution, columns, cohort, metric):
                yield _repeat(row, metric.repeats, metric.assuming)
    for metric in contrasts.contrasted(analysis):
        column = values_of(columns, metric.of or metric.name)
        if metric.name in plan.config.claims.primary and column:
            cases = kept(column, cohort, _order(plan))
            fewer = {model: thinned(network, cases, len(cohort.patients)) for model, network in columns.items()}
            for row in _contrasts(plan, analysis, attribution, fewer, thinned_cohort(cohort, cases), metric):
                yield _repeat(row, metric.name, ASSUMING)


def _contrasts(
    plan: Plan, analysis: Analysis, attribution: Attribution | None, columns: dict[str, Columns], cohort: Cohort, metric: Metric
) -> Iterator[Row]:
    values = {model: dict(network.values) for model, network in columns.items()}
    yield from contrasts.contrasts(plan, analysis, attribution, values, cohort, [metric])
    yield from contrasts.estimated(plan, analysis, attribution, columns, cohort, [metric])


def _order(plan: Plan) -> Integers:
    """The rank of every sample by the keyed hash of its id: which image of a patient is taken is drawn, and always the same."""
    hashes = [hashlib.sha256(f"{plan.config.seed}|one image|{sample.id}".encode()).digest() for sample in plan.samples]
    order = np.empty(len(hashes), np.int64)
    order[sorted(range(len(hashes)), key=hashes.__getitem__)] = np.arange(len(hashes))
    return order


def _repeat(row: Row, metric: str, assuming: str) -> Repeat:
    found = row[0]
    return Repeat(
        metric, found.analysis, found.attribution, found.class_name, found.family, found.strategy, found.reference, assuming,
        found.difference, found.low, found.high, found.n_cases, found.n_patients, found.missing, found.note,
    )  # fmt: skip
