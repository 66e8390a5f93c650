"""The log.txt of a run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import AuditError

log = logging.getLogger("auditor")


@contextmanager
def written_down(out: Path) -> Iterator[None]:
    """What is logged meanwhile goes into log.txt of the folder, and the error that ends it too."""
    handler = logging.FileHandler(out / "log.txt", encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        log.error("%s: %s", type(error).__name__, error, exc_info=not isinstance(error, AuditError))
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
