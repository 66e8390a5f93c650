"""The tables of scores with boxes of other images, read with suspicion, and what follows from them for the plan and the ledger."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..dataset import Box, Sample
from ..errors import AuditError
from ..evidence import Evidence
from ..share.boxed_tables import END, HEADER, NOTHING
from ..share.case_tables import FOLDER
from .case_tables import NUMBER, Cases, lines, names, plain
from .files import LARGEST

About = tuple[str, str, str | None]
"""Model, analysis, attribution."""
Rows = dict[tuple[str, str], npt.NDArray[np.float64]]
"""By image and class, the scores of its map with the boxes of the images of `Boxes.images`."""


class Boxes(NamedTuple):
    """`images` by class whose boxes maps were held against, and `scores` by work and metric."""

    images: dict[str, list[str]]
    scores: dict[About, dict[str, Rows]]

    def metrics(self, analysis: str, attribution: str | None) -> set[str]:
        """The metrics that the table of an analysis holds."""
        return {name for about, found in self.scores.items() if about[1:] == (analysis, attribution) for name in found}

    def boxed(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples with a box of each class that they are named for; where it lies, no bundle tells."""
        mine: dict[str, list[Box]] = defaultdict(list)
        for name, images in self.images.items():
            for image in images:
                mine[image].append(Box(name, 0.0, 0.0, 1.0, 1.0))
        return [replace(sample, boxes=tuple(mine.get(sample.id, ()))) for sample in samples]

    def elsewhere(
        self, about: About, number: Mapping[str, int], classes: Sequence[str]
    ) -> dict[str, list[tuple[int, int, npt.NDArray[np.float64]]]]:
        """The rows of one work as a ledger has them: boxes in the order of the samples."""
        order = {name: np.argsort([number[image] for image in images]) for name, images in self.images.items()}
        return {
            metric: [(number[image], classes.index(name), scores[order[name]]) for (image, name), scores in rows.items()]
            for metric, rows in self.scores.get(about, {}).items()
        }


def read(bundle: Path, told: Evidence, cases: Cases) -> Boxes:
    """Every such table in cases/; raises AuditError naming the file and line of what cannot be one."""
    found = Boxes({}, {})
    known = {image for split, image in cases.patients if split == "audited"}
    for name, about in names(told, END).items():
        path = bundle / FOLDER / name
        if path.is_file():
            if path.stat().st_size > LARGEST:
                raise AuditError(f"{path}: found {path.stat().st_size:,} bytes; allowed: at most {LARGEST:,}")
            _read_table(path, about, told, known, found)
    return found


def _read_table(path: Path, about: tuple[str, str | None], told: Evidence, known: set[str], found: Boxes) -> None:
    models, rows = {str(model["id"]) for model in told.models}, lines(path)
    if (header := next(rows, (1, []))[1]) != list(HEADER):
        raise AuditError(f"{path}:1: found {','.join(header)[:80]!r}; allowed: {','.join(HEADER)}")
    for number, row in rows:
        place = f"{path}:{number}"
        if len(row) != len(HEADER):
            raise AuditError(f"{place}: found {len(row)} cells; allowed: {len(HEADER)}, as in the first line")
        model, metric, name, image, scores = (plain(cell) for cell in row)
        if name not in told.dataset["classes"]:
            raise AuditError(f"{place}: class: found {name[:60]!r}; allowed: a class of results.json")
        if not model:
            _columns(place, name, scores.split(), known, found)
        elif model not in models or not metric or image not in known or name not in found.images:
            raise AuditError(
                f"{place}: found a row of {model[:60]!r}, {image[:60]!r}; allowed: networks, images and classes that are known"
            )
        else:
            of = found.scores.setdefault((model, *about), {}).setdefault(metric, {})
            if (image, name) in of:
                raise AuditError(f"{place}: found {image} with {name} a second time; allowed: each map once")
            of[image, name] = _scores(place, scores.split(), len(found.images[name]))


def _columns(place: str, name: str, images: list[str], known: set[str], found: Boxes) -> None:
    if not images or len(set(images)) < len(images) or not known.issuperset(images):
        raise AuditError(
            f"{place}: scores: found what names no images of cases/; allowed: each image with boxes of {name} once"
        )
    if found.images.setdefault(name, images) != images:
        raise AuditError(f"{place}: scores: found other images for {name} than another table names; allowed: the same")


def _scores(place: str, cells: list[str], count: int) -> npt.NDArray[np.float64]:
    if len(cells) != count:
        raise AuditError(
            f"{place}: scores: found {len(cells)}; allowed: {count}, one for each image that the class names first"
        )
    if wrong := next((cell for cell in cells if cell != NOTHING and not NUMBER.fullmatch(cell)), None):
        raise AuditError(f"{place}: scores: found {wrong[:40]!r}; allowed: a finite number, or {NOTHING} where there is none")
    return np.array([math.nan if cell == NOTHING else float(cell) for cell in cells])
