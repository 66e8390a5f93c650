"""The command line: reads what was asked, calls what does it, and turns what happened into an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .diff.command import diff
from .errors import AuditError, ConfigError, ExitCode
from .share.command import share
from .verification.command import sign, verify
from .wording import how_many, named

if TYPE_CHECKING:
    from .registry import Registry

LOG = "log.txt"
ADVICE = "what is finished is kept; the same command (auditor train: with --resume) goes on from there"


class Terminated(BaseException):
    """SIGTERM arrived."""


class Commands(click.Group):
    """The commands below, and those that plugins add; plugins are asked only when a name is not known here."""

    _asked = False

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        if name not in self.commands:
            self._ask_plugins()
        return super().get_command(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our commands in the order one needs them, then those of plugins."""
        self._ask_plugins()
        return list(self.commands)

    def _ask_plugins(self) -> None:
        if not self._asked:
            self._asked = True
            _registry().hook.register_commands(cli=self)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="auditor", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
def cli(debug: bool) -> None:
    """Audits what medical image classifiers look at.

    \b
    auditor doctor                    is this machine ready?
    auditor validate audit.yaml       is the audit well written?
    auditor plan audit.yaml           what would it cost?
    auditor run audit.yaml            audit, and write the report
    auditor gate audit-run            do the gates of a finished run hold?
    auditor verify audit-run          do its numbers follow from the cases?
    auditor share audit-run           a copy to give away, with no patient in it
    auditor diff old-run new-run      what changed between two runs?
    auditor train train.yaml          train the networks to audit, where there are none yet
    auditor mine mine.yaml            choose what to label next for the classes they miss
    """


AUDIT = click.argument("audit", type=click.Path(path_type=Path))
DEVICE = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
LIMIT = click.option("--limit", type=click.IntRange(min=1), help="Use at most this many images.")
RUN = click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))


@cli.command()
@AUDIT
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; NAME-run beside NAME.yaml unless given.")
@DEVICE
@LIMIT
@click.option("--strict", is_flag=True, help="Stop at the first analysis that fails.")
@click.option("--fresh", is_flag=True, help="Forget what an earlier run has measured.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def run(audit: Path, out: Path | None, device: str, limit: int | None, strict: bool, fresh: bool, quiet: bool) -> ExitCode:
    """Audit the models and write the report; a run that was stopped goes on."""
    from . import progress
    from .validate import validate

    validate(audit)
    out = out or default_out(audit)
    click.get_current_context().find_root().obj = out
    from .run import run as go

    teller = progress.choose(quiet)
    try:
        result = go(audit, out, device=device, limit=limit, strict=strict, fresh=fresh, progress=teller)
    finally:
        teller.finish()
    for message in result.messages:
        click.echo(message, err=True)
    for name, path in (("html", result.html), ("pdf", result.pdf)):
        if path is not None:
            click.echo(f"{name:5} {path}")
    return ExitCode(result.exit_code)


@cli.command()
@click.argument("written", metavar="TRAIN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the networks; NAME-run beside NAME.yaml unless given.")
@click.option("--resume", is_flag=True, help="Go on with what an earlier training has left.")
@DEVICE
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def train(written: Path, out: Path | None, resume: bool, device: str, quiet: bool) -> ExitCode:
    """Train strategies x seeds x architectures, to be audited with `models: {from: OUT}`.

    On several GPUs or machines: torchrun --nproc-per-node=N -m auditor train ...
    """
    from . import progress
    from .training.config import read

    plan = read(written)
    out = out or default_out(written)
    click.get_current_context().find_root().obj = out
    from .device import choose_device
    from .training.train import train as go

    teller = progress.choose(quiet)
    try:
        result = go(plan, out, resume=resume, device=choose_device(device), progress=teller)
    finally:
        teller.finish()
    for message in result.messages:
        click.echo(message, err=True)
    for line in result.lines:
        click.echo(line)
    if result.lines:
        click.echo(f"to audit them, write in an audit.yaml: models: {{from: {out}}}")
    return result.exit_code


@cli.command()
@click.argument("written", metavar="MINE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the selection; NAME-run beside NAME.yaml unless given.")
@DEVICE
@click.option(
    "--simulate", is_flag=True, help="Play the loop of choosing, labelling and training with labels that are held back."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the result.")
def mine(written: Path, out: Path | None, device: str, simulate: bool, quiet: bool) -> ExitCode:
    """Choose what to label next for rare classes: a ranked list, and a sheet of pictures with the reasons."""
    from . import progress

    out = out or default_out(written)
    go = _simulation(written, out, device) if simulate else _selection(written, out, device)
    click.get_current_context().find_root().obj = out
    teller = progress.choose(quiet)
    try:
        result = go(teller)
    finally:
        teller.finish()
    for message in result.messages:
        click.echo(message, err=True)
    for line in result.lines:
        click.echo(line)
    for name, path in result.files.items():
        click.echo(f"{name:5} {path}")
    return ExitCode(result.exit_code)


def _selection(written: Path, out: Path, device: str) -> Callable[[Any], Any]:
    from .selection.config import read

    plan = read(written)
    from .device import choose_device
    from .selection.mine import mine as go

    return lambda teller: go(plan, out, device=choose_device(device), progress=teller)


def _simulation(written: Path, out: Path, device: str) -> Callable[[Any], Any]:
    from .selection.simulation_config import read

    plan = read(written)
    from .device import choose_device
    from .selection.simulate import simulate as go

    return lambda teller: go(plan, out, device=choose_device(device), progress=teller)


@cli.command(name="validate")
@AUDIT
def validate_command(audit: Path) -> None:
    """Check audit.yaml (or a train.yaml, or a mine.yaml), tables and headers of checkpoints; opens no image, reads no weight."""
    from .kinds import kind_of
    from .validate import validate

    others = {"simulate.yaml": _validate_simulation, "train.yaml": _validate_training, "mine.yaml": _validate_mining}
    if check := others.get(kind_of(audit)):
        check(audit)
        return
    config, _ = validate(audit)
    click.echo(f"{audit} is good: {config.title}")
    click.echo(f"  dataset       {config.dataset.use}")
    click.echo(f"  models        {len(config.models)}, {named('strategy', config.strategies)}, reference {config.reference}")
    click.echo(f"  attributions  {', '.join(use.use for use in config.attributions) or 'none'}")
    click.echo(f"  analyses      {', '.join(use.use for use in config.analyses)}")
    click.echo(f"  gates         {len(config.gates) or 'none'}")


def _validate_training(written: Path) -> None:
    from .training.config import read

    plan = read(written)
    click.echo(f"{written} is good: {plan.config.title}")
    click.echo(f"  dataset       {plan.config.dataset.use}")
    click.echo(
        f"  networks      {len(plan.runs)}: {how_many(len(plan.config.models), 'architecture')}, {how_many(len(plan.config.seeds), 'seed')}"
    )
    click.echo(f"  strategies    {', '.join(combination.called for combination in plan.config.strategies)}")
    click.echo(
        f"  recipe        {plan.config.recipe.use}: {how_many(plan.recipe.epochs, 'epoch')}, batches of {plan.recipe.batch}"
    )


def _validate_simulation(written: Path) -> None:
    from .selection.simulation_config import read

    config = read(written).config
    click.echo(f"{written} is good: {config.title}")
    click.echo(f"  dataset       {config.dataset.use}, {config.imbalance.replace('_', ' ')} imbalance of {config.ratio:g} to 1")
    click.echo(f"  classes       {', '.join(config.classes)}")
    click.echo(f"  functions     {', '.join(config.functions)}")
    click.echo(
        f"  networks      {config.networks}: {how_many(config.rounds, 'round')} of {how_many(config.budget, 'image')}, {how_many(len(config.seeds), 'seed')}"
    )


def _validate_mining(written: Path) -> None:
    from .selection.config import read

    plan = read(written)
    config = plan.config
    click.echo(f"{written} is good: {config.title}")
    click.echo(f"  model         {plan.audited.model if plan.audited else plan.loader.name}")
    click.echo(f"  pool          {config.pool.use}")
    click.echo(
        f"  query         {config.query.use}, {how_many(len(config.query.ids), 'id') if config.query.ids else config.query.choose}"
    )
    click.echo(f"  classes       {', '.join(plan.classes)}")
    click.echo(f"  choice        {how_many(config.budget, 'image')} by {config.function}")
    for why in plan.why:
        click.echo(f"  {why}")


@cli.command()
@AUDIT
@DEVICE
@LIMIT
def plan(audit: Path, device: str, limit: int | None) -> None:
    """Say what a run (or a training, or a selection) would do: images, passes through networks, bytes, time."""
    from .kinds import kind_of
    from .problems import Problems
    from .validate import validate

    kind = kind_of(audit)
    if kind == "simulate.yaml":
        raise ConfigError(
            f"{audit}: is a simulation; auditor validate says how many networks it trains, each as auditor train would"
        )
    if kind == "train.yaml":
        from .device import choose_device
        from .training.cost import describe as describe_training

        click.echo(describe_training(audit, choose_device(device)))
        return
    if kind == "mine.yaml":
        from .device import choose_device
        from .selection.config import read as read_mining
        from .selection.cost import describe as describe_mining

        click.echo(describe_mining(read_mining(audit), choose_device(device)))
        return
    config, registry = validate(audit)
    from .device import choose_device
    from .estimate import describe
    from .plan import make

    problems = Problems()
    made = make(config, registry, limit=limit, problems=problems, device=choose_device(device))
    problems.stop()
    click.echo(describe(made))


@cli.command()
@RUN
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(["html", "pdf"]), help="May be given twice; both unless given."
)
@click.option(
    "--audit", type=click.Path(path_type=Path), help="Also load the sections that this audit.yaml lists under plugins."
)
def report(run_folder: Path, formats: tuple[str, ...], audit: Path | None) -> int:
    """Render the report of a finished run again; measures nothing."""
    _finished(run_folder)
    from .evidence import read as evidence_of
    from .report import render

    listed = evidence_of(run_folder).audit.get("plugins")
    if listed and audit is None:
        click.echo(f"auditor: sections of {', '.join(listed)} are left out; give --audit AUDIT.yaml to load them", err=True)
    files, failures = render(run_folder, formats or ("html", "pdf"), _registry(audit))
    for name, path in files.items():
        click.echo(f"{name:5} {path}")
    for failure in failures:
        click.echo(f"auditor: section {failure.section} failed: {failure.error}", err=True)
    return int(ExitCode.INCOMPLETE if failures else ExitCode.COMPLETE)


@cli.command()
@RUN
@click.option(
    "--audit", type=click.Path(path_type=Path), help="Judge by the gates of this audit.yaml instead of the run's own."
)
def gate(run_folder: Path, audit: Path | None) -> ExitCode:
    """Judge a finished run by its gates: a line for each, and the exit code; measures nothing."""
    _finished(run_folder)
    from . import ending
    from .gated import line
    from .regate import judge_again

    evidence, note = judge_again(run_folder, audit)
    for row in evidence.gates:
        click.echo(line(row))
    if note:
        click.echo(f"auditor: {note}", err=True)
    if ending.of_measurements(evidence) != ExitCode.COMPLETE:
        click.echo("auditor: the run itself is incomplete; its report opens with what failed", err=True)
    return ending.exit_code(evidence) if evidence.gates else ExitCode.INCOMPLETE


@cli.command()
@RUN
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), required=True, help="What kind of tables.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the tables; RUN/export unless given.")
def export(run_folder: Path, kind: str, out: Path | None) -> None:
    """Write every number of a run as tables."""
    _finished(run_folder)
    from .export import export as write

    for path in write(run_folder, kind, out or run_folder / "export"):
        click.echo(str(path))


cli.add_command(share)


@cli.command()
@click.argument("name", required=False)
@click.option("--audit", type=click.Path(path_type=Path), help="Also load what this audit.yaml lists under plugins.")
def plugins(name: str | None, audit: Path | None) -> None:
    """List what can be named in audit.yaml; with NAME, its options and metrics."""
    from . import catalogue

    registry = _registry(audit)
    click.echo(catalogue.describe(registry, name) if name else catalogue.table(registry))


@cli.command()
@click.option("--audit", type=click.Path(path_type=Path), help="Also describe what this audit.yaml lists under plugins.")
@click.option("--train", "kind", flag_value="train", help="That of train.yaml.")
@click.option("--mine", "kind", flag_value="mine", help="That of mine.yaml.")
def schema(audit: Path | None, kind: str | None) -> None:
    """Print the JSON schema of audit.yaml, for editors."""
    import json

    from .schema import schema as shape
    from .selection.schema import schema as shape_of_mining
    from .training.schema import schema as shape_of_training

    shapes = {"train": shape_of_training, "mine": shape_of_mining}
    click.echo(json.dumps(shapes.get(kind or "", shape)(_registry(audit)), indent=1))


@cli.command()
def doctor() -> int:
    """Check this machine: libraries, fonts, decoders, GPU; each finding names the command that mends it."""
    from . import doctor as clinic

    findings = clinic.examine()
    click.echo(clinic.table(findings))
    return int(clinic.exit_code(findings))


@cli.command()
@click.argument("kind", type=click.Choice(["dataset", "model", "strategy", "attribution", "analysis", "section"]))
@click.argument("name")
def new(kind: str, name: str) -> None:
    """Write NAME.py here, a working plugin to start from."""
    from . import scaffold

    path = scaffold.write(kind, name, Path.cwd())
    click.echo(f"{path.name} is written; add to audit.yaml:\n\n{scaffold.lines(kind, name)}")


cli.add_command(sign)
cli.add_command(verify)
cli.add_command(diff)


def default_out(audit: Path) -> Path:
    """`NAME-run` beside NAME.yaml."""
    return audit.parent / f"{audit.stem}-run"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; what a user did wrong is a line on stderr, never a traceback."""
    args = list(sys.argv[1:] if argv is None else argv)
    before = _on_terminate()
    context: dict[str, Any] = {}
    try:
        code = _guarded(lambda: _invoke(args, context), debug="--debug" in args, context=context)
        _leave_at_once(code)
        return code
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _leave_at_once(code: int) -> None:
    """Where torchrun started several processes: end without tearing down, because threads of torch's that still run then abort it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _invoke(args: list[str], context: dict[str, Any]) -> int:
    with cli.make_context("auditor", args) as ctx:
        context["root"] = ctx
        result = cli.invoke(ctx)
        sys.stdout.flush()
        return int(result or 0)


def _guarded(call: Callable[[], int], debug: bool, context: dict[str, Any]) -> int:
    try:
        return call()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return int(ExitCode.REFUSED)
    except ConfigError as error:
        count = str(error).count("\n") + 1
        return _tell(f"{count} mistakes\n{error}" if count > 1 else str(error), error.exit_code)
    except AuditError as error:
        return _tell(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _tell(f"interrupted; {ADVICE}", ExitCode.INTERRUPTED)
    except Terminated:
        return _tell(f"terminated; {ADVICE}", ExitCode.TERMINATED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.COMPLETE)
    except Exception as error:
        return _internal(error, debug, context)


def _internal(error: Exception, debug: bool, context: dict[str, Any]) -> int:
    trace = "".join(traceback.format_exception(error))
    folder = context["root"].obj if "root" in context else None
    if debug:
        click.echo(trace, err=True)
        kept = "above"
    elif isinstance(folder, Path) and _append(folder / LOG, trace):
        kept = f"in {folder / LOG}"
    else:
        kept = "shown by `auditor --debug ...`"
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    message = f"internal error: {what}; this is our mistake, please report it with the traceback {kept}"
    return _tell(message, ExitCode.INTERNAL_ERROR)


def _append(log: Path, text: str) -> bool:
    if not log.parent.is_dir():
        return False
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _tell(message: str, code: ExitCode) -> int:
    click.echo(f"auditor: {message}", err=True)
    return int(code)


def _on_terminate() -> Any:
    """Turn SIGTERM into an exception, so that it ends like an interrupt; only the main thread may."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        return signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return None


def _registry(audit: Path | None = None) -> Registry:
    from .registry import Registry

    if audit is None:
        return Registry()
    from .config import draft

    found = draft(audit)
    listed = found.data.get("plugins", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        found.problems.stop()
        raise ConfigError(f"{found.places.place('plugins')}: found no list of names")
    return Registry(listed, audit.absolute().parent, found.places.place)


def _finished(folder: Path) -> None:
    if not folder.is_dir():
        raise AuditError(f"{folder}: found no such folder; allowed: the folder of a finished run")
    if not (folder / "results.json").is_file():
        raise AuditError(f"{folder}: found no results.json; allowed: the folder of a finished run (auditor run AUDIT.yaml)")
