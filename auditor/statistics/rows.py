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

    `difference` is None exactly when `missing` says why. `verdict` stays None until equivalence margins are declared.
    `family` is the architecture both sides share, or "bce: resnet50 / focal: t_densenet" when they differ.
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
    verdict: str | None = None
