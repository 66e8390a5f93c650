"""The embeddings of one split as one network sees it, handed to an analysis when the last image has been seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .conclusion import Number


class Membership(NamedTuple):
    """The groups of one attribute, and which of them each image belongs to [n]: -1 where that is not known."""

    names: tuple[str, ...]
    code: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Embedded:
    """n images: embeddings [n, d] float32, labels [n, K] (1, 0, -1 unknown), a code for each patient [n].

    `lot` [n] is a fixed random order of the images, by a hash of their ids: whoever needs only some takes the lowest. `groups` are those of
    the attributes that the analysis is `grouped_by`.
    """

    vectors: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int8]
    patients: npt.NDArray[np.int64]
    lot: npt.NDArray[np.int64]
    groups: Mapping[str, Membership] = field(default_factory=dict)

    def some(self, among: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
        """At most `count` of these images, drawn by their lot, in their own order."""
        return np.sort(among[np.argsort(self.lot[among], kind="stable")[:count]])


@dataclass(frozen=True)
class Decision:
    """What makes outputs of embeddings: weights [K, d] and biases [K], and whether the outputs compete (softmax)."""

    classes: tuple[str, ...]
    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    softmax: bool = False


@dataclass(frozen=True)
class Concluded:
    """What an analysis concludes: {metric: values [n, K], NaN where undefined} for both splits, a profile per class, and numbers
    of the network as a whole."""

    audited: Mapping[str, npt.NDArray[np.float64]]
    training: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    profiles: Sequence[Mapping[str, Any]] = ()
    numbers: Sequence[Number] = ()
