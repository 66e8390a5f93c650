"""The command line: reads what was asked, calls what does it, and turns what happened into an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from . import __version__
from .commands.asked import registry_of
from .commands.checking import plan, validate_command
from .commands.describing import doctor, new, plugins, schema
from .commands.reading import export, gate, report
from .commands.running import mine, run, train
from .diff.command import diff
from .errors import AuditError, ConfigError, ExitCode
from .share.command import share
from .verification.command import sign, verify

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
            registry_of().hook.register_commands(cli=self)


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


for command in (run, train, mine, validate_command, plan, report, gate, export, share, plugins, schema, doctor, new):
    cli.add_command(command)
cli.add_command(sign)
cli.add_command(verify)
cli.add_command(diff)


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
