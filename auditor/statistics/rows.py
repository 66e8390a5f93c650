"""The rows that statistics hands on; absence always has a reason and is never a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MACRO = "(macro)"
IMAGE = "(image)"
MODEL = "(model)"
"""Pseudo classes: mean over the defined classes; one value per image for all its findings; one value per model."""


@dataclass(frozen=True)
class Values:
    """One metric of one model: a value per case. `sample` indexes the plan's samples, `target` its classes (-1 = the image
    as a whole), `value` is NaN where the metric was undefined for the case."""

    sample: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cohort:
    """What every comparison shares: per sample its patient (any integer code) and its labels [S, K] (1, 0, -1 unknown)."""

    classes: tuple[str, ...]
    patients: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Summary:
    """One number of one model for one class (or pseudo class); `value` is None exactly when `missing` says why."""

    metric: str
    analysis: str
    attribution: str | None
    model: str
    strategy: str
    class_name: str
    value: float | None
    missing: str | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """A strategy against the reference on one metric and class: strategy minus reference, with a 95 % interval.

    `difference` is None exactly when `missing` says why. `family` is the architecture both sides share, or
    "bce: resnet50 / focal: t_densenet" when they differ. `about` says what the interval speaks of: these "networks", or the
    "strategies" where both sides have several networks and the variance between them is in it.

    The fields after it are None where no verdict may be given, and `note` says why. `claim` is "primary" or "exploratory",
    `p_adjusted` the p-value adjusted within that family, `joint_low` and `joint_high` the ends of an interval that holds
    together with the others of the family in 95 % of studies. `margin` is the largest difference that audit.yaml calls
    negligible, `smallest_margin` the smallest for which these data could have shown equivalence.
    """

    metric: str
    analysis: str
    attribution: str | None
    class_name: str
    family: str
    strategy: str
    reference: str
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int
    n_patients: int
    missing: str | None = None
    note: str | None = None
    about: str = "networks"
    claim: str | None = None
    p: float | None = None
    p_adjusted: float | None = None
    joint_low: float | None = None
    joint_high: float | None = None
    margin: float | None = None
    smallest_margin: float | None = None
    verdict: str | None = None
