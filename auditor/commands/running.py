"""The commands that compute: run, train, mine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from ..errors import ExitCode
from .asked import AUDIT, DEVICE, LIMIT, default_out


class _Telling(Protocol):
    """What has messages for the user."""

    @property
    def messages(self) -> Sequence[str]: ...


_Done = TypeVar("_Done", bound=_Telling)


@click.command()
@AUDIT
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; NAME-run beside NAME.yaml unless given.")
@DEVICE
@LIMIT
@click.option("--strict", is_flag=True, help="Stop at the first analysis that fails.")
@click.option("--fresh", is_flag=True, help="Forget what an earlier run has measured.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def run(audit: Path, out: Path | None, device: str, limit: int | None, strict: bool, fresh: bool, quiet: bool) -> ExitCode:
    """Audit the models and write the report; a run that was stopped goes on."""
    from ..validate import validate

    validate(audit)
    out = out or default_out(audit)
    click.get_current_context().find_root().obj = out
    from ..run import run as go

    result = _carried_out(
        lambda teller: go(audit, out, device=device, limit=limit, strict=strict, fresh=fresh, progress=teller), quiet
    )
    for name, path in (("html", result.html), ("pdf", result.pdf)):
        if path is not None:
            click.echo(f"{name:5} {path}")
    return ExitCode(result.exit_code)


@click.command()
@click.argument("written", metavar="TRAIN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the networks; NAME-run beside NAME.yaml unless given.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier training has left.")
@DEVICE
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def train(written: Path, out: Path | None, resume: bool, device: str, quiet: bool) -> ExitCode:
    """Train strategies x seeds x architectures, to be audited with `models: {from: OUT}`.

    On several GPUs or machines: torchrun --nproc-per-node=N -m auditor train ...
    """
    from ..training.config import read

    plan = read(written)
    out = out or default_out(written)
    click.get_current_context().find_root().obj = out
    from ..device import choose_device
    from ..training.train import train as go

    result = _carried_out(lambda teller: go(plan, out, resume=resume, device=choose_device(device), progress=teller), quiet)
    for line in result.lines:
        click.echo(line)
    if result.lines:
        click.echo(f"to audit them, write in an audit.yaml: models: {{from: {out}}}")
    return result.exit_code


@click.command()
@click.argument("written", metavar="MINE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the selection; NAME-run beside NAME.yaml unless given.")
@DEVICE
@click.option(
    "--simulate", is_flag=True, help="Play the loop of choosing, labelling and training with labels that are held back."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def mine(written: Path, out: Path | None, device: str, simulate: bool, quiet: bool) -> ExitCode:
    """Choose what to label next for rare classes: a ranked list, and a sheet of pictures with the reasons."""
    out = out or default_out(written)
    go = _simulation(written, out, device) if simulate else _selection(written, out, device)
    click.get_current_context().find_root().obj = out
    result = _carried_out(go, quiet)
    for line in result.lines:
        click.echo(line)
    for name, path in result.files.items():
        click.echo(f"{name:5} {path}")
    return ExitCode(result.exit_code)


def _selection(written: Path, out: Path, device: str) -> Callable[[Any], Any]:
    from ..selection.config import read

    plan = read(written)
    from ..device import choose_device
    from ..selection.mine import mine as go

    return lambda teller: go(plan, out, device=choose_device(device), progress=teller)


def _simulation(written: Path, out: Path, device: str) -> Callable[[Any], Any]:
    from ..selection.simulation_config import read

    plan = read(written)
    from ..device import choose_device
    from ..selection.simulate import simulate as go

    return lambda teller: go(plan, out, device=choose_device(device), progress=teller)


def _carried_out(work: Callable[[Any], _Done], quiet: bool) -> _Done:
    """What the work, handed somebody to tell its progress, comes to; its messages are told."""
    from .. import progress

    teller = progress.choose(quiet)
    try:
        result = work(teller)
    finally:
        teller.finish()
    for message in result.messages:
        click.echo(message, err=True)
    return result
