"""Which images an analysis tries something on: chosen by their lot, before anything is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analysis import Analysis
    from .dataset import Sample

Trials = Mapping[str, tuple[str, ...]]
"""{image id: what is tried on it}."""
NOT_CHOSEN = "not among the images chosen for it"


def lot(seed: int) -> Callable[[str], bytes]:
    """An image's place in a random order of all images, by its id; another seed, another order."""
    return lambda name: hashlib.sha256(f"{seed}|lot|{name}".encode()).digest()


def planned(analysis: Analysis, samples: Sequence[Sample], seed: int) -> Trials | None:
    """What the analysis tries on which image, None where it looks at all and tries nothing."""
    return analysis.trials(samples, lot(seed))


def passed_through(analysis: Analysis, trials: Trials | None) -> int:
    """How many changed images this puts through a network."""
    return analysis.per_trial * sum(map(len, trials.values())) if trials else 0
