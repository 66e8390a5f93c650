"""Names for what a measurement depends on: two things get one name exactly when they are the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from .errors import PluginError


def digest(*parts: Any) -> str:
    """A short name for these values; PluginError for a value that cannot be named reliably."""
    return hashlib.sha256(json.dumps(_keyed(list(parts)), sort_keys=True).encode()).hexdigest()[:20]


def options(component: Any) -> dict[str, Any]:
    """The options of a component as plain values for a reader: no paths, which may name people and machines."""
    return {name: _plain(value) for name, value in _fields(component).items() if not isinstance(value, Path)}


def identity(component: Any) -> tuple[str, dict[str, Any]]:
    """The name and options of a component for a digest: a file counts by its content, a folder by where it lies."""
    return type(component).__qualname__, _fields(component)


def _fields(component: Any) -> dict[str, Any]:
    if not is_dataclass(component) or isinstance(component, type):
        return {}
    return {field.name: getattr(component, field.name) for field in fields(component)}


def _keyed(value: Any) -> Any:
    if isinstance(value, Path):
        return hashlib.sha256(value.read_bytes()).hexdigest() if value.is_file() else str(value.resolve())
    if isinstance(value, Mapping):
        return {str(key): _keyed(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_keyed(item), sort_keys=True) for item in value)
    if isinstance(value, list | tuple):
        return [_keyed(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _keyed(identity(value))
    if isinstance(value, Enum):
        return [type(value).__qualname__, value.name]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    raise PluginError(
        f"an option holds {type(value).__name__}, which cannot be recorded; use numbers, text, lists and mappings"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(item) for name, item in _fields(value).items()}
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
