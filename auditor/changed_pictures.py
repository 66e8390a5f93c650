"""One image under every change that is tried without a control: chosen by rule, shown in the report."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from .analysis import Analysis
from .batch import Batch
from .changed import Film
from .evidence import Picture
from .imaging import in_unit_range
from .model import Preprocessing
from .pixels import PixelStore
from .plan import Plan
from .trials import by_lot

log = logging.getLogger("auditor")

KIND = "changed"
"""What pictures of this kind are marked with."""
RULE = "The first image by lot, of those that can be read, that shows a finding; nobody picked it."


def gather(plan: Plan, store: PixelStore | None) -> Iterator[Picture]:
    """The image as it is, then under each change of each analysis; none without pixels, or where audit.yaml wants no pictures."""
    asking = [one for one in plan.analyses if one.per_trial == 1 and type(one).changed is not Analysis.changed]
    inside = [model for model in plan.models if model.explained]
    if store is None or not plan.config.report.images or not inside or not asking:
        return
    chosen = _chosen(plan, store, inside[0].loader.preprocessing)
    if chosen is None:
        return
    number, target, stored = chosen
    film = Film(torch.from_numpy(in_unit_range(stored[None])), lambda pictures: pictures, 1)
    batch = Batch([plan.samples[number]], plan.classes, size=stored.shape[1:], film=film, seed=plan.config.seed)
    for analysis in asking:
        try:
            found = {
                trial: picture for (_, trial), (picture,) in analysis.changed(batch.view(analysis.needs, [(0, target)])).items()
            }
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            log.error("no pictures of %s", analysis.name, exc_info=error)
            continue
        for words, picture in {"as it is": film.pictures[0], **found}.items():
            grey = np.rint(picture.mean(0).clamp(0, 1).numpy() * 255).astype(np.uint8)
            yield Picture(f"case {number + 1}", plan.classes[target], (), grey, {}, kind=KIND, words=words)


def _chosen(plan: Plan, store: PixelStore, lens: Preprocessing) -> tuple[int, int, npt.NDArray[np.uint16]] | None:
    """The number of the image, its first finding, and its pixels [C, S, S]; None where there is no such image."""
    place = {sample.id: number for number, sample in enumerate(plan.samples)}
    for number in [place[sample.id] for sample in by_lot(plan.samples, plan.config.seed) if 1 in sample.labels]:
        pixels = store.get(lens, number // plan.chunk)
        (rows,) = np.nonzero(pixels.rows == number)
        if len(rows):
            return number, plan.samples[number].labels.index(1), pixels.stored[rows[0]]
    return None
