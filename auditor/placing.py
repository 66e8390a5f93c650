"""What a component says is wrong with itself, put at the option of audit.yaml that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from .errors import AuditError
from .problems import Problems

if TYPE_CHECKING:
    from .dataset import Dataset
    from .model import ModelLoader

_OPTION = re.compile(r"([A-Za-z_]\w*)((?:\.\w+|\[\d+\])*): ")


def placed(message: str, component: object, path: str, place: Callable[[str], str]) -> str:
    """`audit.yaml:2:60: dataset.groups[0]: no column ...` for "groups[0]: no column ...", where `groups` is an option of the component.

    A message that does not begin with an option, a colon and a blank stands at the component itself.
    """
    found = _OPTION.match(message)
    if found is None or not is_dataclass(component) or found[1] not in {field.name for field in fields(component)}:
        return f"{place(path)}: {message}"
    return f"{place(f'{path}.{found[1]}{found[2]}')}: {message[found.end() :]}"


def ask(component: Dataset | ModelLoader, path: str, place: Callable[[str], str], problems: Problems) -> bool:
    """Add what the component itself finds wrong; whether it found anything."""
    before = len(problems)
    try:
        lens = getattr(component, "preprocessing", None)
        for message in (*(lens.mistakes() if lens else ()), *component.mistakes()):
            problems.add(placed(message, component, path, place))
    except AuditError as error:
        problems.add(placed(str(error), component, path, place))
    except Exception as error:  # it may be a stranger's plugin
        problems.add(f"{place(path)}: the plugin {component.name} failed: {type(error).__name__}: {error}")
    return len(problems) > before
