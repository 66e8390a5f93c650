"""The images of a simulation: listed, drawn for every seed, and decoded once for all networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError
from ..identity import digest
from ..planned_samples import check_samples, listed_samples
from ..problems import Problems
from ..training import material as materials
from ..training.augment import canvas
from ..training.material import PixelFile, Side
from ..training.ranks import Ranks
from ..wording import how_many
from . import start
from .simulation_config import SimulationPlan
from .start import Rows, Start

PIXELS = "pixels"


@dataclass(frozen=True)
class Sides:
    """What is trained on and chosen from, what is asked for, and what is measured.

    `pixels` are theirs as a network sees them, `varied` those of the training side as augmentation takes them.
    """

    training: Side
    validation: Side
    test: Side
    pixels: Mapping[str, PixelFile]
    varied: PixelFile


def gather(plan: SimulationPlan, out: Path) -> tuple[Sides, dict[int, Start], list[str]]:
    """The images, the start of every seed, and what to say of them; raises DatasetError where there are too few, or bad ones."""
    material = materials.gather(plan.training)
    sides, bad = (material.training, material.validation), len(material.quarantined)
    test, unusable = _test_side(plan, *sides)
    starts = _starts(plan, *sides)
    of_training = np.unique(np.concatenate([part for s in starts.values() for part in (s.labelled, s.pool)]))
    of_query = np.unique(np.concatenate([s.query for s in starts.values()]))
    compact = [_compact(side, rows) for side, rows in zip(sides, (of_training, of_query), strict=True)]
    moved = {
        seed: Start(
            np.searchsorted(of_training, s.labelled), np.searchsorted(of_training, s.pool), np.searchsorted(of_query, s.query)
        )
        for seed, s in starts.items()
    }
    first = next(iter(moved.values()))
    said = [
        (
            f"{how_many(len(sides[0].samples), 'image')} to draw from, {len(sides[1].samples)} for the query, {len(test.samples)} to test;"
            f" {bad + unusable} quarantined before reading"
        ),
        f"each seed starts with {len(first.labelled)} labelled images, {len(first.pool)} in the pool and {len(first.query)} of the query",
    ]
    return _decoded(plan, out / PIXELS, compact[0], compact[1], test), moved, said


def _test_side(plan: SimulationPlan, training: Side, validation: Side) -> tuple[Side, int]:
    """The images to test on, and how many are listed that cannot be used."""
    config, known = plan.config, plan.training.dataset.classes()
    classes, listed = listed_samples(plan.test, config.place("test"))
    problems = Problems()
    check_samples(listed, classes, config.place("test"), problems)
    if classes != tuple(known):
        problems.add(f"{config.place('test')}: found the classes {', '.join(classes)}; allowed: {', '.join(known)}")
    problems.stop()
    bad: list[tuple[str, str]] = []
    side = materials.side_of("test", plan.test, listed, plan.training, bad)
    met = {s.patient for s in side.samples} & {s.patient for s in (*training.samples, *validation.samples)}
    if met and not config.shared_patients:
        raise DatasetError(
            f"{config.place('test')}: {len(met)} patients are in the test and in the training or validation images; allowed:"
            " disjoint patients, or shared_patients: true if that is meant"
        )
    return side, len(bad)


def _starts(plan: SimulationPlan, training: Side, validation: Side) -> dict[int, Start]:
    config, classes = plan.config, tuple(plan.training.dataset.classes())
    if config.imbalance == "binary":
        rare = [classes.index(name) for name in config.classes]
        groups = [start.binary(side.labels, rare) for side in (training, validation)]
    else:
        order = np.argsort(-(training.labels == 1).sum(0), kind="stable").tolist()
        groups = [start.long_tail(side.labels, classes, order) for side in (training, validation)]
    counts = [start.sizes(most, len(groups[0].names), config.ratio) for most in (config.labelled, config.pool)]
    try:
        return {seed: start.draw(groups[0], groups[1], counts[0], counts[1], config.query, seed) for seed in config.seeds}
    except DatasetError as error:
        raise DatasetError(f"{config.place('dataset')}: {error}") from error


def _decoded(plan: SimulationPlan, folder: Path, training: Side, validation: Side, test: Side) -> Sides:
    lens = plan.training.runs[0].loader.preprocessing
    pixels = {side.name: materials.prepare(folder, side, lens, Ranks()) for side in (training, validation, test)}
    varied = materials.prepare(folder, training, canvas(lens, plan.training.recipe.augmentation), Ranks())
    bad = sum(len(file.unreadable) for file in pixels.values())
    if bad:
        reasons = sorted({why for file in pixels.values() for why in file.unreadable.values()})
        raise DatasetError(
            f"{plan.config.place('dataset')}: {bad} of the images that were drawn cannot be read ({', '.join(reasons)}); a simulation"
            " needs all of them: mend them, or take them out of the table"
        )
    return Sides(training, validation, test, pixels, varied)


def _compact(side: Side, rows: Rows) -> Side:
    """The side with these samples alone, its pixels in files of its own."""
    chosen = side.only(rows.tolist())
    return replace(chosen, rows=np.arange(len(rows)), key=digest(side.key, rows.tolist()))
