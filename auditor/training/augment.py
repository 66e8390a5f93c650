"""Random variations of the training images, for a whole batch at once on the device.

Every number that decides a variation is drawn beforehand from a stream keyed by seed and epoch, a row per place in the epoch:
the variation of an image does not depend on the batch, the device, the number of processes, or where a training was resumed.
All that is geometric is one affine map per image and one bilinear sampling; what lies outside the image is black, as air is.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import affine_grid, grid_sample

from ..errors import ConfigError, PluginError
from .recipe import Augmentation

if TYPE_CHECKING:
    from torch import Tensor

    from ..model import Preprocessing

LOTS = 32
"""Uniform random numbers per image: 0-15 for geometry and grey values, 16-31 for where holes are."""

MARGIN = 8 / 7
"""Crops of size S are taken from images of size S * MARGIN (256 for 224)."""

HOLES, HOLE = 8, 8 / 224


def canvas(lens: Preprocessing, kind: Augmentation) -> Preprocessing:
    """The geometry that training images are kept in: larger than the network's where crops are taken."""
    if kind in ("none", "flip"):
        return lens
    return replace(lens, size=round(lens.size * MARGIN), resize=None if lens.resize is None else round(lens.resize * MARGIN))


def vary(images: Tensor, lots: Tensor, chosen: Tensor, kind: Augmentation, size: int) -> Tensor:
    """Images [n, C, S, S] in 0..1 and random numbers [n, LOTS] in 0..1 -> [n, C, size, size] in 0..1.

    Only `chosen` [n] bool are varied; the others are shown whole. `paper` is crop, flip and jitter of brightness and contrast
    (arXiv 2204.01729, section 4; how strong is our choice: +-10 %); `imba_explain` is what its public code does, with the
    defaults of albumentations where the code says nothing.
    """
    if kind == "none":
        return images
    if kind == "flip":
        flipped = chosen & (lots[:, 0] < 0.5)
        return torch.where(flipped[:, None, None, None], images.flip(3), images)
    grid = affine_grid(_maps(lots, chosen, kind), [len(images), images.shape[1], size, size], align_corners=False)
    seen = grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    jittered = chosen if kind == "paper" else chosen & (lots[:, 9] < 0.5)
    seen = _jitter(seen, torch.where(jittered[:, None], lots[:, 10:12] * 2 - 1, 0.0) * 0.1)
    return seen if kind == "paper" else _with_holes(seen, lots, chosen & (lots[:, 12] < 0.5))


def vary_masks(masks: Tensor, lots: Tensor, chosen: Tensor, kind: Augmentation, size: int) -> Tensor:
    """Masks uint8 [n, K, S, S] moved as `vary` moves their images -> [n, K, size, size]: the nearest pixel, 0 outside the image."""
    if kind == "none":
        return masks
    if kind == "flip":
        flipped = chosen & (lots[:, 0] < 0.5)
        return torch.where(flipped[:, None, None, None], masks.flip(3), masks)
    grid = affine_grid(_maps(lots, chosen, kind), [len(masks), masks.shape[1], size, size], align_corners=False)
    return grid_sample(masks.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False).to(masks.dtype)


def _maps(lots: Tensor, chosen: Tensor, kind: Augmentation) -> Tensor:
    maps = _paper_maps(lots) if kind == "paper" else _imba_explain_maps(lots)
    whole = torch.eye(2, 3, device=lots.device, dtype=lots.dtype).expand_as(maps)
    return torch.where(chosen[:, None, None], maps, whole)


def _paper_maps(lots: Tensor) -> Tensor:
    """Affine maps [n, 2, 3] from the network's image to the canvas: a crop of the network's size, flipped half of the time."""
    scale = torch.full_like(lots[:, 0], 1 / MARGIN)
    flip = torch.where(lots[:, 0] < 0.5, -1.0, 1.0)
    across, down = ((lots[:, place] * 2 - 1) * (1 - scale) for place in (1, 2))
    return _affine(scale * flip, torch.zeros_like(scale), torch.zeros_like(scale), scale, across, down)


def _imba_explain_maps(lots: Tensor) -> Tensor:
    """Random resized crop, transposition and flip half of the time each, then shift, scale and rotation half of the time."""
    area = 0.08 + 0.92 * lots[:, 1]
    ratio = torch.exp((lots[:, 2] * 2 - 1) * math.log(4 / 3))
    wide, high = ((area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1))
    across, down = (lots[:, 3] * 2 - 1) * (1 - wide), (lots[:, 4] * 2 - 1) * (1 - high)
    none = torch.zeros_like(wide)
    crop = _affine(wide, none, none, high, across, down)
    turned = lots[:, 5] < 0.5
    flip = torch.where(lots[:, 0] < 0.5, -1.0, 1.0)
    kept = torch.where(turned, 0.0, 1.0)
    turn = _affine(kept * flip, 1 - kept, (1 - kept) * flip, kept, none, none)
    moved = torch.where(lots[:, 6] < 0.5, 1.0, 0.0)
    angle = moved * (lots[:, 7] * 2 - 1) * math.pi / 4
    size = 1 / (1 + moved * (lots[:, 8] * 2 - 1) * 0.1)
    shifts = [moved * (lots[:, place] * 2 - 1) * 2 * 0.0625 for place in (13, 14)]
    move = _affine(size * angle.cos(), -size * angle.sin(), size * angle.sin(), size * angle.cos(), *shifts)
    return _after(_after(crop, turn), move)


def _affine(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.stack([xx, xy, x], 1), torch.stack([yx, yy, y], 1)], 1)


def _after(second: Tensor, first: Tensor) -> Tensor:
    """The map that does `first` and then `second`, each [n, 2, 3]."""
    turned = second[:, :, :2] @ first[:, :, :2]
    moved = second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]
    return torch.cat([turned, moved], 2)


def _jitter(images: Tensor, strength: Tensor) -> Tensor:
    """Brightness plus strength[:, 0], contrast times 1 + strength[:, 1], within 0..1."""
    brightness, contrast = (strength[:, place, None, None, None] for place in (0, 1))
    middle = images.mean((1, 2, 3), keepdim=True)
    return ((images - middle) * (1 + contrast) + middle + brightness).clamp(0, 1)


def _with_holes(images: Tensor, lots: Tensor, chosen: Tensor) -> Tensor:
    """Up to HOLES black squares, each HOLE of the image wide, in the chosen images."""
    size = images.shape[-1]
    places = (torch.arange(size, device=images.device) + 0.5) / size
    corners = lots[:, 16:32].reshape(-1, HOLES, 2) * (1 - HOLE)
    inside = (places >= corners[..., None]) & (places < corners[..., None] + HOLE)  # [n, HOLES, 2, size]
    holes = (inside[:, :, 1, :, None] & inside[:, :, 0, None, :]).any(1)
    return torch.where((chosen[:, None, None] & holes)[:, None], 0.0, images)


def as_fed(unit: Tensor, lens: Preprocessing) -> Tensor:
    """Images [n, C, S, S] in 0..1 as the network's input [n, channels, S, S], to the bit as the audit feeds it."""
    if unit.shape[1] not in (1, lens.channels):
        raise PluginError("images with colours cannot be fed to a network with one channel; read them with colour: false")
    for name, given in (("mean", lens.mean), ("std", lens.std)):
        if len(given) not in (1, lens.channels):
            raise ConfigError(f"preprocessing.{name} has {len(given)} values for {lens.channels} channels")
    mean, std = (unit.new_tensor(values)[:, None, None] for values in (lens.mean, lens.std))
    return ((unit - mean) / std).expand(-1, lens.channels, -1, -1)
