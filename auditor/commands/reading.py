"""The commands that read a finished run and measure nothing: report, gate, export."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ExitCode
from .asked import RUN, be_finished, registry_of


@click.command()
@RUN
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(["html", "pdf"]), help="May be given twice; both unless given."
)
@click.option(
    "--audit", type=click.Path(path_type=Path), help="Also load the sections that this audit.yaml lists under plugins."
)
def report(run_folder: Path, formats: tuple[str, ...], audit: Path | None) -> int:
    """Render the report of a finished run again; measures nothing."""
    be_finished(run_folder)
    from ..evidence import read as evidence_of
    from ..report import render

    listed = evidence_of(run_folder).audit.get("plugins")
    if listed and audit is None:
        click.echo(f"auditor: sections of {', '.join(listed)} are left out; give --audit AUDIT.yaml to load them", err=True)
    files, failures = render(run_folder, formats or ("html", "pdf"), registry_of(audit))
    for name, path in files.items():
        click.echo(f"{name:5} {path}")
    for failure in failures:
        click.echo(f"auditor: section {failure.section} failed: {failure.error}", err=True)
    return int(ExitCode.INCOMPLETE if failures else ExitCode.COMPLETE)


@click.command()
@RUN
@click.option(
    "--audit", type=click.Path(path_type=Path), help="Judge by the gates of this audit.yaml instead of the run's own."
)
def gate(run_folder: Path, audit: Path | None) -> ExitCode:
    """Judge a finished run by its gates: a line for each, and the exit code; measures nothing."""
    be_finished(run_folder)
    from .. import ending
    from ..gated import line
    from ..regate import judge_again

    evidence, note = judge_again(run_folder, audit)
    for row in evidence.gates:
        click.echo(line(row))
    if note:
        click.echo(f"auditor: {note}", err=True)
    if ending.of_measurements(evidence) != ExitCode.COMPLETE:
        click.echo("auditor: the run itself is incomplete; its report opens with what failed", err=True)
    return ending.exit_code(evidence) if evidence.gates else ExitCode.INCOMPLETE


@click.command()
@RUN
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), required=True, help="What kind of tables.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the tables; RUN/export unless given.")
def export(run_folder: Path, kind: str, out: Path | None) -> None:
    """Write every number of a run as tables."""
    be_finished(run_folder)
    from ..export import export as write

    for path in write(run_folder, kind, out or run_folder / "export"):
        click.echo(str(path))
