"""Which objects are looked for, and on which images: what `shortcuts` and `shortcut_maps` share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from auditor import Analysis, ConfigError

if TYPE_CHECKING:
    from auditor import Sample

REFERENCE = "docs/methods.md F"
BORDER, LETTER = "border", "letter"
ABSENT = "no chosen image has it where the network sees it"


@dataclass(frozen=True)
class LooksForObjects(Analysis):
    """The border of what the network sees, and the objects that the data set has boxes of."""

    objects: tuple[str, ...] = ()
    border: Annotated[float, Field(gt=0, le=0.125)] = 0.05
    images: Annotated[int, Field(ge=2)] = 400

    def __post_init__(self) -> None:
        taken = {BORDER: BORDER, LETTER: LETTER}
        for number, name in enumerate(self.objects):
            place = f"{self.name}: objects[{number}]: {name!r}"
            if not word(name):
                raise ConfigError(f"{place} has no letter or digit a metric could be called by")
            if word(name) in taken:
                raise ConfigError(
                    f"{place} would be told by the same names as {taken[word(name)]!r}; give its boxes another label"
                )
            taken[word(name)] = name

    def _first(self, ordered: Iterable[Sample]) -> list[str]:
        """At most `images` of them, by id."""
        return [sample.id for sample in ordered][: self.images]

    def _having(self, ordered: Sequence[Sample]) -> dict[str, list[str]]:
        """{border or object: the ids of the first images that have it}."""
        having = {name: [s for s in ordered if any(box.label == name for box in s.objects)] for name in self.objects}
        return {name: self._first(of) for name, of in {BORDER: ordered, **having}.items()}


def by_image(chosen: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """{image id: what it was chosen for}.

    >>> by_image({"border": ["a", "b"], "marker": ["b"]})
    {'a': ('border',), 'b': ('border', 'marker')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, ids in chosen.items():
        for image in ids:
            found[image] = (*found.get(image, ()), name)
    return found


def word(name: str) -> str:
    """An object's label as part of a metric's name.

    >>> word("Support Devices")
    'support_devices'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
