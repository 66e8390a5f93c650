"""Every place a plugin can join in.

A hook returns plain values and calls no other hook. An implementation may take any subset of the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    import click
    import jinja2

hookspec = HookspecMarker("auditor")
hookimpl = HookimplMarker("auditor")

# What can be plugged in: each returns classes, found by their `name`.


@hookspec
def register_datasets() -> list[type]:
    """Return Dataset classes."""


@hookspec
def register_models() -> list[type]:
    """Return ModelLoader classes."""


@hookspec
def register_strategies() -> list[type]:
    """Return Strategy classes."""


@hookspec
def register_attributions() -> list[type]:
    """Return Attribution classes."""


@hookspec
def register_analyses() -> list[type]:
    """Return Analysis classes."""


@hookspec
def register_sections() -> list[type]:
    """Return Section classes."""


# The command line, the judgement, the templates.


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add more `auditor ...` commands to the click group; called for installed built-ins only."""


@hookspec
def judge(comparisons: list[Any], gaps: list[Any]) -> list[Any]:
    """Return findings that the general rule cannot make."""


@hookspec
def prepare_environment(environment: jinja2.Environment) -> None:
    """Add filters and globals before the report is rendered."""


# Observers: progress bars, trackers, notifications. What they return is ignored.


@hookspec
def plan_made(plan: Any) -> None:
    """The plan stands and has been written."""


@hookspec
def chunk_done(model: str, chunk: int, done: int, total: int) -> None:
    """A chunk of samples has been measured for a model and is on disk; `done` of `total` chunks of the audit."""


@hookspec
def audit_done(evidence: Any, report: Any) -> None:
    """Results and report are written; `report` maps each format to its path."""
