"""One image per patient: the same cases thinned until no patient counts twice for a finding.

Patients with many films are sicker than others. If a result holds for one image of each, it is not theirs alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np

from .columns import Columns
from .influence import Integers
from .rows import Cohort, Values

ASSUMING = "one image per patient"


def kept(columns: Sequence[Values], cohort: Cohort, order: Integers) -> Integers:
    """The cases, as class times number of samples plus sample, that stay: per class and patient the first in `order`.

    `columns` are one metric of every network; only cases with a value in all of them are chosen from. `order` [S] ranks the samples.
    """
    size = len(cohort.patients)
    keys = [(column.target * size + column.sample)[~np.isnan(column.value)] for column in columns]
    shared = reduce(np.intersect1d, keys)
    target, sample = np.divmod(shared, size)
    ranked = np.lexsort((order[sample], cohort.patients[sample], target))
    owner = np.stack([target, cohort.patients[sample]])[:, ranked]
    first = np.ones(len(ranked), bool)
    first[1:] = (owner[:, 1:] != owner[:, :-1]).any(0)
    return np.sort(shared[ranked[first]])


def thinned(network: Columns, cases: Integers, size: int) -> Columns:
    """A network's values for these cases alone; `size` is the number of samples."""
    return Columns({name: _only(column, cases, size) for name, column in network.values.items()}, network.elsewhere)


def thinned_cohort(cohort: Cohort, cases: Integers) -> Cohort:
    """The same cohort, in which only the boxes of these cases are held against maps."""
    size = len(cohort.patients)
    there = set(cases.tolist())
    boxed = (
        tuple(sample if number * size + sample in there else -1 for sample in of) for number, of in enumerate(cohort.boxed)
    )
    return replace(cohort, boxed=tuple(boxed))


def _only(column: Values, cases: Integers, size: int) -> Values:
    found = np.isin(column.target * size + column.sample, cases)
    return Values(column.sample[found], column.target[found], column.value[found])


def values_of(columns: Mapping[str, Columns], name: str) -> list[Values]:
    """One metric of every network that has it."""
    return [network.values[name] for network in columns.values() if name in network.values]
