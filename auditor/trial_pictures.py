"""One example of every change that is tried against a control: the image as it is, changed, and with its control."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import torch

from .analysis import Analysis
from .batch import Batch
from .changed import Film
from .evidence import Picture
from .imaging import in_unit_range
from .pixels import PixelStore
from .plan import Plan, PlannedModel, Unit
from .trials import by_lot

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
        if unit.trials and _shows_some(unit.analysis) and unit.key not in failed and unit.name not in done:
            done.add(unit.name)
            for name in sorted({name for names in unit.trials.values() for name in names}):
                yield from _example(plan, store, models[unit.model], unit, name, used)


def _shows_some(analysis: Analysis | None) -> bool:
    return analysis is not None and analysis.per_trial == 2 and type(analysis).changed is not Analysis.changed


def _example(plan: Plan, store: PixelStore, model: PlannedModel, unit: Unit, name: str, used: Used) -> Iterator[Picture]:
    assert unit.trials is not None and unit.analysis is not None
    place = {sample.id: number for number, sample in enumerate(plan.samples)}
    having = [place[sample.id] for sample in by_lot(plan.samples, plan.config.seed) if name in unit.trials.get(sample.id, ())]
    for number in [number for number in having if used[number]][:LOOKED_THROUGH]:
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
    film = Film(torch.from_numpy(in_unit_range(pixels.stored[[row]])), lambda pictures: pictures, 1)
    sample, size = plan.samples[number], (film.pictures.shape[2], film.pictures.shape[3])
    batch = Batch([sample], plan.classes, size=size, frames=[pixels.frames[row]], film=film, seed=plan.config.seed)
    view = batch.view(frozenset({"image"}), [(0, 0)], trials={sample.id: (name,)})
    pair = analysis.changed(view).get((0, name))
    return None if pair is None else [_grey(shown) for shown in (film.pictures[0], *pair)]


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
