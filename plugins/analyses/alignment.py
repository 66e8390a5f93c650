"""Does the map fall on the annotated finding?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditor import Analysis, ConfigError, Metric, hookimpl

if TYPE_CHECKING:
    from auditor import View

PAPER = "Analyzing the Effects of Handling Data Imbalance on Learned Features from Medical Images, arXiv 2204.01729"
POINTING = "Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016"
SMALL = 1e-8
TIE = 1e-9
"""Pixels within this share of the largest are tied with it: upsampling rounds equal values apart."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment(Analysis):
    """Overlap of a map with the boxes of its image and class (docs/methods.md A.4, A.5).

    A map is clipped at 0, scaled to 0..1 at its own resolution and upsampled bilinearly to the grid of the network's
    input; the region is the union of the boxes, rounded outward to whole pixels. With `hard` the scaled map is replaced by
    1 where it is at least that high and 0 elsewhere. A map with a NaN or an infinity has no value.
    """

    name = "alignment"
    needs = frozenset({"attribution", "box"})
    metrics = (
        Metric(
            "iobb", "How much of the box the map fills: its mean over the box. A map bright everywhere scores high for free.",
            "neither", 0, 1, chance="the map's mean over the whole image", reference=PAPER,
        ),
        Metric(
            "ior", "How much of the map lies in the box: its sum in the box over its sum. A single bright pixel can score 1.",
            "neither", 0, 1, chance="the box's share of the image", reference=PAPER,
        ),
        Metric(
            "iou", "Overlap of map and box over what either covers.",
            "higher", 0, 1, chance="the same map with boxes of other images", reference="imba-explain, not in its paper",
        ),
        Metric(
            "pointing_game", "Whether the map's peak lies in the box; tied peaks count by their share in it.",
            "higher", 0, 1, chance="the box's share of the image", reference=POINTING,
        ),
        Metric(
            "empty_map", "Maps that point nowhere: no evidence for the class anywhere, or the same everywhere.",
            "lower", 0, 1, chance="none", reference="arXiv 2204.01729 section 3.2; docs/methods.md A.4",
        ),
    )  # fmt: skip

    hard: float | None = None

    def __post_init__(self) -> None:
        if self.hard is not None and not 0 < self.hard <= 1:
            raise ConfigError(f"alignment: hard: {self.hard} is not above 0 and at most 1")

    def measure(self, batch: View) -> Mapping[str, Any]:
        raw = batch.maps.double().cpu().numpy()
        masks = batch.masks()
        clipped = np.maximum(raw, 0)
        with np.errstate(invalid="ignore"):
            scaled = unit_range(clipped)
            sums = hard_sums(scaled, masks, self.hard) if self.hard is not None else soft_sums(scaled, masks)
            values = {**overlaps(*sums), "pointing_game": pointing(scaled, masks)}
        values["empty_map"] = (clipped.max((1, 2)) == clipped.min((1, 2))).astype(np.float64)
        broken = ~np.isfinite(raw).all((1, 2))
        return {name: np.where(broken, np.nan, value) for name, value in values.items()}


def unit_range(maps: Array) -> Array:
    """Each map [P, h, w] from its least to its largest value, as 0..1; a constant map becomes 0."""
    least, most = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return np.asarray((maps - least) / (most - least + SMALL))


def soft_sums(maps: Array, masks: npt.NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """(sum inside, sum, pixels of the region) of upsampled maps, without upsampling: the region is projected to the map.

    Upsampling is linear, U(m) = Uy m Ux', so sum(B * U(m)) = sum((Uy' B Ux) * m).
    """
    from auditor.bilinear import matrix

    down, across = matrix(maps.shape[1], masks.shape[1]), matrix(maps.shape[2], masks.shape[2])
    inside = (_product(down.T, masks.astype(np.float64), across) * maps).sum((1, 2))
    total = (np.outer(down.sum(0), across.sum(0)) * maps).sum((1, 2))
    return inside, total, masks.sum((1, 2)).astype(np.float64)


def hard_sums(maps: Array, masks: npt.NDArray[np.bool_], least: float) -> tuple[Array, Array, Array]:
    """The same three sums of the pixels that are at least this high."""
    hot = upsample(maps, *masks.shape[1:]) >= least
    inside, total, region = (each.sum((1, 2)).astype(np.float64) for each in (hot & masks, hot, masks))
    return inside, total, region


def overlaps(inside: Array, total: Array, region: Array) -> dict[str, Array]:
    """IoBB, IoR and IoU from the three sums (docs/methods.md A.5)."""
    return {
        "iobb": inside / (region + SMALL),
        "ior": inside / (total + SMALL),
        "iou": inside / (region + total - inside + SMALL),
    }


def pointing(maps: Array, masks: npt.NDArray[np.bool_]) -> Array:
    """Share of the upsampled map's peak pixels that lie in the region; of a flat map every pixel is a peak."""
    pixels = upsample(maps, *masks.shape[1:])
    peaks = ~(pixels < pixels.max((1, 2), keepdims=True) * (1 - TIE))
    return np.asarray((peaks & masks).sum((1, 2)) / peaks.sum((1, 2)))


def upsample(maps: Array, height: int, width: int) -> Array:
    """Maps [P, h, w] on a grid of height x width, bilinear with half-pixel centres."""
    from auditor.bilinear import matrix

    return _product(matrix(maps.shape[1], height), maps, matrix(maps.shape[2], width).T)


def _product(
    left: npt.NDArray[np.float64], stack: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """left @ stack @ right, in torch: NumPy's own threads would wait for work on the cores that the network runs on."""
    import torch

    parts = [torch.from_numpy(np.array(part, order="C")) for part in (left, stack, right)]
    found: npt.NDArray[np.float64] = (parts[0] @ parts[1] @ parts[2]).numpy()
    return found


@hookimpl
def register_analyses() -> list[type]:
    return [Alignment]
