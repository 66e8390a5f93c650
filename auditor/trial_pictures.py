"""One example of every change that an analysis tries on images: the image as it is, changed, and with its control."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import torch

from .analysis import Analysis
from .batch import Batch
from .evidence import Picture
from .pixels import PixelStore
from .plan import Plan, PlannedModel, Unit
from .trials import lot

log = logging.getLogger("auditor")

KIND = "trial"
PANELS = ("as it is", "changed", "control")
LOOKED_THROUGH = 20
"""Images that are looked through, in the order of their lots, for one on which the trial can be made."""
Used = npt.NDArray[np.bool_]


def gather(plan: Plan, store: PixelStore | None, used: Used, failed: Collection[str]) -> Iterator[Picture]:
    """Three pictures per trial, as the first network that it is made on sees them; none where the report has no pictures."""
    if store is None or not plan.config.report.images:
        return
    models, done = {model.id: model for model in plan.models}, set()
    for unit in plan.units:
        if unit.trials and unit.analysis and unit.analysis.per_trial and unit.key not in failed and unit.name not in done:
            done.add(unit.name)
            for name in sorted({name for names in unit.trials.values() for name in names}):
                yield from _example(plan, store, models[unit.model], unit, name, used)


def _example(plan: Plan, store: PixelStore, model: PlannedModel, unit: Unit, name: str, used: Used) -> Iterator[Picture]:
    assert unit.trials is not None and unit.analysis is not None
    place = {sample.id: number for number, sample in enumerate(plan.samples)}
    having = sorted((sample for sample, names in unit.trials.items() if name in names), key=lot(plan.config.seed))
    for number in [place[sample] for sample in having if used[place[sample]]][:LOOKED_THROUGH]:
        try:
            shown = _changed(plan, store, model, unit.analysis, number, name)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            log.error("no picture of %s of %s", name, unit.name, exc_info=error)
            return
        if shown:
            for words, pixels in zip(PANELS, shown, strict=True):
                yield Picture(f"case {number + 1}", name, _where(pixels, shown[0]), pixels, {}, KIND, words)
            return


def _changed(
    plan: Plan, store: PixelStore, model: PlannedModel, analysis: Analysis, number: int, name: str
) -> list[npt.NDArray[np.uint8]] | None:
    """The image three times, 0 to 255; None where this cannot be tried on it."""
    pixels = store.get(model.loader.preprocessing, number // plan.chunk)
    (row,) = np.nonzero(pixels.rows == number)[0]
    image = torch.from_numpy(pixels.stored[row].astype(np.float32) / np.float32(65535))
    sample, size = plan.samples[number], (image.shape[1], image.shape[2])
    batch = Batch([sample], plan.classes, size=size, frames=[pixels.frames[row]], images=image[None], seed=plan.config.seed)
    view = batch.view(frozenset({"image"}), [(0, 0)], trials={sample.id: (name,)})
    pair = analysis.changed(view).get((0, name))
    return None if pair is None else [_grey(shown) for shown in (image, *pair)]


def _where(pixels: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8]) -> tuple[tuple[float, float, float, float], ...]:
    """The box, in fractions, that holds all that was changed; none where that is nothing or most of the image."""
    rows, columns = np.nonzero(pixels != before)
    if not len(rows):
        return ()
    height, width = before.shape
    box = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
    return (tuple(map(float, box)),) if (box[2] - box[0]) * (box[3] - box[1]) < 0.5 else ()  # type: ignore[return-value]


def _grey(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    shown: npt.NDArray[np.uint8] = (image.cpu().numpy().mean(0).clip(0, 1) * 255).round().astype(np.uint8)
    return shown
