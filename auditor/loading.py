"""Brings in the code that audit.yaml lists under `plugins`: loose .py files and installed distributions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata as metadata
import re
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from .errors import PluginError, among, nearest

GROUP = "auditor"


class Source(NamedTuple):
    """Something that implements hooks, and the file it came from."""

    module: Any
    file: Path


def import_file(name: str, base: Path) -> Source:
    """The module of a loose .py file, imported by its path under a name of its own; sys.path is left alone.

    The module is marked with `__auditor_plugin__ = True`. A file that has not changed is imported once. Raises PluginError "file:line: what" if it cannot be imported.
    """
    file = (base / name).resolve()
    if not file.is_file():
        there = [found.name for found in file.parent.glob("*.py")] if file.parent.is_dir() else []
        raise PluginError(f"no file {name!r} in {base}{nearest(file.name, there)}")
    module_name = f"auditor_loose_{re.sub(r'[^0-9A-Za-z]', '_', file.stem)}_{_digest(str(file).encode())[:8]}"
    digest = _digest(file.read_bytes())
    known = sys.modules.get(module_name)
    if getattr(known, "__auditor_digest__", None) == digest:
        return Source(known, file)
    spec = spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    vars(module).update(__auditor_plugin__=True, __auditor_digest__=digest)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise PluginError(where(error, file)) from error
    return Source(module, file)


def import_distribution(name: str) -> Source:
    """What an installed distribution offers in the entry-point group `auditor`, named by distribution or by entry point."""
    offers = installed()
    wanted = _normal(name)
    found = [entry for entry in offers if wanted in (_normal(entry.name), _normal(_distribution(entry)))]
    if not found:
        known = sorted({_distribution(entry) for entry in offers})
        there = f"installed: {among(name, known)}" if known else "none is installed"
        raise PluginError(f"no installed distribution called {name!r} offers plugins (a loose file ends in .py); {there}")
    if len(found) > 1:
        owners = ", ".join(f"{_distribution(entry)} ({entry.name})" for entry in found)
        raise PluginError(f"{name!r} is offered more than once: {owners}; name one of them by its entry point")
    entry = found[0]
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{_distribution(entry)}: {where(error, Path(entry.module))}") from error
    return Source(module, Path(str(getattr(sys.modules[entry.module], "__file__", entry.module))))


def installed() -> list[metadata.EntryPoint]:
    """The plugins that installed distributions offer; none of them is imported."""
    return sorted(metadata.entry_points(group=GROUP), key=lambda entry: (_distribution(entry), entry.name))


def where(error: BaseException, file: Path) -> str:
    """`file:line: what`, at the deepest line that lies in the plugin's file."""
    line = 0
    if isinstance(error, SyntaxError) and error.filename == str(file):
        line = error.lineno or 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(file):
            line = frame.lineno or 0
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{file}{f':{line}' if line else ''}: {type(error).__name__}{f': {what}' if what else ''}"


def code_files(file: Path) -> list[Path]:
    """A module's file and the sibling files that it imports relatively, directly or through one another, in order of name."""
    found: set[Path] = set()
    todo = [file]
    while todo:
        if (at := todo.pop()) in found:
            continue
        found.add(at)
        for node in ast.walk(ast.parse(at.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = at.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for name in (folder, *(folder / alias.name for alias in node.names)):
                    todo += [sibling for sibling in (name.with_suffix(".py"), name / "__init__.py") if sibling.is_file()]
    return sorted(found)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _distribution(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.name


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
