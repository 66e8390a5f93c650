"""Pixel targets: masks read once into a file beside the pixels, how many pixels are positive, and which ones epochs are judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .. import pixel_answers
from ..errors import DatasetError, PluginError
from ..ledger import refused
from ..masks import UNKNOWN, on_grid, read_mask
from ..model import Preprocessing
from ..statistics.ranking import auroc
from ..strategy import ClassCounts
from .material import Side
from .ranks import Ranks

JUDGED = 64
"""Pixels per image, class and label value that epochs are judged by; all where there are fewer."""

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Outlines:
    """The masks of both sides in one geometry: uint8 [N, K, S, S] mapped into memory, 255 where nothing is known.

    Rows are those of the pixel files.
    """

    classes: tuple[str, ...]
    training: Labels
    validation: Labels

    @cached_property
    def counts(self) -> ClassCounts:
        """Pixels of the training masks inside and outside every class; these are what a loss is balanced by."""
        each = np.array([[(mask == value).sum((1, 2)) for value in (1, 0)] for mask in self.training])
        inside, outside = (tuple(row.tolist()) for row in each.sum(0))
        return ClassCounts(self.classes, inside, outside)


def outlines(
    folder: Path, sides: Sequence[tuple[Side, Preprocessing]], classes: tuple[str, ...], place: str, ranks: Ranks
) -> Outlines:
    """The masks of the training and the validation side, read now unless they lie in the folder already.

    DatasetError where no image of a side has a mask; an image without one has 255 everywhere.
    """
    found = []
    for side, lens in sides:
        path = folder / f"{side.name}-{side.key}-{lens.recipe}-masks.npy"
        if ranks.first and not path.exists():
            _write(path, side, lens, len(classes), place)
        ranks.wait()
        found.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return Outlines(classes, *found)


def _write(path: Path, side: Side, lens: Preprocessing, classes: int, place: str) -> None:
    draft = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (int(side.rows.max()) + 1, classes, lens.size, lens.size)
        masks = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
        masks[:] = UNKNOWN
        _fill(masks, side, lens, place)
        masks.flush()
        draft.replace(path)
    except OSError as error:
        raise refused(path, error) from error


def _fill(masks: Labels, side: Side, lens: Preprocessing, place: str) -> None:
    reasons: dict[str, int] = {}
    for row, sample in zip(side.rows.tolist(), side.samples, strict=True):
        try:
            mask = read_mask(side.dataset, sample, lens, masks.shape[1], frame=None)
        except PluginError as error:
            raise PluginError(f"{place}: {error}") from error
        if isinstance(mask, str):
            reasons[mask] = reasons.get(mask, 0) + 1
        else:
            masks[row] = mask
    if sum(reasons.values()) == len(side.samples):
        told = ", ".join(f"{why} ({count})" for why, count in reasons.items())
        raise DatasetError(
            f"{place}: none of the {len(side.samples)} {side.name} images has a mask to learn pixels from: {told}; allowed: a data"
            " set with `mask()`, or networks with output: image"
        )


def grid_of(network: nn.Module, lens: Preprocessing, device: str) -> tuple[int, int]:
    """(h, w) of the network's answers to an image; ModelRefused where they are none per pixel."""
    images = torch.zeros((1, lens.channels, lens.size, lens.size), device=device)
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            height, width = pixel_answers.checked(network(images), images).shape[2:]
    finally:
        for part, mode in modes:
            part.training = mode
    return height, width


def targets(masks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(labels float in 0..1, known bool), both [n, K, h, w], of masks uint8 [n, K, S, S] at the middle of every cell of a grid."""
    step = masks.shape[2] // grid[0], masks.shape[3] // grid[1]
    seen = masks[:, :, step[0] // 2 :: step[0], step[1] // 2 :: step[1]]
    return (seen == 1).float(), seen != UNKNOWN


class Judged:
    """The pixels of the validation images that every epoch of every network with this grid is judged by.

    Drawn once by a key of image and class, so that epochs differ by the network alone.
    """

    def __init__(self, side: Side, masks: Labels, grid: tuple[int, int]) -> None:
        self.places: list[list[npt.NDArray[np.int64]]] = []
        self._labels: list[list[npt.NDArray[np.bool_]]] = []
        for row, sample in zip(side.rows.tolist(), side.samples, strict=True):
            truth = on_grid(masks[row], *grid)
            drawn = [_drawn(mask.ravel(), f"{sample.id}|{number}") for number, mask in enumerate(truth)]
            self.places.append(drawn)
            self._labels.append([mask.ravel()[places] == 1 for mask, places in zip(truth, drawn, strict=True)])

    def auroc(self, number: int, answers: Sequence[npt.NDArray[np.float32]]) -> float | None:
        """AUROC of a class over its pixels, from `answers` at its places image by image; None where it is not estimable."""
        labels = np.concatenate([own[number] for own in self._labels])
        value = auroc(np.concatenate(answers).astype(np.float64), labels)
        return None if isinstance(value, str) else value


def _drawn(mask: Labels, key: str) -> npt.NDArray[np.int64]:
    draw = np.random.default_rng(int.from_bytes(hashlib.sha256(f"judged|{key}".encode()).digest()[:8]))
    sides = [np.flatnonzero(mask == value) for value in (1, 0)]
    return np.concatenate([side if len(side) <= JUDGED else draw.choice(side, JUDGED, replace=False) for side in sides])
