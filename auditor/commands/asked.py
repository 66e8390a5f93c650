"""What commands have in common: their arguments, where they write, what they read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import AuditError, ConfigError

if TYPE_CHECKING:
    from ..registry import Registry

AUDIT = click.argument("audit", type=click.Path(path_type=Path))
DEVICE = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
LIMIT = click.option("--limit", type=click.IntRange(min=1), help="Use at most this many images.")
RUN = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))


def default_out(audit: Path) -> Path:
    """`NAME-run` beside NAME.yaml."""
    return audit.parent / f"{audit.stem}-run"


def registry_of(audit: Path | None = None) -> Registry:
    """The built-in plugins, and those that an audit.yaml lists."""
    from ..registry import Registry

    if audit is None:
        return Registry()
    from ..config import draft

    found = draft(audit)
    listed = found.data.get("plugins", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        found.problems.stop()
        raise ConfigError(f"{found.places.place('plugins')}: found no list of names")
    return Registry(listed, audit.absolute().parent, found.places.place)


def be_finished(folder: Path) -> None:
    """Raise AuditError unless this is the folder of a finished run."""
    if not folder.is_dir():
        raise AuditError(f"{folder}: found no such folder; allowed: the folder of a finished run")
    if not (folder / "results.json").is_file():
        raise AuditError(f"{folder}: found no results.json; allowed: the folder of a finished run (auditor run AUDIT.yaml)")
