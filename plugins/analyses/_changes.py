"""The changes of the picture that an analysis was asked for, and how metrics are declared for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from auditor import ConfigError, nearest
from auditor.corruptions import Corruption, pick

if TYPE_CHECKING:
    from torch import Tensor

    from auditor import Sample, View

Change = Literal[
    "brighter", "darker", "narrow_window", "wide_window", "noise", "blur", "low_resolution", "jpeg", "rotation", "shift", "crop",
]  # fmt: skip
"""The names of auditor.corruptions, as choices that a schema and a shared copy can tell."""
ALL: tuple[Change, ...] = get_args(Change)
REFERENCE = "docs/methods.md G.2"


def checked(analysis: str, changes: Sequence[str], images: int) -> None:
    """Raises ConfigError for a change that is not known or listed twice, for none at all, or for no image."""
    if not changes:
        raise ConfigError(f"{analysis}: changes: found none; allowed: {', '.join(ALL)}")
    for name in changes:
        if name not in ALL:
            raise ConfigError(f"{analysis}: changes: found {name!r}; allowed: {', '.join(ALL)}{nearest(name, ALL)}")
        if list(changes).count(name) > 1:
            raise ConfigError(f"{analysis}: changes: {name} is listed twice; list a change once")
    if images < 1:
        raise ConfigError(f"{analysis}: images: found {images}; allowed: at least 1")


def asked(changes: Sequence[str]) -> list[Corruption]:
    """The changes in the order of the report."""
    return pick(name for name in ALL if name in changes)


def on_the_first(images: int, samples: Sequence[Sample], changes: Sequence[Corruption]) -> Mapping[str, tuple[str, ...]]:
    """Trials: all the changes, by their words, on that many of the samples."""
    return {sample.id: tuple(change.words for change in changes) for sample in samples[:images]}


def pictures(changes: Sequence[Corruption], batch: View) -> Iterator[tuple[int, Tensor]]:
    """(image, picture [C, H, W]) of every image of the view under the first change, then of every image under the next."""
    for change in changes:
        yield from enumerate(change.changed(batch.pictures, batch.generators(change.name)))
