"""Rows of the evidence that are more than one number: what a class is told by, how two networks share it, how margins spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Profile:
    """The features that carry one class in one network, and how its images lie among the others.

    `features` are the numbers of the features with the most evidence for the class, strongest first, found on `chosen_on` images
    (training, or audited where there are none); `magnitude_*` their mean evidence over the images with the finding, `retained` the
    ratio of the two with its 95 % interval, `frequency` how often each was needed where the finding was recognised. `activations` are the features that are largest themselves, with their shares
    of these features' sum; `density` says how often each of `density_of`'s activations is among an image's largest, relative to
    that class. Effective ranks are of equally many images: with the finding, and of any. `adversaries` are the other classes'
    shares of the labels of the neighbours of missed images. None where it cannot be had.
    """

    analysis: str
    model: str
    strategy: str
    class_name: str
    chosen_on: str
    n_audited: int
    n_training: int | None
    features: tuple[int, ...]
    magnitude_audited: tuple[float, ...] | None
    magnitude_training: tuple[float, ...] | None
    retained: tuple[tuple[float, float, float] | None, ...] | None
    frequency: tuple[float, ...] | None
    frequent: int | None
    ever: int | None
    share_of_all: float | None
    share_of_positive: float | None
    activations: tuple[int, ...]
    activation_shares: tuple[float, ...]
    density_of: str
    density: tuple[float | None, ...]
    density_counts: tuple[tuple[int, int], ...]
    rank_audited: float | None
    rank_of_any: float | None
    rank_training: float | None
    rank_n: int
    adversaries: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Overlap:
    """How many of a class's strongest features two networks share, and how far the weights of the class lie apart.

    `chance` is what two unrelated lists would share. Features of networks that started from different weights have no common
    numbering, so that only chance is to be expected there.
    """

    analysis: str
    model: str
    strategy: str
    base: str
    class_name: str
    shared: float
    chance: float
    weight_change: float | None
    k: int


@dataclass(frozen=True)
class Histogram:
    """Margins of one class and label value on audited and on training images, counted in shared bins from `low` to `high`."""

    analysis: str
    metric: str
    model: str
    strategy: str
    class_name: str
    low: float
    high: float
    audited: tuple[int, ...]
    training: tuple[int, ...]


def frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON gives it back, with tuples for its lists."""
    return {name: _tuples(value) for name, value in row.items()}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
