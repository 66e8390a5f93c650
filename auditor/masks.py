"""Masks in: which pixels belong to each finding, cut and scaled exactly as the image is, and kept by chunk in the run folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .boxes import Frame
from .dataset import Dataset, Sample
from .errors import PluginError, Unreadable
from .imaging import cut
from .ledger import publish
from .model import Preprocessing

Mask = npt.NDArray[np.uint8]

UNKNOWN = 255
"""The value of a pixel of which it is not known whether it belongs to the finding."""
NO_MASK = "no mask"


def prepare_mask(mask: Mask, preprocessing: Preprocessing) -> tuple[Mask, Frame]:
    """A mask [K, H, W] as uint8 [K, S, S], and the part of the image kept: the nearest pixel to each centre, nothing mixed."""
    height, width, part, frame = cut(mask.shape[1], mask.shape[2], preprocessing)
    rows = np.floor((np.arange(height) + 0.5) * mask.shape[1] / height).astype(np.int64)
    columns = np.floor((np.arange(width) + 0.5) * mask.shape[2] / width).astype(np.int64)
    return np.ascontiguousarray(mask[:, rows[part[0]]][:, :, columns[part[1]]]), frame


def read_mask(dataset: Dataset, sample: Sample, preprocessing: Preprocessing, classes: int, frame: Frame | None) -> Mask | str:
    """The prepared mask of a sample, or why there is none; PluginError where the data set breaks its promise.

    `frame` is the part of the image that was kept, where that is known: the mask's must be the same.
    """
    try:
        mask = dataset.mask(sample)
    except Unreadable as problem:
        return f"mask cannot be read: {problem.reason}"
    if mask is None:
        return NO_MASK
    whole = isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 3 and len(mask) == classes and mask.size
    if not whole:
        found = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise PluginError(f"the data set {dataset.name} gave a mask {found}; allowed: uint8 [{classes}, H, W]")
    if strange := sorted(set(np.unique(mask).tolist()) - {0, 1, UNKNOWN}):
        raise PluginError(f"the data set {dataset.name} gave a mask with the value {strange[0]}; allowed: 0, 1 and {UNKNOWN}")
    prepared, seen = prepare_mask(mask, preprocessing)
    if frame is not None and not np.allclose(seen, frame):
        raise PluginError(
            f"the data set {dataset.name} gave a mask of {mask.shape[1]} x {mask.shape[2]}, another shape than its image"
        )
    return prepared


def on_grid(mask: Mask, height: int, width: int) -> Mask:
    """A mask [..., S, S] at the middle pixel of every cell of a coarser grid [..., height, width]."""
    step = mask.shape[-2] // height, mask.shape[-1] // width
    return mask[..., step[0] // 2 :: step[0], step[1] // 2 :: step[1]]


class Masks:
    """The masks of the samples of a chunk that can be read, asked of the data set when the first one is asked for."""

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        rows: npt.NDArray[np.int64],
        frames: Sequence[Frame],
    ) -> None:
        self._path, self._dataset, self._samples, self._preprocessing = path, dataset, samples, preprocessing
        self._frames = dict(zip(rows.tolist(), frames, strict=True))

    def of(self, number: int) -> Mask | str:
        """The mask uint8 [K, S, S] of the sample with this number in the plan, or why there is none."""
        return self._kept[number]

    @cached_property
    def _kept(self) -> dict[int, Mask | str]:
        if not self._path.exists():
            publish(self._path, self._packed())
        with np.load(self._path, allow_pickle=False) as kept:
            lacking = json.loads(str(kept["lacking"]))
            found: dict[int, Mask | str] = dict(zip(kept["rows"].tolist(), kept["masks"], strict=True))
        return found | {int(number): why for number, why in lacking.items()}

    def _packed(self) -> bytes:
        classes, found, lacking = len(self._dataset.classes()), {}, {}
        for number, frame in self._frames.items():
            mask = read_mask(self._dataset, self._samples[number], self._preprocessing, classes, frame)
            if isinstance(mask, str):
                lacking[number] = mask
            else:
                found[number] = mask
        size, out = self._preprocessing.size, io.BytesIO()
        masks = np.stack(list(found.values())) if found else np.zeros((0, classes, size, size), np.uint8)
        np.savez_compressed(out, rows=np.array(list(found), np.int64), masks=masks, lacking=np.array(json.dumps(lacking)))
        return out.getvalue()
