"""Which classes of a number rest on cases that moved: bit by bit, so that what did not move is never given an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..metric import Metric
from ..statistics.columns import Case, Columns
from ..statistics.rows import IMAGE, MACRO, Cohort, Values

Scores = Mapping[Case, npt.NDArray[np.floating[Any]]]


def moved_targets(metric: Metric, old: Columns, new: Columns, classes: int) -> set[int]:
    """The numbers of the classes (-1: the image as a whole) in which any value that the metric is made of is not the same."""
    sources = {name for name in (metric.of or metric.name, metric.against) if name}
    if metric.per and old.whole.get(metric.per) != new.whole.get(metric.per):
        return {-1, *range(classes)}
    found: set[int] = set()
    for name in sources:
        found |= _of_values(old.values.get(name), new.values.get(name))
        found |= _of_scores(old.elsewhere.get(name, {}), new.elsewhere.get(name, {}))
    if isinstance(old.training, str) or isinstance(new.training, str):
        return found if old.training == new.training else {-1, *range(classes)}
    for name in sources:
        found |= _of_values(old.training.get(name), new.training.get(name))
    return found


def rests_on(name: str, cohort: Cohort) -> set[int]:
    """The numbers of the classes that a row of a class or pseudo class is made of."""
    groups = dict(cohort.groups) | {MACRO: tuple(range(len(cohort.classes))), IMAGE: (-1,)}
    return set(groups[name]) if name in groups else {cohort.classes.index(name)}


def _of_values(old: Values | None, new: Values | None) -> set[int]:
    if old is None or new is None:
        left = old or new
        return set() if left is None else set(np.unique(left.target).tolist())
    (before, was), (after, now) = _ordered(old), _ordered(new)
    if np.array_equal(before, after):
        return set(before["target"][~_same(was, now)].tolist())
    odd = np.setxor1d(before, after)["target"].tolist()
    shared, a, b = np.intersect1d(before, after, return_indices=True)
    return {*odd, *shared["target"][~_same(was[a], now[b])].tolist()}


def _ordered(values: Values) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    keys = np.empty(len(values.value), [("target", np.int64), ("sample", np.int64)])
    keys["target"], keys["sample"] = values.target, values.sample
    order = np.argsort(keys, order=("target", "sample"))
    return keys[order], values.value[order]


def _same(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray((old == new) | (np.isnan(old) & np.isnan(new)))


def _of_scores(old: Scores, new: Scores) -> set[int]:
    differ = {case for case in old.keys() & new.keys() if not np.array_equal(old[case], new[case], equal_nan=True)}
    return {target for _, target in differ | (old.keys() ^ new.keys())}
