"""`auditor sign` and `auditor verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from .found import Level

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--key", type=FILE, required=True, help="Private SSH key; its public half is what receivers are given.")
def sign(bundle: Path, key: Path) -> None:
    """Vouch for a shared bundle: SHA256SUMS.sig, made by ssh-keygen, offline."""
    from . import signature

    _folder(bundle)
    click.echo(str(signature.sign(bundle, key)))
    click.echo(signature.MEANS)


@click.command()
@click.argument("folder", metavar="BUNDLE_OR_RUN", type=FILE)
@click.option(
    "--level",
    type=click.IntRange(1, 3),
    default=2,
    show_default=True,
    help="1: these are the files. 2: the numbers follow from the cases. 3: the networks still give these values.",
)
@click.option("--allowed-signers", type=FILE, help="Who may sign: a file with a line `NAME PUBLIC-KEY` per person.")
@click.option("--signer", help="Who must have signed: a NAME of that file.")
@click.option("--audit", type=FILE, help="The audit.yaml: its plugins, and for level 3 its models and data.")
@click.option("--batches", type=click.IntRange(min=1), default=2, show_default=True, help="Level 3: batches per network.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Level 3: which batches.")
def verify(
    folder: Path, level: int, allowed_signers: Path | None, signer: str | None, audit: Path | None, batches: int, seed: int
) -> ExitCode:
    """Check a shared bundle or a run folder, made by whomever; each level says what it proved and what it did not."""
    from .found import exit_code

    _folder(folder)
    if (allowed_signers is None) != (signer is None):
        raise ConfigError("--allowed-signers and --signer belong together: who may sign, and who must have")
    if allowed_signers is not None:
        from .keys import names_in

        names_in(allowed_signers)
    if level == 3 and audit is None:
        raise ConfigError("level 3 asks the networks again: give --audit AUDIT.yaml with its models and data")
    from .levels import climb

    found: list[Level] = []
    for one in climb(folder, level, allowed_signers, signer, audit, batches, seed):
        found.append(one)
        for line in one.lines():
            click.echo(line)
    return exit_code(found)


def _folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: found no such folder; allowed: a bundle of auditor share, or the folder of a finished run"
        )
