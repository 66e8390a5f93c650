"""Says on stderr how far a run is: a bar with the time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

QUIET_SECONDS = 10.0


class Progress(Protocol):
    """What a run tells: the start of a stretch of work (one model, say), each step of it, and its end."""

    def start(self, total: int, label: str) -> None:
        """A stretch of `total` steps begins; one that was still open ends."""

    def advance(self, n: int, note: str = "") -> None:
        """n more steps are done."""

    def finish(self) -> None:
        """The stretch is over, complete or not."""


class Silence:
    """Says nothing."""

    def start(self, total: int, label: str) -> None:
        """Begin in silence."""

    def advance(self, n: int, note: str = "") -> None:
        """Go on in silence."""

    def finish(self) -> None:
        """End in silence."""


class Lines:
    """A line at the start and the end of a stretch, and at most one every ten seconds in between."""

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock = out or sys.stderr, clock
        self._label: str | None = None
        self._total = self._done = 0
        self._began = self._spoke = 0.0

    def start(self, total: int, label: str) -> None:
        """Say what begins."""
        self.finish()
        self._label, self._total, self._done = label, total, 0
        self._began = self._spoke = self._clock()
        self._say(f"{label}: 0 of {total:,}")

    def advance(self, n: int, note: str = "") -> None:
        """Say how far it is, if nothing was said for a while."""
        self._done += n
        now = self._clock()
        if self._label is not None and now - self._spoke >= QUIET_SECONDS:
            self._spoke = now
            left = (now - self._began) / self._done * (self._total - self._done) if self._done else 0.0
            parts = (f"{self._label}: {self._done:,} of {self._total:,}", f"{duration(left)} left" if self._done else "", note)
            self._say(", ".join(part for part in parts if part))

    def finish(self) -> None:
        """Say that it is over."""
        if self._label is not None:
            self._say(f"{self._label}: {self._done:,} of {self._total:,} in {duration(self._clock() - self._began)}")
            self._label = None

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


class Bar:
    """A bar with the time that is left; rich draws it."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None

    def start(self, total: int, label: str) -> None:
        """Draw an empty bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.finish()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        note = TextColumn("{task.fields[note]}", markup=False)
        self._bars = Progress(*columns, TimeRemainingColumn(), note, console=Console(stderr=True))
        self._bars.add_task(label, total=total, note="")
        self._bars.start()

    def advance(self, n: int, note: str = "") -> None:
        """Fill the bar a little more."""
        if self._bars is not None:
            task = self._bars.tasks[0]
            self._bars.update(task.id, advance=n, note=note or task.fields["note"])

    def finish(self) -> None:
        """Leave the bar as it is."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def choose(quiet: bool = False) -> Progress:
    """The progress that suits where stderr goes."""
    if quiet:
        return Silence()
    return Bar() if sys.stderr.isatty() else Lines()


def duration(seconds: float) -> str:
    """A length of time in words short enough for a line.

    >>> duration(8), duration(95), duration(7260)
    ('8 s', '1 min 35 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
