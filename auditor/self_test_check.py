"""One thing that must hold on planted truth, and how what was found is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .evidence import Evidence

Find = Callable[[Evidence], Iterable[float | None]]


class Check(NamedTuple):
    """One thing that must hold: which analysis it speaks of, in words, what was found, what is right."""

    analysis: str
    says: str
    find: Find
    right: tuple[float, ...]


def summary(metric: str, strategy: str, *classes: str) -> Callable[[Evidence], Iterator[float | None]]:
    """Finds the values of a metric for the network of a strategy, in the order of the classes."""

    def find(evidence: Evidence) -> Iterator[float | None]:
        rows = {row.class_name: row.value for row in evidence.select(metric) if row.strategy == strategy}
        yield from (rows.get(name) for name in classes)

    return find
