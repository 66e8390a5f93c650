"""What choosing costs, on synthetic embeddings, in a process of its own: prints one JSON line with CPU seconds and peak memory.

Run as: python measure_selection.py choose POOL FUNCTION | embed IMAGES | submodlib POOL | ours POOL. `embed` is the eager forward pass of a
ResNet-18 over so many images at 224 x 224, batches of 16; `submodlib` is its FLQMI, kernel included, by its lazy greedy, and `ours` the
same budget, query and embeddings by ours.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np
import torch

DIMENSION, QUERY, BUDGET, OUTPUTS = 512, 200, 400, 14


def embeddings(images: int, seed: int) -> Any:
    """Features like those after a rectifier: positive, half of them 0, in 50 clusters."""
    draw, centres = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(50, DIMENSION)).astype(np.float32)
    found = np.empty((images, DIMENSION), np.float32)
    for start in range(0, images, 1024):  # in small parts, so that making them takes no memory that choosing could hide in
        part = found[start : start + 1024]
        part[:] = draw.standard_normal(part.shape, np.float32)
        part += centres[draw.integers(0, 50, len(part))]
        np.maximum(part, 0, out=part)
    return found


def choose(pool: int, function: str, kernel: str = "features") -> None:
    """The whole of `choose`: points, kernel, greedy, the nearest query image of each."""
    from auditor.selection.choose import Wish
    from auditor.selection.choose import choose as go
    from auditor.selection.cost import memory
    from auditor.selection.query import Seen, Target

    seen = Seen(torch.from_numpy(embeddings(pool, 1)), torch.ones((pool, OUTPUTS)))
    query = Seen(torch.from_numpy(embeddings(QUERY, 2)), torch.zeros((QUERY, OUTPUTS)))
    before, start = peak(), time.process_time()
    found = go(
        seen, query, [Target("rare", 0, "sigmoid", 0.5, QUERY, tuple(range(QUERY)))], Wish(function, kernel, 1.0, BUDGET, 0)
    )
    assert len({choice.row for choice in found.choices}) == BUDGET
    stated = memory(pool, DIMENSION, QUERY, BUDGET, function) / 2**20
    tell(start, before, stated_mib=stated, chosen=[choice.row for choice in found.choices])


def embed(images: int) -> None:
    """What the embeddings of so many images cost."""
    from torchvision.models import resnet18

    network = resnet18(weights=None).eval()
    batch = torch.rand((16, 3, 224, 224))
    with torch.no_grad():
        network(batch)
        before, start = peak(), time.process_time()
        for _ in range(images // 16):
            network(batch)
    tell(start, before)


def submodlib(pool: int) -> None:
    """FLQMI by submodlib-py."""
    from submodlib import FacilityLocationVariantMutualInformationFunction as Theirs

    seen, query = embeddings(pool, 1), embeddings(QUERY, 2)
    before, start = peak(), time.process_time()
    unit, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (seen, query))
    kernel = ((1 + unit @ asked.T) / 2).astype(np.float32)
    function = Theirs(pool, QUERY, query_sijs=kernel)
    found = function.maximize(BUDGET, "LazyGreedy", show_progress=False)
    tell(start, before, chosen=[row for row, _ in found])


def peak() -> float:
    """Peak memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell(start: float, before: float, **more: Any) -> None:
    """Print the line."""
    line = {"cpu": time.process_time() - start, "more_mib": peak() - before, **more}
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    side, size = sys.argv[1], int(sys.argv[2])
    if side == "choose":
        choose(size, *sys.argv[3:])
    else:
        {"embed": embed, "submodlib": submodlib, "ours": lambda pool: choose(pool, "flqmi")}[side](size)
