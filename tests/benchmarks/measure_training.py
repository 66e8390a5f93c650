"""The trainer next to the loop that a user would write, in one process and in turn, so that both see the same machine.

Run as: python measure_training.py SIDE ROUNDS IMAGES; prints one JSON line. SIDE `loop` gives the median ratios of CPU time and of
wall time over the rounds, trainer over bare loop, both with validation and a checkpoint per epoch, neither with decoding. SIDE
`decoding` gives how many times as fast PNG files are decoded as by one thread, and how many cores were busy meanwhile (on a machine
that has nothing else to do), and the machine's load average at the end, without which neither can be read.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart" / "small_cnn.py"
BATCH, EPOCHS, SIDE, MEAN, STD = 32, 2, 128, 0.39, 0.29


def session_of(folder: Path, dataset: str, validation: str) -> Any:
    """A training of one network with everything decoded."""
    from auditor.progress import Silence
    from auditor.training.config import read
    from auditor.training.ranks import Ranks
    from auditor.training.train import _Session

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.yaml").write_text(
        f"title: benchmark\ndataset: {dataset}\nvalidation: {validation}\nstrategies: [bce]\nplugins: ['{QUICKSTART}']\n"
        f"models: [{{use: factory, file: '{QUICKSTART}', options: {{classes: 6}},"
        f" preprocessing: {{size: {SIDE}, channels: 1, mean: [{MEAN}], std: [{STD}]}}}}]\n"
        f"recipe: {{use: small, epochs: {EPOCHS}, batch: {BATCH}, schedule: constant, warmup: 0}}\n"
    )
    return _Session(read(folder / "train.yaml"), folder / "out", Ranks(), "cpu", Silence())


def bare(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, held: torch.Tensor, folder: Path) -> None:
    """Everything in memory and normalised beforehand; shuffle, forward, backward, step; then logits and a checkpoint."""
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-6)
    for _ in range(EPOCHS):
        network.train()
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad()
            logits = network(images[rows].contiguous(memory_format=torch.channels_last))
            binary_cross_entropy_with_logits(logits, labels[rows]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            torch.cat([network(part.contiguous(memory_format=torch.channels_last)) for part in held.split(BATCH)]).numpy()
        torch.save(network.state_dict(), folder / "bare.pt")


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def loop(rounds: int, images: int, folder: Path) -> dict[str, float]:
    """Trainer over bare loop."""
    from auditor.imaging import normalise
    from auditor.training.start import fresh

    planted = f"use: planted, size: {SIDE}"
    session = session_of(folder, f"{{{planted}, split: train, images: {images}}}", f"{{split: val, images: {images // 5}}}")
    session._prepare()
    (run,) = session.plan.runs
    setting = session._setting(run)
    seen = normalise(setting.training_pixels.rows(setting.training.rows), setting.lens)
    held = normalise(setting.validation_pixels.rows(setting.validation.rows), setting.lens)
    labels = torch.from_numpy(setting.training.labels).float()
    pairs = []
    for number in range(rounds + 1):
        session.out = folder / f"out-{number}"
        ours = timed(lambda: session._train(run, setting))
        network = fresh(run)[0].to(memory_format=torch.channels_last)
        theirs = timed(lambda network=network: bare(network, seen, labels, held, folder))
        pairs.append((ours[0] / theirs[0], ours[1] / theirs[1]))
    cpu, wall = (statistics.median(pair[which] for pair in pairs[1:]) for which in (0, 1))  # the first is warm-up
    return {"cpu": cpu, "wall": wall}


def decoding(rounds: int, images: int, folder: Path) -> dict[str, float]:
    """PNG files of 1024 pixels, decoded and resized: the time of one thread over that of all, and the cores that were busy."""
    from PIL import Image

    draw, rows = np.random.default_rng(0), ["image,patient,split,a,b,c,d,e,f"]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        smooth = np.kron(draw.integers(0, 256, (64, 64)), np.ones((16, 16))) + draw.integers(0, 4, (1024, 1024))
        Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,p{number},{'train' if number % 5 else 'val'},{number % 2},0,1,0,1,0")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    times, busy = [], []
    for number in range(rounds + 1):
        walls = []
        for threads in (None, 1):
            session = session_of(folder, "{use: image_folder, table: labels.csv, folder: ., split: train}", "{split: val}")
            session.out = folder / f"out-{number}-{threads}"
            with decoders(threads):
                cpu, wall = timed(session._prepare)
            walls.append(wall)
            busy += [cpu / wall] if threads is None else []
        times.append(walls[1] / walls[0])
    return {"times": statistics.median(times[1:]), "busy": statistics.median(busy[1:]), "load": os.getloadavg()[0]}


@contextmanager
def decoders(threads: int | None) -> Iterator[None]:
    """So many threads that decode; None: as many as the trainer takes."""
    from auditor.training import material

    chosen = material.ThreadPoolExecutor
    if threads is not None:
        material.ThreadPoolExecutor = lambda _, **names: chosen(threads, **names)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        material.ThreadPoolExecutor = chosen  # type: ignore[misc]


def main() -> None:
    """Measure one side."""
    torch.set_num_threads(1)
    side, rounds, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as name:
        found = (loop if side == "loop" else decoding)(rounds, images, Path(name) / "benchmark")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
