"""What a simulation starts from: a labelled set and a pool with the imbalance that was asked for, and a balanced query set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DatasetError

Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int8]


class Start(NamedTuple):
    """Rows of the training side that are labelled and that can be chosen, and rows of the validation side."""

    labelled: Rows
    pool: Rows
    query: Rows


class Groups(NamedTuple):
    """The names of the groups from common to rare, and for every image which one it belongs to, -1 where a label is not known."""

    names: tuple[str, ...]
    of: Rows


def binary(labels: Labels, rare: Sequence[int]) -> Groups:
    """Images without the rare classes, and images with any of them."""
    chosen = labels[:, list(rare)]
    of = np.where((chosen == 1).any(1), 1, np.where((chosen == 0).all(1), 0, -1))
    return Groups(("without", "with"), of.astype(np.int64))


def long_tail(labels: Labels, classes: Sequence[str], order: Sequence[int]) -> Groups:
    """Images by their rarest finding, `order` being the classes from common to rare; those without a finding come first."""
    of = np.where((labels == 0).all(1), 0, -1)
    for place, column in enumerate(order, 1):
        of = np.where(labels[:, column] == 1, place, of)
    return Groups(("no finding", *(classes[column] for column in order)), of.astype(np.int64))


def sizes(most: int, groups: int, ratio: float) -> list[int]:
    """Images of each group, from `most` down to `most / ratio` in equal proportions, at least 1.

    >>> sizes(100, 2, 20), sizes(1000, 4, 8)
    ([100, 5], [1000, 500, 250, 125])
    """
    return [max(1, round(most * ratio ** (-place / max(groups - 1, 1)))) for place in range(groups)]


def draw(training: Groups, validation: Groups, labelled: Sequence[int], pool: Sequence[int], query: int, seed: int) -> Start:
    """So many images of every group, at random; raises DatasetError where a group has too few."""
    first, second = [], []
    for place, name in enumerate(training.names):
        rows, wanted = np.flatnonzero(training.of == place), labelled[place] + pool[place]
        if len(rows) < wanted:
            raise DatasetError(
                f"found {len(rows)} images of the group {name!r}; needed: {wanted}, labelled and in the pool together"
            )
        order = _stream(seed, "labelled and pool", name).permutation(rows)
        first.append(order[: labelled[place]])
        second.append(order[labelled[place] : wanted])
    asked = [
        _stream(seed, "query", name).permutation(np.flatnonzero(validation.of == place))[:query]
        for place, name in enumerate(validation.names)
    ]
    return Start(*(np.sort(np.concatenate(parts)) for parts in (first, second, asked)))


def _stream(seed: int, purpose: str, group: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}|{purpose}|{group}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
