"""What one network left of one analysis, column by column, and how the cases of a class are taken from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from .between_splits import NO_TRAINING
from .influence import Floats, Integers
from .rows import Cohort, Values

Case = tuple[int, int]


@dataclass(frozen=True)
class Columns:
    """A value per case by metric, a row of scores per case with other boxes, and the numbers of the network as a whole.

    `training` holds the same values of the training images, or says why there are none.
    """

    values: Mapping[str, Values]
    elsewhere: Mapping[str, Mapping[Case, npt.NDArray[np.floating[Any]]]] = field(default_factory=dict)
    whole: Mapping[str, float | None] = field(default_factory=dict)
    training: Mapping[str, Values] | str = NO_TRAINING


def cases_of(metric: str, network: Columns, cohort: Cohort) -> Integers:
    """The cases that a network has a value for, each as class times number of samples plus sample."""
    values = network.values[metric]
    good = ~np.isnan(values.value)
    return np.sort(values.target[good] * len(cohort.patients) + values.sample[good])


def values_of(values: Values, number: int, samples: Integers) -> Floats:
    """The values of these samples of one class."""
    mine = np.flatnonzero(values.target == number)
    mine = mine[np.argsort(values.sample[mine], kind="stable")]
    return values.value[mine[np.searchsorted(values.sample[mine], samples)]]


def on_shared_training(networks: Sequence[Columns], metrics: Sequence[str], classes: int) -> list[Columns]:
    """The same networks, their training values of these metrics on the cases only that every network has a value for."""
    sides = [network.training for network in networks]
    if any(isinstance(side, str) for side in sides):
        return list(networks)
    for metric in metrics:
        columns = [side[metric] for side in sides if not isinstance(side, str) and metric in side]
        if len(columns) == len(networks):
            keys = [values.sample * classes + values.target for values in columns]
            shared = reduce(np.intersect1d, (key[~np.isnan(v.value)] for key, v in zip(keys, columns, strict=True)))
            kept = [_only(v, np.isin(key, shared)) for key, v in zip(keys, columns, strict=True)]
            sides = [{**side, metric: only} for side, only in zip(sides, kept, strict=True) if not isinstance(side, str)]
    return [replace(network, training=side) for network, side in zip(networks, sides, strict=True)]


def _only(values: Values, kept: npt.NDArray[np.bool_]) -> Values:
    return Values(values.sample[kept], values.target[kept], values.value[kept])
