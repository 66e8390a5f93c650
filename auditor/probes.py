"""What one batch tells of an explanation method: does it repeat itself, does it mix images, does it look at the image at all?

Everything is measured on the maps as the audit makes them: batches of one size, one case per image. Two maps differ by

    largest |a - b| / (largest |a| + largest |b|),

0 when they are the same, 1 when one is empty or the negative of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .attribution import Attribution
from .batch import Batch
from .network import Cases

Array = npt.NDArray[np.float64]
Explain = Callable[[Tensor], Tensor]
"""Maps [P, h, w] of the probed cases when these images stand in the batch."""

SAME = 1e-4
"""Maps that differ by no more are the same: what float32 and the order of sums can do."""


class Probed(NamedTuple):
    """`coupling`: the largest difference in the map of another image when image 0 is exchanged, NaN for a single image.
    `repeat`: the largest difference when the same batch is explained again. `grey_finite`: share of maps of a grey image that
    are finite. `grey_differs`: share of the maps with any structure that differ from the grey image's, NaN if none has any.
    `cases`: how many maps were looked at."""

    coupling: float
    repeat: float
    grey_finite: float
    grey_differs: float
    cases: float


def probe(explain: Explain, images: Tensor, rows: Tensor, grey: Tensor) -> Probed:
    """`images` [B, C, H, W] as the audit batches them, `rows` [P] the image of each case, `grey` [C, H, W]."""
    if not len(rows):
        return Probed(np.nan, np.nan, np.nan, np.nan, 0)
    maps = explain(images.clone())
    exchanged = images.clone()
    exchanged[0] = 1 - images[0].flip(-1)
    others = (rows != 0).to(maps.device)
    moved = differences(maps[others], explain(exchanged)[others])
    again = differences(maps, explain(images.clone()))
    of_grey = explain(grey.expand_as(images).clone())
    shown = _scaled(maps)
    apart = differences(shown, _scaled(of_grey))[shown.abs().amax((1, 2)).cpu().numpy() > 0]
    return Probed(
        coupling=float(moved.max()) if len(moved) else np.nan,
        repeat=float(again.max()),
        grey_finite=float(torch.isfinite(of_grey).all((1, 2)).double().mean()),
        grey_differs=float((apart > SAME).mean()) if len(apart) else np.nan,
        cases=float(len(maps)),
    )


def explainer(batch: Batch, attribution: Attribution, cases: Cases) -> Explain:
    """How this attribution explains these cases of a batch, whatever images stand in it, by the audit's own path."""
    assert batch.network is not None
    network = batch.network

    def explain(images: Tensor) -> Tensor:
        if not len(cases.image):
            return images.new_zeros((0, 1, 1))
        standing = Batch(batch.samples, batch.classes, network=network, images=network.laid_out(images), seed=batch.seed)
        return standing.maps(attribution, cases)

    return explain


def differences(one: Tensor, other: Tensor) -> Array:
    """How far the maps of two stacks [P, h, w] differ, [P]; 1 where one has a number and the other has none."""
    a, b = one.double(), other.double()
    whole = torch.isfinite(a) & torch.isfinite(b)
    apart = torch.where(whole, (a - b).abs(), 0.0).amax((1, 2))
    size = torch.where(whole, a.abs(), 0.0).amax((1, 2)) + torch.where(whole, b.abs(), 0.0).amax((1, 2))
    share = torch.where(size > 0, apart / size.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    torn = (torch.isfinite(a) != torch.isfinite(b)).any(2).any(1)
    return np.asarray(torch.where(torn, 1.0, share).cpu().numpy(), np.float64)


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's rank correlation of the magnitudes of two maps, averaged over the pairs that are not constant; NaN if none is."""
    from scipy.stats import rankdata

    found = []
    for pair in zip(one.abs().double().cpu().numpy(), other.abs().double().cpu().numpy(), strict=True):
        if all(np.isfinite(map_).all() and np.ptp(map_) > 0 for map_ in pair):
            a, b = (rankdata(map_.ravel()) for map_ in pair)
            found.append(float(np.corrcoef(a, b)[0, 1]))
    return float(np.mean(found)) if found else np.nan


def _scaled(maps: Tensor) -> Tensor:
    """Each map from its least to its largest value, as 0..1; a constant map, and one that is not finite, become 0."""
    finite = torch.where(torch.isfinite(maps).all((1, 2))[:, None, None], maps.double(), 0.0)
    least, most = finite.amin((1, 2), keepdim=True), finite.amax((1, 2), keepdim=True)
    return torch.where(most > least, (finite - least) / (most - least).clamp_min(1e-300), 0.0)
