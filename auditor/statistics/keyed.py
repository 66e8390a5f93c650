"""Random numbers that depend on what they are for, never on the order of calls or the number of workers."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, family: str, block: int) -> np.random.Generator:
    """Philox keyed by (seed, family, block)."""
    key = np.frombuffer(hashlib.sha256(f"{seed}|{family}|{block}".encode()).digest()[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
