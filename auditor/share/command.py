"""`auditor share`: a finished run as a folder that can be given away."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import AuditError, ExitCode


@click.command()
@click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle; RUN/share unless given.")
@click.option("--pictures", is_flag=True, help="Also share the pictures of the report; burned-in text is not detected.")
def share(run_folder: Path, out: Path | None, pictures: bool) -> ExitCode:
    """Write a copy of a finished run that can be given away: no patient, no path, no cell of fewer than 5 patients."""
    if not (run_folder / "results.json").is_file():
        raise AuditError(f"{run_folder}: found no results.json; allowed: the folder of a finished run (auditor run AUDIT.yaml)")
    from .bundle import share as write

    signed = ((out or run_folder / "share") / "SHA256SUMS.sig").exists()
    folder, evidence, messages = write(run_folder, out, pictures)
    told = evidence.audit["shared"]
    withheld = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in told["withheld"].items() if n)
    click.echo(f"share {folder}")
    click.echo(f"  left out       {withheld or 'nothing'}")
    click.echo(f"  classes        {', '.join(told['classes_withheld']) or 'none'} withheld, for fewer than 5 patients")
    click.echo(f"  pictures       {told['pictures'] or 'none'}")
    click.echo(
        "  said on purpose: title, card, names of classes, strategies, architectures and layers; read them before you send it"
    )
    if signed:
        click.echo("  signature      that of the copy before is gone with it; sign anew")
    for message in messages:
        click.echo(f"auditor: {message}", err=True)
    return ExitCode.INCOMPLETE if messages else ExitCode.COMPLETE
