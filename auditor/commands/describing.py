"""The commands that describe auditor itself and this machine, or begin a plugin: plugins, schema, doctor, new."""

from __future__ import annotations

from pathlib import Path

import click

from .asked import registry_of


@click.command()
@click.argument("name", required=False)
@click.option("--audit", type=click.Path(path_type=Path), help="Also load what this audit.yaml lists under plugins.")
def plugins(name: str | None, audit: Path | None) -> None:
    """List what can be named in audit.yaml; with NAME, its options and metrics."""
    from .. import catalogue

    registry = registry_of(audit)
    click.echo(catalogue.describe(registry, name) if name else catalogue.table(registry))


@click.command()
@click.option("--audit", type=click.Path(path_type=Path), help="Also describe what this audit.yaml lists under plugins.")
@click.option("--train", "kind", flag_value="train", help="That of train.yaml.")
@click.option("--mine", "kind", flag_value="mine", help="That of mine.yaml.")
def schema(audit: Path | None, kind: str | None) -> None:
    """Print the JSON schema of audit.yaml, for editors."""
    import json

    from ..schema import schema as shape
    from ..selection.schema import schema as shape_of_mining
    from ..training.schema import schema as shape_of_training

    shapes = {"train": shape_of_training, "mine": shape_of_mining}
    click.echo(json.dumps(shapes.get(kind or "", shape)(registry_of(audit)), indent=1))


@click.command()
def doctor() -> int:
    """Check this machine: libraries, fonts, decoders, GPU; each finding names the command that mends it."""
    from .. import doctor as clinic

    findings = clinic.examine()
    click.echo(clinic.table(findings))
    return int(clinic.exit_code(findings))


@click.command()
@click.argument("kind", type=click.Choice(["dataset", "model", "strategy", "attribution", "analysis", "section"]))
@click.argument("name")
def new(kind: str, name: str) -> None:
    """Write NAME.py here, a working plugin to start from."""
    from .. import scaffold

    path = scaffold.write(kind, name, Path.cwd())
    click.echo(f"{path.name} is written; add to audit.yaml:\n\n{scaffold.lines(kind, name)}")
