"""The line around the places where a map exceeds a level: marching squares with straight steps between grid points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .bilinear import matrix

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
Edge = tuple[int, int, bool]
"""A grid edge: row and column of its upper left end, and whether it leads down (or else to the right)."""

GRID = 64
"""Points per side that a map is upsampled to before it is traced, or as many as its longer side has."""

_LEFT, _TOP, _RIGHT, _BOTTOM = (0, 0, True), (0, 0, False), (0, 1, True), (1, 0, False)
_CROSSED = {
    1: ((_LEFT, _TOP),), 2: ((_TOP, _RIGHT),), 3: ((_LEFT, _RIGHT),), 4: ((_RIGHT, _BOTTOM),),
    6: ((_TOP, _BOTTOM),), 7: ((_LEFT, _BOTTOM),), 8: ((_BOTTOM, _LEFT),), 9: ((_BOTTOM, _TOP),),
    11: ((_BOTTOM, _RIGHT),), 12: ((_RIGHT, _LEFT),), 13: ((_RIGHT, _TOP),), 14: ((_TOP, _LEFT),),
    5: ((_LEFT, _TOP), (_RIGHT, _BOTTOM)), 10: ((_TOP, _RIGHT), (_BOTTOM, _LEFT)),
}  # fmt: skip
"""Which sides of a cell the line crosses, what exceeds the level at its left hand, by the corners that do: 1 top left, 2 top right,
4 bottom right, 8 bottom left."""


def contours(raw: npt.NDArray[np.floating[Any]], level: float) -> list[list[Point]]:
    """Closed lines around what exceeds the level, as (x, y) in fractions of the map [h, w]; none where nothing does.

    The map is upsampled first, bilinear with half-pixel centres, as everywhere in an audit. What lies beyond the edge counts as
    below the level, so that a place at the edge is closed along it.
    """
    size = max(GRID, *raw.shape)
    fine: Floats = matrix(raw.shape[0], size) @ raw.astype(np.float64) @ matrix(raw.shape[1], size).T
    padded = np.pad(fine, 1, constant_values=-np.inf)
    places = np.clip((np.arange(size + 2) - 0.5) / size, 0.0, 1.0)
    return [[_point(padded, level, places, edge) for edge in line] for line in _joined(dict(_steps(padded > level)))]


def _steps(above: npt.NDArray[np.bool_]) -> Iterator[tuple[Edge, Edge]]:
    """The edges by which the line enters and leaves every cell that it crosses; each is entered once."""
    kind = above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, 1:] + 8 * above[1:, :-1]
    for row, column in zip(*(found.tolist() for found in np.nonzero((kind > 0) & (kind < 15))), strict=True):
        for sides in _CROSSED[int(kind[row, column])]:
            enters, leaves = ((row + down, column + right, leads_down) for down, right, leads_down in sides)
            yield enters, leaves


def _joined(after: dict[Edge, Edge]) -> list[list[Edge]]:
    """Steps put end to end; every line comes back to where it began."""
    lines = []
    while after:
        start = next(iter(after))
        line, edge = [start], after.pop(start)
        while edge != start:
            line.append(edge)
            edge = after.pop(edge)
        lines.append(line)
    return lines


def _point(fine: Floats, level: float, places: Floats, edge: Edge) -> Point:
    """Where the value reaches the level along an edge; on the way out of the image, at its border."""
    row, column, leads_down = edge
    to = (row + leads_down, column + (not leads_down))
    first, second = float(fine[row, column]), float(fine[to])
    share = 0.0 if first == -np.inf else 1.0 if second == -np.inf else (level - first) / (second - first)
    x, y = (float(places[start] + share * (places[end] - places[start])) for start, end in ((column, to[1]), (row, to[0])))
    return x, y
