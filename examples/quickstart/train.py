"""Trains the four networks of the quickstart: one architecture, one data set, four ways of handling class imbalance.

    python examples/quickstart/train.py [--out DIR]

Every network starts from the same weights and sees the same films in the same order; only the loss differs. In the training
films a laterality marker goes with Nodule, so that there is a shortcut to be found. About three minutes on two idle
cores; the same machine and the same library versions give the same files.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import numpy as np
import torch
from auditor_plugins.datasets.planted import Planted
from small_cnn import build
from torch import Tensor, nn

from auditor import ClassCounts, Criterion, checkpoint

HERE = Path(__file__).resolve().parent
STRATEGIES = ("bce", "wbce", "focal", "cb_focal")
SEED, SIZE, MEAN, STD = 0, 128, 0.39, 0.29
EPOCHS, BATCH, RATE = 8, 64, 2e-3
TRAIN = Planted(split="train", images=3000, size=SIZE, marker=0.9, marker_class="Nodule")
CHECKS = {
    "marker as in training": Planted(split="val", images=2000, size=SIZE, marker=0.9, marker_class="Nodule"),
    "marker at random": Planted(split="val", images=2000, size=SIZE),
}


def films(dataset: Planted) -> tuple[Tensor, Tensor]:
    """All images [N, 1, H, W], normalised, and their labels [N, K]."""
    samples = dataset.index()
    images = torch.from_numpy(np.stack([dataset.read(sample) for sample in samples]))
    return images.sub_(MEAN).div_(STD), torch.tensor([sample.labels for sample in samples], dtype=torch.float32)


def train(strategy: str, images: Tensor, labels: Tensor) -> nn.Module:
    """A network trained with the loss of this strategy, in eval mode."""
    torch.manual_seed(SEED)
    network = build(labels.shape[1]).to(memory_format=torch.channels_last)
    criterion = loss(strategy, labels)
    steps = EPOCHS * (len(images) // BATCH)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad()
            criterion(network(images[rows].to(memory_format=torch.channels_last)), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def loss(strategy: str, labels: Tensor) -> Criterion:
    """The criterion of a built-in strategy for the class counts of these labels."""
    positives = [int(count) for count in labels.sum(0)]
    negatives = [len(labels) - count for count in positives]
    (kind,) = import_module(f"auditor_plugins.strategies.{strategy}").register_strategies()
    return kind().loss(ClassCounts(TRAIN.classes(), tuple(positives), tuple(negatives)))


def check(network: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """AUROC of every class: the share of (positive, negative) pairs in the right order, ties half."""
    with torch.no_grad():
        logits = torch.cat([network(part) for part in images.split(250)])
    gaps = [logits[labels[:, k] > 0, k, None] - logits[labels[:, k] == 0, k] for k in range(labels.shape[1])]
    return [((gap > 0).double() + 0.5 * (gap == 0)).mean().item() for gap in gaps]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=HERE, help="Where the four .safetensors files go.")
def main(out: Path) -> None:
    """Train, check and write the four networks."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    seen, unseen = films(TRAIN), {name: films(dataset) for name, dataset in CHECKS.items()}
    click.echo(f"{'AUROC on 2000 validation films':<34}" + "".join(f"{name:>14}" for name in TRAIN.classes()))
    for strategy in STRATEGIES:
        network = train(strategy, *seen)
        card = {
            "architecture": "small_cnn",
            "strategy": strategy,
            "seed": SEED,
            "classes": list(TRAIN.classes()),
            "head": "sigmoid",
            "preprocessing": {"size": SIZE, "channels": 1, "mean": [MEAN], "std": [STD]},
        }
        checkpoint.save(out / f"{strategy}.safetensors", network.state_dict(), card)
        for name, part in unseen.items():
            click.echo(f"{strategy + ', ' + name:<34}" + "".join(f"{score:14.3f}" for score in check(network, *part)))


if __name__ == "__main__":
    main()
