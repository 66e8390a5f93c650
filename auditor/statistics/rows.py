"""The rows that statistics hands on; absence always has a reason and is never a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

MACRO = "(macro)"
IMAGE = "(image)"
MODEL = "(model)"
"""Pseudo classes: mean over the defined classes; one value per image for all its findings; one value per model."""
BASELINE = "(blind)"
"""The strategy of numbers that belong to no network under audit: of a map that never saw the image, of an untrained network."""
GROUPS = {"(head)": (0.05, math.inf), "(medium)": (0.01, 0.05), "(tail)": (0.0, 0.01)}
"""Pseudo classes: mean over the classes whose share of the training images is at least the first and below the second."""


@dataclass(frozen=True)
class Values:
    """One metric of one model: a value per case. `sample` indexes the plan's samples, `target` its classes (-1 = the image
    as a whole), `value` is NaN where the metric was undefined for the case."""

    sample: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cohort:
    """What every comparison shares: per sample its patient (any integer code) and its labels [S, K] (1, 0, -1 unknown).

    `groups` are the pseudo classes of common and rare classes with the numbers of their classes; `boxed` are, per class, the
    samples whose boxes every map was held against, -1 where the image cannot be used. `rarity` is the share of training images that
    show a class, by number, where it is known; `training_patients` are the patients of the training images, in the same code.
    """

    classes: tuple[str, ...]
    patients: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int8]
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()
    boxed: tuple[tuple[int, ...], ...] = ()
    rarity: Mapping[int, float] = field(default_factory=dict)
    training_patients: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def everyone(self) -> npt.NDArray[np.int64]:
        """The codes of all patients, in order."""
        return np.union1d(self.patients, self.training_patients)


def frequency_groups(
    classes: tuple[str, ...], train: tuple[int, Mapping[str, int]] | None
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Head, medium and tail by the share of training images with the class; none where the training counts are not known.

    A class that the training counts do not name belongs to no group.
    """
    if train is None or not train[0]:
        return ()
    shares = rarity(classes, train)
    return tuple(
        (group, tuple(number for number, share in shares.items() if low <= share < high))
        for group, (low, high) in GROUPS.items()
    )


def rarity(classes: tuple[str, ...], train: tuple[int, Mapping[str, int]] | None) -> dict[int, float]:
    """The share of training images that show each class, by number, as far as the training counts name it."""
    if train is None or not train[0]:
        return {}
    images, positives = train
    return {number: positives[name] / images for number, name in enumerate(classes) if name in positives}


@dataclass(frozen=True)
class Summary:
    """One number of one model for one class (or pseudo class); `value` is None exactly when `missing` says why.

    `low` and `high` are its 95 % interval over `n_patients` patients, None where none is made; `note` says what weakens it.
    """

    metric: str
    analysis: str
    attribution: str | None
    model: str
    strategy: str
    class_name: str
    value: float | None
    missing: str | None
    n: int
    low: float | None = None
    high: float | None = None
    n_patients: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Curve:
    """Predicted against observed frequency of one model, all classes pooled, in bins of equally many cases.

    `after` is the recalibration, "" for none; `fitted_on` and `measured_on` are numbers of patients, and no patient is in both.
    """

    analysis: str
    model: str
    strategy: str
    after: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    n: tuple[int, ...]
    fitted_on: int
    measured_on: int


@dataclass(frozen=True)
class UnitDetector:
    """A unit (channel of the audited layer, from 0) of one model that detects a class: its IoU with the boxes over the data set,
    and its p-value adjusted for all units and classes of the model."""

    analysis: str
    model: str
    strategy: str
    unit: int
    class_name: str
    iou: float
    p: float


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


@dataclass(frozen=True)
class Repeat:
    """A contrast repeated: `metric` and the sides are those of the main one, `assuming` says what is otherwise.

    `difference` is None exactly when `missing` says why.
    """

    metric: str
    analysis: str
    attribution: str | None
    class_name: str
    family: str
    strategy: str
    reference: str
    assuming: str
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int
    n_patients: int
    missing: str | None = None
    note: str | None = None
