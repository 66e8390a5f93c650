"""Train a network briefly on the train_val part of a ChestX-ray14 folder, so that there is something to audit.

    python examples/chestxray14/train_weak.py --root /data/nih --out runs/weak --architecture resnet50 --task multilabel \
        --strategies bce wbce --size 128 --epochs 3

The networks start from random weights and see few images: they are weak, and a report about them should say so. `auditor train`
(a later version) does this properly. Writes OUT/ARCHITECTURE-TASK-STRATEGY.safetensors with class names and preprocessing inside.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from auditor_plugins.datasets.chestxray14 import ChestXray14
from auditor_plugins.models.t_densenet import TDenseNet

from auditor import ClassCounts, Preprocessing, Unreadable
from auditor.checkpoint import save
from auditor.imaging import normalise, prepare
from auditor.registry import Registry


def load(dataset: ChestXray14, lens: Preprocessing) -> tuple[Any, Any]:
    """Prepared pixels uint16 [N, 1, S, S] and labels float32 [N, K] of every readable image."""
    pixels, labels = [], []
    for sample in dataset.index():
        try:
            pixels.append(prepare(dataset.read(sample), lens)[0])
        except Unreadable:
            continue
        labels.append([float(label == 1) for label in sample.labels])
    return np.stack(pixels), torch.tensor(labels)


def network(architecture: str, classes: int) -> torch.nn.Module:
    """The network with random weights."""
    if architecture == "t_densenet":
        return TDenseNet(classes)
    import torchvision

    return torchvision.models.get_model(architecture, weights=None, num_classes=classes)


def train(
    options: argparse.Namespace, strategy: str, pixels: Any, labels: Any, lens: Preprocessing, classes: tuple[str, ...]
) -> Any:
    """Adam with a cosine learning rate, horizontal flips, batches of 32."""
    torch.manual_seed(options.seed)
    model = network(options.architecture, len(classes)).to(memory_format=torch.channels_last).train()
    positives = labels.sum(0).int().tolist()
    counts = ClassCounts(classes, tuple(positives), tuple(len(labels) - n for n in positives))
    criterion = Registry().get("strategies", strategy)().loss(counts)
    steps = options.epochs * (len(labels) // 32)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-4, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(options.epochs):
        order, total, started = torch.randperm(len(labels)), 0.0, time.monotonic()
        for step in range(len(labels) // 32):
            rows = order[32 * step : 32 * step + 32]
            images = normalise(pixels[rows.numpy()], lens)
            flip = torch.rand(len(rows)) < 0.5
            images[flip] = images[flip].flip(3)
            loss = criterion(model(images.contiguous(memory_format=torch.channels_last)), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        sys.stdout.write(f"{strategy} epoch {epoch + 1}: loss {total / (step + 1):.4f}, {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()
    return model.eval()


def main() -> None:
    """Train one network per strategy and save them."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--root", type=Path, required=True, help="folder with images and the NIH tables")
    words.add_argument("--out", type=Path, required=True)
    words.add_argument("--architecture", default="resnet50", help="a torchvision classifier, or t_densenet")
    words.add_argument("--task", choices=["multilabel", "binary"], default="multilabel")
    words.add_argument("--strategies", nargs="+", default=["bce", "wbce"])
    words.add_argument("--size", type=int, default=128)
    words.add_argument("--epochs", type=int, default=3)
    words.add_argument("--seed", type=int, default=0)
    options = words.parse_args()
    dataset = ChestXray14(root=options.root, split="train_val", task=options.task)
    lens = Preprocessing(size=options.size)
    pixels, labels = load(dataset, lens)
    options.out.mkdir(parents=True, exist_ok=True)
    for strategy in options.strategies:
        model = train(options, strategy, pixels, labels, lens, dataset.classes())
        name = f"{options.architecture}-{options.task}-{strategy}.safetensors"
        card = {
            "classes": list(dataset.classes()),
            "architecture": options.architecture,
            "strategy": strategy,
            "seed": options.seed,
            "head": "sigmoid",
            "preprocessing": {"size": options.size},
        }
        save(options.out / name, {key: value.contiguous() for key, value in model.state_dict().items()}, card)
        sys.stdout.write(f"wrote {options.out / name}\n")


if __name__ == "__main__":
    main()
