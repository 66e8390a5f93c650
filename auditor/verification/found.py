"""What a verification came to: what each level proved, what it did not, and every difference by its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ExitCode

VERIFIED, DIFFERENT, REFUSED, UNDECIDED = ExitCode(0), ExitCode(1), ExitCode(2), ExitCode(3)
SHOWN = 20
"""Differences of one level that are printed; the others are counted."""


class Difference(NamedTuple):
    """Something that is not as it should be: where it stands, and what was found there against what should stand."""

    place: str
    says: str

    def line(self) -> str:
        """Place and finding, on one line."""
        return f"{self.place}: {self.says}"


@dataclass
class Level:
    """One level: `proved` and `open` are a sentence each; `said` are lines beside them.

    `undecided` says what was asked for and could not be checked; the level is then neither verified nor refuted.
    """

    number: int
    proved: str
    open: str
    differences: list[Difference] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """verified, different or undecided."""
        return "different" if self.differences else "undecided" if self.undecided else "verified"

    def lines(self) -> Iterator[str]:
        """The level as it is printed: outcome, what was proved and what was not, then each difference."""
        yield f"level {self.number} {self.outcome}: {self.proved if self.outcome == 'verified' else _failed(self)}"
        yield from (f"  {text}" for text in self.said)
        yield from (f"  could not be decided: {text}" for text in self.undecided)
        yield from (f"  {difference.line()}" for difference in self.differences[:SHOWN])
        if len(self.differences) > SHOWN:
            yield f"  and {len(self.differences) - SHOWN:,} more"
        yield f"  not proved: {self.open}"


def _failed(level: Level) -> str:
    count = len(level.differences)
    if not count:
        return "something that was asked for could not be checked"
    return f"{count:,} difference{'s' * (count != 1)} found"


def exit_code(levels: Iterable[Level]) -> ExitCode:
    """1 where any level found a difference, else 3 where any could not be decided, else 0.

    >>> exit_code([Level(1, "", ""), Level(2, "", "", undecided=["x"])]).value
    3
    """
    outcomes = {level.outcome for level in levels}
    return DIFFERENT if "different" in outcomes else UNDECIDED if "undecided" in outcomes else VERIFIED
