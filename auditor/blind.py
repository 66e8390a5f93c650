"""The null ladder: what maps that never saw the image score, measured by the audit's own path.

A random smooth map, a bump in the centre, and the average box of the class take the place of a network's maps. They need no
image and no forward pass, only boxes, and are kept in the ledger like everything else.

The average box is taken over one half of the patients and scored on the other half alone. Over all other patients it would know
every box but its own, so that its own box would score worse than the others', not alike.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from .analysis import Analysis
from .attribution import Attribution
from .batch import Batch
from .boxes import Frame
from .identity import digest
from .ledger import Found, Ledger
from .measuring import measure
from .model import Preprocessing
from .pixels import PixelStore
from .plan import Plan, Unit

log = logging.getLogger("auditor")

Array = npt.NDArray[np.float64]
NODES = 7
"""Side of the random map before it is upsampled: the resolution of a common network's last maps."""


class _Blind(Attribution):
    """Stands where an attribution does; its maps are handed to the batch beforehand."""

    name = "blind"


def units(plan: Plan, analysis: Analysis) -> list[Unit]:
    """A unit of work per rung, for an analysis that reads maps and boxes and nothing of the network."""
    lens = _lens(plan)
    if lens is None or not {"attribution", "box"} <= analysis.needs <= {"attribution", "box", "labels", "positive"}:
        return []
    code = plan.registry.code_digest("analyses", analysis.name)
    about = (plan.data_key, plan.config.seed, lens.recipe, digest(analysis), code)
    return [Unit(digest("blind", rung, about), rung, analysis, _Blind()) for rung in RUNGS]


def run(plan: Plan, ledger: Ledger, store: PixelStore) -> None:
    """Measure what the ledger does not know yet; a plugin that fails here is written down and stops nothing."""
    for analysis in plan.analyses:
        for unit in units(plan, analysis):
            try:
                _climb(plan, unit, ledger, store)
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                log.error("%s failed for the blind map %s", analysis.name, unit.model, exc_info=error)


def _climb(plan: Plan, unit: Unit, ledger: Ledger, store: PixelStore) -> None:
    lens, done = _lens(plan), ledger.done(unit.key)
    assert lens is not None and unit.attribution is not None
    for chunk in sorted(set(range(plan.chunks)) - done):
        found = Found({}, {}, [])
        for number, frame in _boxed(plan, lens, store, chunk):
            sample = plan.samples[number]
            batch = Batch(
                [sample],
                plan.classes,
                size=(lens.size, lens.size),
                frames=[frame],
                seed=plan.config.seed,
                elsewhere=plan.elsewhere,
            )
            for _, target in batch.cases(frozenset({"box"}))[0]:
                drawn = RUNGS[unit.model](plan, batch, number, target)
                batch.give(unit.attribution, 0, target, torch.from_numpy(drawn))
            measure(unit, batch, [number], {}, found, frozenset())
        found.gaps.clear()
        if unit.model == AVERAGE:
            _hide_what_it_knows(plan, found)
        ledger.write(chunk, {unit.key: found}, {})


def _lens(plan: Plan) -> Preprocessing | None:
    """How the first network with maps sees an image."""
    return next((model.loader.preprocessing for model in plan.models if model.explained), None)


def _boxed(plan: Plan, lens: Preprocessing, store: PixelStore, chunk: int) -> Iterator[tuple[int, Frame]]:
    """The samples of a chunk that have boxes, each with the part of it that is seen."""
    first = chunk * plan.chunk
    boxed = [number for number in range(first, min(first + plan.chunk, len(plan.samples))) if plan.samples[number].boxes]
    if boxed and lens.fit == "crop":
        pixels = store.get(lens, chunk)
        seen = dict(zip(pixels.rows.tolist(), pixels.frames, strict=True))
        yield from ((number, seen[number]) for number in boxed if number in seen)
    else:
        yield from ((number, Frame()) for number in boxed)


def _random(plan: Plan, batch: Batch, number: int, target: int) -> Array:
    """Even noise on a coarse grid; the analysis makes it smooth by upsampling."""
    return batch.generator(0, target, "blind map").random((NODES, NODES))


def _centre(plan: Plan, batch: Batch, number: int, target: int) -> Array:
    """A Gaussian bump in the middle, its standard deviation a quarter of each side."""
    down, across = ((np.arange(side) + 0.5) / side - 0.5 for side in batch.size)
    return np.exp(-8 * (down[:, None] ** 2 + across[None, :] ** 2))


def _average_box(plan: Plan, batch: Batch, number: int, target: int) -> Array:
    """How many boxes of this class lie over each pixel, among the patients of the other half."""
    where = batch.elsewhere(0, target)
    left, top, right, bottom = where.rectangles[_other_half(plan, number, target)[where.owner]].T
    steps = np.zeros((batch.size[0] + 1, batch.size[1] + 1))
    for rows, columns, step in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(steps, (rows, columns), step)
    covered: Array = steps.cumsum(0).cumsum(1)[:-1, :-1]
    return covered


def _other_half(plan: Plan, number: int, target: int) -> npt.NDArray[np.bool_]:
    """Which boxed cases of this class belong to patients of the other half than this sample's."""
    own = _half(plan, number)
    return np.array([_half(plan, case) != own for case in plan.elsewhere.cases[target]], bool)


def _half(plan: Plan, number: int) -> bool:
    return hashlib.sha256(f"half|{plan.samples[number].patient}".encode()).digest()[0] < 128


def _hide_what_it_knows(plan: Plan, found: Found) -> None:
    """Leave out the boxes that the map was made from."""
    for rows in found.elsewhere.values():
        for number, target, scores in rows:
            scores[_other_half(plan, number, target)] = np.nan


AVERAGE = "class-average box"
RUNGS: dict[str, Callable[[Plan, Batch, int, int], Array]] = {
    "random smooth map": _random,
    "centre prior": _centre,
    AVERAGE: _average_box,
}
