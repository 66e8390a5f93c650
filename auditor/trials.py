"""Which images an analysis tries something on: the first by lot, known before anything is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analysis import Analysis
    from .dataset import Sample

Trials = Mapping[str, tuple[str, ...]]
"""{image id: what is tried on it}."""
NOT_CHOSEN = "not among the images chosen for it"


def by_lot(samples: Iterable[Sample], seed: int) -> list[Sample]:
    """The samples without a known problem in a random order that goes by their ids; another seed, another order."""

    def lot(sample: Sample) -> bytes:
        return hashlib.sha256(f"{seed}|lot|{sample.id}".encode()).digest()

    return sorted((sample for sample in samples if not sample.problem), key=lot)


def passed_through(analysis: Analysis, trials: Trials | None) -> int:
    """How many changed images this puts through a network."""
    return analysis.per_trial * sum(map(len, trials.values())) if trials else 0
