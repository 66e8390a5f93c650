"""Everything auditor raises on purpose, and the exit codes that answer to it.

* AuditError
  x ConfigError        audit.yaml cannot be read as an audit
  x ModelRefused       a checkpoint is unsafe, broken, or not what was declared
  x DatasetError       the data set as a whole cannot be listed
  x Unreadable         one image cannot be used; it is quarantined and the audit goes on
  x PluginError        a plugin broke its contract, or two claim one name
  x OutputError        the run folder cannot be used (locked, full, read-only)
  x MissingLibrary     something that is not installed is needed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What `auditor` tells the shell; a promise to CI jobs. Precedence: 4, 5, 1, 3."""

    COMPLETE = 0
    GATE_FAILED = 1
    REFUSED = 2
    INCOMPLETE = 3
    INTERNAL_ERROR = 4
    OUTPUT_UNUSABLE = 5
    INTERRUPTED = 130
    TERMINATED = 143


SHOWN_NAMES = 12
"""A message lists at most this many names of what is allowed."""

PRECEDENCE = (
    ExitCode.INTERNAL_ERROR, ExitCode.OUTPUT_UNUSABLE, ExitCode.GATE_FAILED, ExitCode.INCOMPLETE, ExitCode.COMPLETE
)  # fmt: skip


def gravest(*codes: ExitCode) -> ExitCode:
    """The one of several exit codes of an audit that the shell is told.

    >>> gravest(ExitCode.INCOMPLETE, ExitCode.GATE_FAILED, ExitCode.COMPLETE).name
    'GATE_FAILED'
    """
    return min(codes, key=PRECEDENCE.index)


class AuditError(Exception):
    """Base of all; the command line prints these without a traceback."""

    exit_code = ExitCode.REFUSED


class ConfigError(AuditError):
    """audit.yaml cannot be read as an audit; the message has a line per mistake."""


class ModelRefused(AuditError):
    """A checkpoint is unsafe, broken, or not what was declared."""


class DatasetError(AuditError):
    """The data set as a whole cannot be listed."""


class Unreadable(AuditError):
    """One image cannot be used: `reason` is a short code such as `decode:truncated`, the message says more."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class PluginError(AuditError):
    """A plugin broke its contract, or two claim one name."""


class OutputError(AuditError):
    """The run folder cannot be used; what is already in it stays valid and can be resumed."""

    exit_code = ExitCode.OUTPUT_UNUSABLE


class MissingLibrary(AuditError):
    """Something that is not installed is needed; the message names it and the command that brings it."""


def nearest(found: object, allowed: Iterable[object]) -> str:
    """`; did you mean layer4?`, or nothing when no allowed name is near; capitals and small letters are alike.

    >>> nearest("layerr4", ["layer3", "layer4"]), nearest("AUROC", ["auroc"])
    ('; did you mean layer4?', '; did you mean auroc?')
    >>> nearest("x", ["layer3", "layer4"])
    ''
    """
    close = closest(found, allowed)
    return "" if close is None else f"; did you mean {close}?"


def closest(found: object, allowed: Iterable[object]) -> str | None:
    """The allowed name that was probably meant, or None."""
    close = _close(found, [str(name) for name in allowed], 1)
    return close[0] if close else None


def among(found: object, allowed: Iterable[object]) -> str:
    """The allowed names, and which of them was probably meant; of more than 12 the nearest first, and how many more there are.

    >>> among("layerr4", ["layer3", "layer4"])
    'layer3, layer4; did you mean layer4?'
    >>> among("c30", [f"c{number}" for number in range(40)]).partition(", ")[0], among("?", map(str, range(14)))
    ('c30', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more')
    """
    names = [str(name) for name in allowed]
    return listed(found, names) + nearest(found, names)


def listed(found: object, allowed: Iterable[object]) -> str:
    """The same without the question."""
    names = [str(name) for name in allowed]
    if len(names) <= SHOWN_NAMES:
        return ", ".join(names)
    near = _close(found, names, SHOWN_NAMES)
    shown = [*near, *(name for name in names if name not in near)][:SHOWN_NAMES]
    return f"{', '.join(shown)} and {len(names) - len(shown)} more"


def _close(found: object, names: Sequence[str], most: int) -> list[str]:
    """Those of the names that look like what was found, the nearest first."""
    spelt = {name.casefold(): name for name in reversed(names)}
    spelt |= {name: name for name in names if name == str(found)}
    return [spelt[close] for close in difflib.get_close_matches(str(found).casefold(), spelt, most, 0.6)]
