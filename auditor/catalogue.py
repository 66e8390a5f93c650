"""What can be named in audit.yaml, told from the registry alone: kinds, names, options, metrics."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from .errors import PluginError, among
from .loading import installed
from .options import first_sentence
from .registry import KINDS, Registry, singular


def table(registry: Registry) -> str:
    """Every plugin with one sentence, by kind."""
    width = max((len(name) for kind in KINDS for name in registry.all(kind)), default=0)
    lines: list[str] = []
    for kind in KINDS:
        lines += [kind, *(f"  {name:{width}}  {first_sentence(cls)}".rstrip() for name, cls in registry.all(kind).items()), ""]
    offered = sorted({entry.dist.name for entry in installed() if entry.dist})
    if offered:
        lines += [
            "installed, loaded only by an audit.yaml that lists them under plugins",
            *(f"  {name}" for name in offered),
            "",
        ]
    return "\n".join([*lines, "auditor plugins NAME shows options and metrics."])


def describe(registry: Registry, name: str) -> str:
    """A plugin's documentation, options with types and defaults, and metrics; every kind that has the name."""
    kinds = [kind for kind in KINDS if name in registry.all(kind)]
    if not kinds:
        known = sorted({known for kind in KINDS for known in registry.all(kind)})
        raise PluginError(f"no plugin is called {name!r}; allowed: {among(name, known)}")
    return "\n\n".join(_one(registry, kind, name) for kind in kinds)


def _one(registry: Registry, kind: str, name: str) -> str:
    cls, options = registry.get(kind, name), registry.options(kind, name)
    lines = [f"{singular(kind)} {name}  ({registry.source(kind, name)})", ""]
    if first_sentence(cls):
        lines += [inspect.cleandoc(cls.__doc__ or ""), ""]
    words = options.kinds()
    lines += ["options"] if words else ["takes no options"]
    for option, word in words.items():
        lines.append(
            f"  {option}: {word}  ({'must be given' if options.needed(option) else show_default(options.default(option))})"
        )
    metrics = getattr(cls, "metrics", ())
    if isinstance(metrics, tuple) and metrics:
        lines += ["", "metrics", *(f"  {metric.name}: {metric.says}{_reading(metric)}" for metric in metrics)]
    return "\n".join(lines)


def show_default(value: Any) -> str:
    """A default as it would be written in audit.yaml.

    >>> show_default(None), show_default(True), show_default((1, 2)), show_default("a")
    ('nothing', 'true', '[1, 2]', 'a')
    """
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = ", ".join(f"{field.name}: {show_default(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{{{inner}}}"
    if isinstance(value, tuple | list | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return f"[{', '.join(show_default(item) for item in items)}]"
    return str(value)


def _reading(metric: Any) -> str:
    low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.low, metric.high))
    parts = [f"{metric.better} is better"] if metric.better != "neither" else []
    parts += [f"{low or '-inf'} to {high or 'inf'}"] if low or high else []
    return f" ({', '.join(parts)})" if parts else ""
