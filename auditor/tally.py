"""Running statistics that merge: add() batches anywhere, merge() the parts, read out once."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Self

import numpy as np


class Tally:
    """A running statistic; a subclass keeps nothing but arrays and numbers in `self`.

    The one law: parts merged, in any order, equal the whole.
    """

    def add(self, values: Any) -> None:
        """Take in the values of one batch."""
        raise NotImplementedError

    def merge(self, other: Self) -> None:
        """Take in everything another tally of the same options has seen."""
        raise NotImplementedError


def dump(tallies: Mapping[str, Tally]) -> bytes:
    """All the tallies of one unit of work as the bytes of one .npz without pickles."""
    out = io.BytesIO()
    arrays = {f"{name}.{field}": np.asarray(value) for name, tally in tallies.items() for field, value in vars(tally).items()}
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def load(fresh: Mapping[str, Tally], data: bytes) -> None:
    """Fill fresh tallies with what `dump` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for key in arrays.files:
            name, _, field = key.partition(".")
            value = arrays[key]
            setattr(fresh[name], field, value if value.ndim else value.item())
