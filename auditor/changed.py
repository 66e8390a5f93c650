"""Changed pictures: put in the place of the audited ones, they go through the network in full batches of the same size."""

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
Changed = tuple[int, Tensor]
"""An image of a view, by its row, and a picture [C, H, W] in 0..1 that is to stand in its place."""


@dataclass(frozen=True)
class Film:
    """The `pictures` [n, C, H, W] of a batch in 0..1, float32 on the CPU, before the network's normalisation.

    `fed` makes up to `most` pictures what the network is fed, always `most` images of it: results depend on how many there are.
    """

    pictures: Tensor
    fed: Callable[[Tensor], Tensor]
    most: int


def looked_at(
    batch: Batch, rows: Sequence[int], changed: Iterable[Changed], look: Callable[[Batch, Sequence[int]], Sequence[Found]]
) -> Iterator[Found]:
    """What `look` finds of each changed picture of the images in these rows of the batch, in order; no more than a batch is held.

    `look` is handed a batch of some of the pictures and the image of each, a place among the rows; it gives one thing per picture.
    """
    if batch.film is None:
        raise PluginError("asks for changed pictures of a batch that has no pictures")
    most, shape = batch.film.most, batch.film.pictures.shape[1:]
    images, waiting = list[int](), list[Tensor]()
    for image, picture in changed:
        if not 0 <= image < len(rows):
            raise PluginError(f"gave a changed picture of image {image}; the view has {len(rows)}, counted from 0")
        images.append(image)
        waiting.append(_checked(picture, shape))
        if len(waiting) == most:
            yield from look(batch.of_pictures([rows[image] for image in images], torch.stack(waiting)), images)
            images, waiting = [], []
    if waiting:
        yield from look(batch.of_pictures([rows[image] for image in images], torch.stack(waiting)), images)


def _checked(picture: Tensor, shape: torch.Size) -> Tensor:
    if picture.shape != shape:
        raise PluginError(f"gave a changed picture of shape {list(picture.shape)}, not {list(shape)}")
    low, high = float(picture.min()), float(picture.max())
    if not (low >= 0 and high <= 1):
        raise PluginError(f"gave a changed picture from {low:g} to {high:g}, not in 0..1")
    return picture
