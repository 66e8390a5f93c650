"""Pictures in other versions: put in the place of the audited ones, they go through the network in full batches of the same size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from .errors import PluginError

if TYPE_CHECKING:
    from .batch import Batch

Found = TypeVar("Found")


@dataclass(frozen=True)
class Film:
    """The `pictures` [n, C, H, W] of a batch in 0..1, float32 on the CPU, before the network's normalisation.

    `fed` makes up to `most` pictures what the network is fed, always `most` images of it: results depend on how many there are.
    """

    pictures: Tensor
    fed: Callable[[Tensor], Tensor]
    most: int


def versioned(
    batch: Batch, rows: Sequence[int], versions: Iterable[Tensor], look: Callable[[Batch, Sequence[int]], Sequence[Found]]
) -> Iterator[list[Found]]:
    """For each version [n, C, H, W] of the pictures in these n rows what `look` finds of each picture.

    `look` is handed a batch of some pictures, of whatever versions, and the place of each among the rows; it gives one thing per picture.
    """
    if batch.film is None:
        raise PluginError("asks for changed pictures of a batch that has no pictures")
    most, shape = batch.film.most, batch.film.pictures[list(rows)].shape
    waiting, places = batch.film.pictures[:0], list[int]()
    found: list[Found] = []

    def send(count: int) -> None:
        nonlocal waiting, places
        sent = batch.of_pictures([rows[place] for place in places[:count]], waiting[:count])
        found.extend(look(sent, places[:count]))
        waiting, places = waiting[count:], places[count:]

    for version in versions:
        waiting, places = torch.cat([waiting, _checked(version, shape)]), places + list(range(len(rows)))
        while len(places) >= most:
            send(most)
        while len(found) >= len(rows):
            yield found[: len(rows)]
            del found[: len(rows)]
    if places:
        send(len(places))
    for start in range(0, len(found), len(rows)):
        yield found[start : start + len(rows)]


def _checked(version: Tensor, shape: torch.Size) -> Tensor:
    if version.shape != shape:
        raise PluginError(f"gave a version of the pictures of shape {list(version.shape)}, not {list(shape)}")
    low, high = float(version.min()), float(version.max())
    if not (low >= 0 and high <= 1):
        raise PluginError(f"gave a version of the pictures from {low:g} to {high:g}, not in 0..1")
    return version
