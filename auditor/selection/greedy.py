"""Greedy maximisation: the image with the largest gain, again and again, exactly and without looking at all of them each time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .functions import Function
from .points import parts

VALUES = 2**21
"""Similarities computed at a time, 16 MiB."""
TIE = 1e-6
"""Gains closer than this share of the best are equal: which is chosen is then the first in order, not what rounding prefers."""
FIRST_LOOK = 64


class Pick(NamedTuple):
    """A chosen pool image, and what it added when it was chosen."""

    row: int
    gain: float


def maximise(function: Function, candidates: Tensor, budget: int) -> list[Pick]:
    """Up to `budget` of the candidates (numbers of pool images, ascending), in the order they are chosen.

    Where the function is submodular a gain from an earlier round bounds the gain now, so that only candidates whose bound reaches the best
    gain are looked at again (Minoux, 1978): the same choice as looking at all of them.
    """
    bounds = gains_of(function, candidates)
    picks: list[Pick] = []
    for _ in range(min(budget, len(candidates))):
        place = _best(function, candidates, bounds) if picks and function.submodular else _first_of_the_best(bounds)
        picks.append(Pick(int(candidates[place]), float(bounds[place])))
        function.add(picks[-1].row)
        bounds[place] = -torch.inf
        if not function.submodular:
            left = torch.isfinite(bounds)
            bounds[left] = gains_of(function, candidates[left])
    return picks


def gains_of(function: Function, rows: Tensor) -> Tensor:
    """The gains of any number of rows [m], computed in blocks."""
    found = [function.gains(part) for part in parts(rows, max(VALUES // function.columns, 1))]
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64, device=rows.device)


def _best(function: Function, candidates: Tensor, bounds: Tensor) -> int:
    """The place of the first candidate with the largest gain; refreshes bounds until no stale one could be as large."""
    fresh = torch.zeros(len(bounds), dtype=torch.bool, device=bounds.device)
    again = bounds.topk(min(FIRST_LOOK, len(bounds))).indices
    again = again[torch.isfinite(bounds[again])]
    width = FIRST_LOOK
    while len(again):
        gains = gains_of(function, candidates[again])
        bounds[again], fresh[again] = gains, True
        stale = torch.nonzero((bounds >= _enough(bounds[fresh].max())) & ~fresh)[:, 0]
        width *= 2
        again = stale[bounds[stale].topk(min(width, len(stale))).indices]
    return _first_of_the_best(bounds)


def _first_of_the_best(bounds: Tensor) -> int:
    return int(torch.nonzero(bounds >= _enough(bounds.max()))[0])


def _enough(best: Tensor) -> Tensor:
    """The least gain that is as good as the best."""
    return best - TIE * best.abs().clamp(min=TIE)
