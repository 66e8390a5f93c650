"""Which images are one film: every decoded pixel equal, or thumbnails whose local contrast is the same but for small changes.

Audited images are compared with each other and with the training images. A short code of signs finds candidates, the correlation of
local contrasts decides. An image that is turned, mirrored, inverted or cut by more than a hundredth of a side is not found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .fingerprints import Fingerprints, codes, correlations

ALIKE = 0.87
"""Correlation of local contrast from which images of two patients are called one film."""
BITS = 76
"""Signs of 256 that may differ in a candidate: of two images that correlate by 0.87 about 42 do, of those that do not 128."""
ROWS, COLUMNS = 256, 2048

Integers = npt.NDArray[np.int64]
Pair = tuple[int, int]


class Copies(NamedTuple):
    """Images that are one film: their places among the audited images, those of the training images after them.

    `alike` is the lowest correlation that holds them together; 1 where the pixels of all are equal.
    """

    places: tuple[int, ...]
    alike: float


def find(audited: Fingerprints, training: Fingerprints | None, patients: Sequence[str]) -> list[Copies]:
    """All groups of at least two images of which at least one is audited; `patients` of the audited images, then of the training images.

    Images of one patient are one film only where their pixels are equal: a second film of a patient may well look like the first.
    """
    both = [audited] if training is None else [audited, training]
    n, everyone = len(audited.rows), np.unique(np.array(patients, dtype=object).astype(str), return_inverse=True)[1]
    equal: dict[bytes, list[int]] = defaultdict(list)
    for place, digest in enumerate(bytes(one) for part in both for one in part.digests):
        equal[digest].append(place)
    contrast = np.concatenate([part.contrast for part in both])
    alone = np.array([members[0] for members in equal.values()], np.int64)
    near = {(one, other): alike for one, other, alike in _alike(contrast, alone, n) if everyone[one] != everyone[other]}
    group = _joined(len(contrast), [(members[0], other) for members in equal.values() for other in members[1:]], near)
    lowest: dict[int, float] = {}
    for (one, _), alike in near.items():
        lowest[group[one]] = min(alike, lowest.get(group[one], 1.0))
    together: dict[int, list[int]] = defaultdict(list)
    for place, name in enumerate(group):
        together[name].append(place)
    return [
        Copies(tuple(places), lowest.get(name, 1.0)) for name, places in together.items() if len(places) > 1 and places[0] < n
    ]


def _alike(contrast: npt.NDArray[np.int8], places: Integers, audited: int) -> Iterator[tuple[int, int, float]]:
    """(place, place, correlation) of those that are alike; `places` ascend, and of each pair the first is audited."""
    words, mine = codes(contrast), places[places < audited]
    for top in range(0, len(mine), ROWS):
        block = mine[top : top + ROWS]
        for left in range(top, len(places), COLUMNS):
            others = places[left : left + COLUMNS]
            apart = np.zeros((len(block), len(others)), np.uint16)
            for word in words.T:
                apart += np.bitwise_count(word[block, None] ^ word[None, others])
            near = (apart <= BITS) & (block[:, None] < others)
            if near.any():
                rows, columns = np.nonzero(near.any(1))[0], np.nonzero(near.any(0))[0]
                found = correlations(contrast[block[rows]], contrast[others[columns]])
                for row, column in np.argwhere((found >= ALIKE) & near[np.ix_(rows, columns)]).tolist():
                    yield int(block[rows[row]]), int(others[columns[column]]), float(found[row, column])


def _joined(size: int, *pairs: Iterable[Pair]) -> list[int]:
    """For each place the lowest place that it is joined to, by any chain of pairs."""
    root = list(range(size))

    def top(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for one, other in (pair for some in pairs for pair in some):
        low, high = sorted((top(one), top(other)))
        root[high] = low
    return [top(place) for place in range(size)]
