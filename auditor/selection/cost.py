"""What a selection costs: memory by arithmetic, time from a measured batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..dataset import Dataset, Sample
from ..errors import Unreadable
from ..model import Preprocessing
from ..pixels import read_prepared
from ..wording import how_many
from .functions import FUNCTIONS
from .greedy import VALUES
from .points import KEPT

if TYPE_CHECKING:
    from .config import MinePlan

DOUBLE, SINGLE = 8, 4
WORKSPACE = 2**25
"""What the libraries take for themselves, measured at 10 to 25 MiB."""


def memory(pool: int, dimension: int, query: int, budget: int, function: str) -> int:
    """Bytes that choosing takes at most beside the embeddings themselves: directions, bounds, and what is held of the kernel.

    LogDetMI also keeps what the query and every chosen image say about each of the pool.
    """
    directions = pool * (dimension + 2) * SINGLE
    bounds = 3 * pool * DOUBLE
    blocks = 12 * min(VALUES, pool * query) * DOUBLE if function in FUNCTIONS else 0  # half of it live, half given back late
    blocks += pool * query * SINGLE if function in FUNCTIONS and pool * query <= KEPT else 0
    factors = pool * (query + 4 * min(budget, pool)) * DOUBLE if function == "logdetmi" else 0
    return WORKSPACE + directions + bounds + blocks + factors


def describe(plan: MinePlan, device: str) -> str:
    """`auditor plan mine.yaml`, as lines for a person; reads up to two images and runs one batch through the network."""
    from ..estimate import spoken
    from ..planned_samples import listed_samples
    from .opening import opened, planned

    config, model = plan.config, planned(plan)
    (_, asked), (_, pool) = (
        listed_samples(dataset, config.place(key)) for dataset, key in ((plan.query, "query"), (plan.pool, "pool"))
    )
    embedder = opened(plan, model, asked, device)
    lens = plan.loader.preprocessing
    blank = np.zeros((config.batch, 1, lens.size, lens.size), np.uint16)
    features, logits = embedder(blank)
    started = time.perf_counter()
    embedder(blank)
    seconds = (time.perf_counter() - started) / config.batch + _seconds_per_read(plan.query, asked, lens)
    count, kept = len(pool) + len(asked), features.shape[1] + logits.shape[1]
    needed = memory(len(pool), features.shape[1], len(asked), config.budget, config.function)
    rows = {
        "pool": f"{plan.pool.name}: {how_many(len(pool), 'image')} listed",
        "query": f"{plan.query.name}: {how_many(len(asked), 'image')} listed, for {', '.join(plan.classes)}",
        "choice": f"{how_many(config.budget, 'image')} by {config.function}, {plan.loader.name} {model.family}",
        "forward": f"{how_many(count, 'image')}, each once, on {device}; features of {embedder.tap.layer} [{features.shape[1]}]",
        "disk": f"{count * kept * SINGLE / 1e6:,.0f} MB of features and logits",
        "memory": f"{(needed + count * kept * SINGLE) / 1e6:,.0f} MB at most to choose, beside the network",
        "time": f"about {spoken(seconds * count)} to embed, from a measured batch",
    }
    return "\n".join([config.title, *(f"  {name:<10}{text}" for name, text in rows.items()), *(f"  {why}" for why in plan.why)])


def _seconds_per_read(dataset: Dataset, samples: Sequence[Sample], lens: Preprocessing) -> float:
    started = time.perf_counter()
    for sample in samples[:2]:
        try:
            read_prepared(dataset, sample, lens)
        except Unreadable:
            continue
    return (time.perf_counter() - started) / max(len(samples[:2]), 1)
