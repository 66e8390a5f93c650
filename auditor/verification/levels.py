"""The levels one after the other, each only where the one before left nothing to be desired."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import AuditError, ConfigError
from . import files, signature
from .found import Level

RECOMPUTED = "the numbers, intervals and verdicts follow from the values of the cases, and the report shows them"
NOT_RECOMPUTED = "that the networks gave these values for these images (level 3 asks them again)"
NO_LIST = "is a run folder, which has no list of its files and cannot be signed; auditor share makes a bundle that has one"


def climb(
    folder: Path, last: int, allowed: Path | None, signer: str | None, audit: Path | None, batches: int, seed: int
) -> Iterator[Level]:
    """Level 1 up to `last`; stops at the first that finds a difference, since what comes after would rest on it."""
    bundle = is_bundle(folder)
    if not bundle and (last == 1 or signer is not None):
        raise ConfigError(f"{folder}: {NO_LIST}")
    if bundle:
        if last == 3:
            raise ConfigError(f"{folder}: level 3 needs the run folder; a bundle does not tell which images it is about")
        first = files.check(folder)
        signature.check(folder, first, allowed, signer)
        yield first
        if last == 1 or first.differences:
            return
    second = _second(folder, bundle, audit)
    yield second
    if last == 2 or second.differences or audit is None:
        return
    from .rerun import check

    yield check(folder, audit, batches, seed)


def is_bundle(folder: Path) -> bool:
    """Whether it is a shared bundle rather than a run folder; a ledger stands in the latter only."""
    return (folder / files.SUMS).exists() or not (folder / "plan.json").exists()


def _second(folder: Path, bundle: bool, audit: Path | None) -> Level:
    from ..config import read
    from ..evidence import read as evidence_of
    from ..registry import Registry
    from . import numbers, shown

    config = read(audit) if audit else None
    registry = Registry(config.plugins, audit.absolute().parent) if config and audit else Registry()
    level = Level(2, RECOMPUTED, NOT_RECOMPUTED)
    told = numbers.told_in(folder)
    try:
        if bundle:
            from .bundle_numbers import of_bundle

            of_bundle(folder, told, registry, level)
        else:
            numbers.of_run(folder, told, registry, level)
            level.said.insert(0, "it is a run folder, whose files nobody has listed or signed")
            told = evidence_of(folder)
        strangers = bool(told.audit["plugins"]) and audit is None and not bundle
        shown.check(folder, told, registry, level, strangers)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # results.json may be anybody's
        place = folder / "results.json"
        raise AuditError(f"{place}: does not hold what auditor writes there ({type(error).__name__}: {error})") from error
    return level
