"""Answers of a network for every pixel: their shape, held to that of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from .errors import ModelRefused

WHOLE = "leave out `output: pixels` for a network that answers for whole images"


def checked(raw: object, images: Tensor) -> Tensor:
    """The logits [N, K, h, w] of images [N, C, H, W]; ModelRefused unless H / h = W / w is a whole number."""
    count, _, height, width = images.shape
    if not isinstance(raw, Tensor) or raw.ndim != 4 or len(raw) != count:
        shape = list(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
        raise ModelRefused(
            f"the network gives {shape} for {count} images, not logits [{count}, K, h, w], one per pixel; {WHOLE}"
        )
    high, wide = raw.shape[2:]
    if not high or not wide or height % high or width % wide or height // high != width // wide:
        raise ModelRefused(
            f"the network gives logits on a grid of {high} x {wide} for images of {height} x {width}; allowed: every pixel, or"
            f" every s-th in both directions, as {height // 2} x {width // 2} is with s = 2"
        )
    return raw


def beyond(raw: Tensor, outputs: list[int], softmax: bool) -> Tensor:
    """How far each answer lies beyond even odds [N, K, h, w], from all outputs [N, all, h, w].

    Log-odds where every class is a question of its own; with softmax the output less the largest other one, audited or not.
    """
    if not softmax:
        return raw[:, outputs]
    best = raw.topk(min(2, raw.shape[1]), dim=1)
    first, second = best.values[:, :1], best.values[:, -1:]
    leads = torch.arange(raw.shape[1], device=raw.device)[:, None, None] == best.indices[:, :1]
    return (raw - torch.where(leads, second, first))[:, outputs]
