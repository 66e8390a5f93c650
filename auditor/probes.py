"""What one batch tells of an explanation method: does it repeat itself, does it mix images, does it look at the image at all?

Maps are made as the audit makes them, in batches of one size, one case per image. Two maps differ by

    largest |a - b| / (largest |a| + largest |b|),

0 when they are the same, 1 when one is empty or the negative of the other.
"""

from __future__ import annotations

from collections.abc import Callable

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


def exchanged(maps: Tensor, explain: Explain, images: Tensor, rows: Tensor) -> float:
    """The largest difference in the map of another image when image 0 is exchanged; NaN where there is no other.

    `maps` [P, h, w] are those of `images` [B, C, H, W], `rows` [P] the image of each.
    """
    others = (rows != 0).to(maps.device)
    if not others.any():
        return np.nan
    tampered = images.clone()
    tampered[0] = 1 - images[0].flip(-1)
    return float(differences(maps[others], explain(tampered)[others]).max())


def repeated(maps: Tensor, explain: Explain, images: Tensor) -> float:
    """The largest difference in a map when the same batch is explained again."""
    return float(differences(maps, explain(images.clone())).max())


def unlike_grey(maps: Tensor, explain: Explain, images: Tensor, grey: Tensor) -> tuple[float, float]:
    """Of the maps of an even image [C, H, W] the share that is finite; of the other maps the share that differs from them.

    Maps are scaled to 0..1 before they are compared, and constant ones are left out; NaN if all are constant.
    """
    of_grey = explain(grey.expand_as(images).clone())
    shown = _scaled(maps)
    apart = differences(shown, _scaled(of_grey))[shown.amax((1, 2)).cpu().numpy() > 0]
    finite = torch.isfinite(of_grey).all(2).all(1).double().mean()
    return float(finite), float((apart > SAME).mean()) if len(apart) else np.nan


def explainer(batch: Batch, attribution: Attribution, cases: Cases) -> Explain:
    """How this attribution explains these cases of a batch, whatever images stand in it, by the audit's own path."""
    assert batch.network is not None
    network = batch.network

    def explain(images: Tensor) -> Tensor:
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
    finite = torch.where(torch.isfinite(maps).all(2).all(1)[:, None, None], maps.double(), 0.0)
    least, most = finite.amin((1, 2), keepdim=True), finite.amax((1, 2), keepdim=True)
    return torch.where(most > least, (finite - least) / (most - least).clamp_min(1e-300), 0.0)
