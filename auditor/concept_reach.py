"""Which nodes of a map can belong to a component that touches a region: the rest of the map need not be looked at.

numba does not notice changes of a file in the caches of its callers: delete *.nbi after editing.
"""

from __future__ import annotations

import numba


@numba.njit(cache=True)
def reach(plane, limit, support, near, queue, extent, step_down, step_across):  # type: ignore[no-untyped-def]
    """Mark in `near` the nodes whose surroundings can belong to a component that touches a region; the first and last row of them.

    `support` [?, 2] are the nodes under a region. An active pixel has a node above the limit within one node spacing, since a
    mix never exceeds its nodes. So a component starts at such nodes under a region, and goes on only to such nodes at most two
    spacings away (pixels that touch lie at most one pixel apart, and a pixel is never wider than a spacing), two only where the
    nodes between are nearly as high. `step_down` and `step_across` are the width of a pixel in node spacings; `extent` [h, 2]
    becomes the first and last marked node of each row. The last row is -1 where nothing is marked.
    """
    height, width = plane.shape
    if 2 * len(support) > height * width:  # little could be left out
        return _all(plane, limit, near, extent)
    found = 0
    near[:] = False
    for i in range(len(support)):
        y, x = support[i, 0], support[i, 1]
        if plane[y, x] > limit:
            near[y, x] = True
            queue[found, 0], queue[found, 1] = y, x
            found += 1
    if found == 0:
        return 0, -1
    extent[:, 0], extent[:, 1] = width, -1
    first, last, done = height, -1, 0
    while done < found:
        row, column = queue[done, 0], queue[done, 1]
        done += 1
        first, last = min(first, row), max(last, row)
        extent[row, 0], extent[row, 1] = min(extent[row, 0], column), max(extent[row, 1], column)
        for y in range(max(row - 2, 0), min(row + 3, height)):
            for x in range(max(column - 2, 0), min(column + 3, width)):
                if near[y, x] or not plane[y, x] > limit:
                    continue
                if abs(y - row) == 2 and not _bridged(plane, (y + row) // 2, min(x, column), max(x, column), limit, step_down):
                    continue
                if abs(x - column) == 2 and not _bridged(
                    plane.T, (x + column) // 2, min(y, row), max(y, row), limit, step_across
                ):
                    continue
                near[y, x] = True
                queue[found, 0], queue[found, 1] = y, x
                found += 1
    return first, last


@numba.njit(cache=True)
def _bridged(plane, between, low, high, limit, step):  # type: ignore[no-untyped-def]
    """Whether pixels on both sides of node row `between`, around node columns low to high, can be active and touch.

    Such pixels lie at most one pixel from that row, so they are at most `step` of the way to the row beyond it.
    """
    first, end = max(low - 1, 0), min(high + 2, plane.shape[1])
    here = plane[between, first]
    above, below = plane[between - 1, first], plane[between + 1, first]
    for x in range(first, end):
        here = max(here, plane[between, x])
        above, below = max(above, plane[between - 1, x]), max(below, plane[between + 1, x])
    margin = 1e-6 * (abs(above) + abs(below) + abs(here))
    weaker = min(above, below)
    return max(here, here + step * (weaker - here)) + margin > limit


@numba.njit(cache=True)
def _all(plane, limit, near, extent):  # type: ignore[no-untyped-def]
    """The same, leaving nothing out."""
    some = False
    for y in range(plane.shape[0]):
        extent[y, 0], extent[y, 1] = 0, plane.shape[1] - 1
        for x in range(plane.shape[1]):
            near[y, x] = plane[y, x] > limit
            some |= near[y, x]
    return 0, plane.shape[0] - 1 if some else -1
