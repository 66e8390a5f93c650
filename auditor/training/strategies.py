"""What strategies are asked in training, with their mistakes told as theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import AuditError, PluginError
from ..strategy import ClassCounts, Strategy


def the_one(strategies: Sequence[Strategy], what: str, labels: Any, counts: ClassCounts) -> npt.NDArray[np.float64] | None:
    """What the only strategy that chooses gives."""
    given: dict[str, npt.NDArray[np.float64]] = {}
    for strategy in strategies:
        with blamed(strategy):
            value = getattr(strategy, what)(labels, counts)
        if value is None:
            continue
        if np.shape(value) != (len(labels),) or not np.isfinite(value).all() or np.min(value) < 0 or np.sum(value) <= 0:
            raise PluginError(f"{strategy.name}: {what} gives {_told(value)}; allowed: [{len(labels)}] numbers of 0 or more")
        given[strategy.name] = np.asarray(value, np.float64)
    if len(given) > 1:
        raise PluginError(f"{' and '.join(given)} both decide on {what}; allowed: one of them")
    return next(iter(given.values()), None)


def _told(value: Any) -> str:
    return f"{list(np.shape(value))} numbers from {np.min(value):g} to {np.max(value):g}"


@contextmanager
def blamed(strategy: Strategy) -> Iterator[None]:
    """What a strategy stumbles over is told as its mistake and not as ours."""
    try:
        yield
    except (AuditError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # it may be a stranger's
        raise PluginError(f"strategy {strategy.name} failed: {type(error).__name__}: {error}") from error
