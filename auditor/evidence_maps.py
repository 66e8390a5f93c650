"""A raw map as evidence on the pixel grid of the network's input."""

from __future__ import annotations

import numpy as np

from .bilinear import matrix
from .placement import Array

SMALL = 1e-8


def unit_range(raw: Array) -> Array:
    """A map [h, w] from its least to its largest value, as 0..1; a constant map becomes 0."""
    return np.asarray((raw - raw.min()) / (raw.max() - raw.min() + SMALL))


def upsample(scaled: Array, height: int, width: int) -> Array:
    """A map [h, w] on a grid of height x width, bilinear with half-pixel centres."""
    import torch

    # In torch: NumPy's own threads would wait for work on the cores that the network runs on.
    down, across = (torch.tensor(matrix(*sides)) for sides in zip(scaled.shape, (height, width), strict=True))
    pixels: Array = (down @ torch.from_numpy(scaled) @ across.T).numpy()
    return pixels
