"""Turning, shifting and cropping pictures, and moving maps of the changed pictures back to where things were.

A warp is a matrix [n, 2, 3] per picture, float64: the place (x, y) of the changed picture shows the place A (x, y) + t of the
original. Places are -1..1 from the left and upper edge to the right and lower edge, whatever the resolution.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from .intensity import Draws


def turned(draws: Draws, height: int, width: int, degrees: float) -> Tensor:
    """About the centre, to the left or to the right by draw."""
    angles = [math.radians(degrees) * _side(draw) for draw in draws]
    ratio = height / width
    rows = [
        [[math.cos(a), -math.sin(a) * ratio, 0.0], [math.sin(a) / ratio, math.cos(a), 0.0]] for a in angles
    ]  # a turn of pixels, not of fractions
    return torch.tensor(rows, dtype=torch.float64)


def shifted(draws: Draws, height: int, width: int, share: float) -> Tensor:
    """By this share of both sides, rounded to whole pixels, each way by draw."""
    steps = [(2 * round(share * side) / side) for side in (width, height)]
    rows = [[[1.0, 0.0, steps[0] * _side(draw)], [0.0, 1.0, steps[1] * _side(draw)]] for draw in draws]
    return torch.tensor(rows, dtype=torch.float64)


def cropped(draws: Draws, height: int, width: int, share: float) -> Tensor:
    """This share cut off every side and what is left scaled up to the whole."""
    kept = 1 - 2 * share
    return torch.tensor([[[kept, 0.0, 0.0], [0.0, kept, 0.0]]] * len(draws), dtype=torch.float64)


def warped(pictures: Tensor, warp: Tensor) -> Tensor:
    """Pictures [n, C, H, W] as the warp shows them, bilinear; what lies outside continues the edge."""
    grid = affine_grid(warp, list(pictures.shape), align_corners=False).to(pictures)
    return grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False).clamp(0.0, 1.0)


def moved_back(maps: Tensor, warp: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [P, h, w] of changed pictures on the places of the original, float64, and where the changed picture shows these [P, h, w].

    `warp` is that of each map's picture [P, 2, 3].
    """
    turn = torch.linalg.inv(warp[:, :, :2])
    back = torch.cat([turn, -turn @ warp[:, :, 2:]], 2)
    grid = affine_grid(back, [len(maps), 1, *maps.shape[1:]], align_corners=False)
    found = grid_sample(maps.double().cpu()[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
    return found, (grid.abs() <= 1 + 1e-9).all(3)


def _side(draw: np.random.Generator) -> int:
    return 1 if draw.random() < 0.5 else -1
