"""`auditor diff OLD NEW`: what changed between two finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from .difference import Difference

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option("--gates", type=FILE, help="Hold the change against the gates of this file, written as in audit.yaml.")
@click.option(
    "--margin", "margins", multiple=True, metavar="METRIC=SIZE", help="A change that does not matter; may be given again."
)
@click.option("--junit", "junit_file", type=FILE, help="Also write JUnit XML here.")
@click.option("--html", "html_file", type=FILE, help="Also write a page here.")
def diff(
    old: Path,
    new: Path,
    kind: str,
    gates: Path | None,
    margins: tuple[str, ...],
    junit_file: Path | None,
    html_file: Path | None,
) -> ExitCode:
    """Say what changed from the finished run OLD to the finished run NEW, pair by pair; measures nothing.

    Ends with 1 if a blocking gate of --gates failed; with 3 if one is inconclusive or had nothing to evaluate, if a run is
    incomplete or if nothing could be paired; otherwise with 0, whatever changed.
    """
    given = dict(_margin(text) for text in margins)
    from .difference import difference

    found = difference(old, new, gates, given)
    click.echo(_printed(found, kind), nl=False)
    if junit_file is not None:
        from ..ledger import publish
        from .junit import junit

        publish(junit_file, junit(found))
    if html_file is not None:
        from ..ledger import publish
        from .page import page

        publish(html_file, page(found).encode("utf-8"))
    return found.exit_code


def _printed(found: Difference, kind: str) -> str:
    if kind == "json":
        return found.to_json()
    if kind == "markdown":
        from .markdown import markdown

        return markdown(found)
    from .text import text

    return text(found)


def _margin(text: str) -> tuple[str, float]:
    name, equals, size = text.partition("=")
    try:
        if not equals or not name:
            raise ValueError
        return name, float(size)
    except ValueError:
        raise ConfigError(f"--margin {text}: allowed: METRIC=SIZE, for example auroc=0.02") from None
