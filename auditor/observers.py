"""Asks plugins' hooks one by one, so that one that raises spoils nothing but its own answer."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("auditor")


def ask(relay: Any, hook: str, **arguments: Any) -> tuple[list[Any], list[str]]:
    """(what each implementation returned, what failed): every implementation of a hook is called, whatever the others do."""
    caller = getattr(relay, hook)
    found: list[Any] = []
    failed: list[str] = []
    for implementation in caller.get_hookimpls():
        wanted = {name: arguments[name] for name in implementation.argnames}
        try:
            answer = implementation.function(**wanted)
        except Exception as error:
            log.error("the hook %s of %s failed", hook, implementation.plugin_name, exc_info=error)
            failed.append(f"{hook} of {implementation.plugin_name}: {type(error).__name__}: {error}")
            continue
        if answer is not None:
            found.append(answer)
    return found, failed
