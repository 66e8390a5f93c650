"""From differences to claims: families of hypotheses, adjusted p-values, intervals that hold together, verdicts.

Declared before the run is the primary family: the overall differences of the metrics that audit.yaml names, adjusted by Holm.
Everything else is exploratory, a family per metric, adjusted by Benjamini and Hochberg and marked so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .effect import LEVEL, Effect
from .multiplicity import benjamini_hochberg, holm
from .rows import IMAGE, MACRO, Comparison
from .simultaneous import simultaneous_levels
from .unmoved import Unmoved
from .verdict import smallest_margin, verdict

Row = tuple[Comparison, Effect | None]


def decide(
    rows: Sequence[Row], primary: Collection[str], margin: Mapping[str, float], everyone: npt.NDArray[np.int64], seed: int
) -> list[Comparison]:
    """The same comparisons in the same order, with p-values, simultaneous intervals, margins and verdicts.

    `primary` are metric names, `margin` the largest difference of a metric that does not matter, `everyone` the codes of all
    patients. A comparison without an effect stays without a verdict and is in no family.
    """
    families: dict[tuple[str, ...], list[int]] = {}
    for number, (row, effect) in enumerate(rows):
        if effect is not None:
            families.setdefault(_family(row, primary), []).append(number)
    effects = [[effect for number in members if (effect := rows[number][1]) is not None] for members in families.values()]
    levels = simultaneous_levels(effects, everyone, seed)
    decided = [replace(row, margin=margin.get(row.metric)) for row, _ in rows]
    for (claim, *_), members, level, known in zip(families, families.values(), levels, effects, strict=True):
        adjusted = (holm if claim == "primary" else benjamini_hochberg)(np.array([effect.p for effect in known]))
        for number, effect, p in zip(members, known, adjusted.tolist(), strict=True):
            shared = 1 - (1 - LEVEL) / len(members)  # of what no resample moves only the number of contrasts is known
            low, high = effect.interval(max(level, shared) if isinstance(effect, Unmoved) else level)
            decided[number] = replace(
                decided[number], p=effect.p, p_adjusted=p, joint_low=low, joint_high=high, claim=claim,
                smallest_margin=smallest_margin(effect), verdict=verdict(effect, p, decided[number].margin),
            )  # fmt: skip
    return decided


def _family(row: Comparison, primary: Collection[str]) -> tuple[str, ...]:
    if row.metric in primary and row.class_name in (MACRO, IMAGE):
        return ("primary",)
    return "exploratory", row.analysis, row.metric, row.attribution or ""
