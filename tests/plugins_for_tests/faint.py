"""Images with a faint sign of a common and of a rare finding, and a network fitted to as many of them as one wishes.

The network is one linear layer on 144 pixels: dozens of positives are learnt by heart, hundreds are not.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from auditor import Dataset, Layers, ModelLoader, Sample, Unreadable, hookimpl

COUNTS: Counter[str] = sys.__dict__.setdefault("_tiny_counts", Counter())  # one, however often this file is imported
CLASSES = ("Common", "Rare")
SHARE = (0.5, 0.08)
SIDE = 12
SIGN = np.random.default_rng(5).normal(0, 1, (2, 1, SIDE, SIDE))


def drawn(split: str, number: int) -> tuple[tuple[int, ...], Any]:
    """Labels and pixels of one image."""
    lots = np.random.default_rng([number, len(split)])
    labels = tuple(int(lots.random() < share) for share in SHARE)
    pixels = 0.5 + 0.05 * lots.normal(0, 1, (1, SIDE, SIDE))
    for label, sign in zip(labels, SIGN, strict=True):
        pixels += 0.012 * label * sign
    return labels, pixels.clip(0, 1).astype(np.float32)


@dataclass(frozen=True)
class Faint(Dataset):
    """`images` of a split, one or two of a patient."""

    name = "faint"
    split: Literal["train", "test"] = "test"
    images: int = 400
    unreadable: int = 0
    only_common: bool = False
    others: bool = False
    patients: Literal["own", "shared"] = "own"

    def classes(self) -> tuple[str, ...]:
        return ("Other", "Rare") if self.others else CLASSES

    def index(self) -> list[Sample]:
        samples = []
        for number in range(self.images):
            labels = drawn(self.split, number)[0]
            if self.only_common:
                labels = (labels[0], 0)
            samples.append(
                Sample(
                    f"{self.split}-{number:04d}",
                    f"{'' if self.patients == 'shared' else self.split}-{number // 2}",
                    labels,
                    split=self.split,
                )
            )
        return samples

    def read(self, sample: Sample) -> Any:
        COUNTS[f"reads of {self.split}"] += 1
        number = int(sample.id[-4:])
        if number < self.unreadable:
            raise Unreadable("decode:truncated", f"{sample.id} ends early")
        return drawn(self.split, number)[1]


@dataclass(frozen=True, kw_only=True)
class Fitted(ModelLoader):
    """Logistic regression on the first `images` of the training split, by Newton's method with next to no penalty.

    `curved` bends its outputs, so that it does not end in a linear layer; `deaf` gives no finite output for images of the training
    split, `dazed` for bright ones.
    """

    name = "fitted"
    classes: tuple[str, ...] = CLASSES
    images: int = 400
    curved: bool = False
    deaf: bool = False
    dazed: bool = False

    def default_layers(self) -> Layers:
        return Layers()

    def digest(self) -> str:
        return f"fitted-{self.images}-{self.curved}-{self.deaf}-{self.dazed}"

    def load(self) -> Any:
        import torch
        from torch import nn

        labels, pixels = zip(*(drawn("train", number) for number in range(self.images)), strict=True)
        x = np.concatenate([np.stack(pixels).reshape(self.images, -1) - 0.5, np.ones((self.images, 1))], 1).astype(np.float64)
        found = np.stack([_logistic(x, y) for y in np.array(labels, np.float64).T])
        head = nn.Linear(SIDE**2, 2)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(found[:, :-1]))
            head.bias.copy_(torch.from_numpy(found[:, -1]))
        network = nn.Sequential(nn.Flatten(), head, *([nn.Softsign()] if self.curved else []))
        network.register_forward_hook(lambda *_: COUNTS.update(["forwards"]))
        if self.deaf:
            seen = np.stack([drawn("train", number)[1][0, 0, :3] - 0.5 for number in range(400)])
            network.register_forward_hook(lambda _m, x, out: out / _zero_where(x[0], seen))
        if self.dazed:
            network.register_forward_hook(lambda _m, x, out: out / (x[0].mean((1, 2, 3)) < 0.003)[:, None])
        return network


def _zero_where(images: Any, seen: Any) -> Any:
    """0 for images that are known by their first pixels, 1 for others [N, 1]."""
    import torch

    apart = (images[:, None, 0, 0, :3] - torch.from_numpy(seen)[None]).abs().amax(2).amin(1)
    return (apart > 1e-4).float()[:, None]


def _logistic(x: Any, y: Any) -> Any:
    w = np.zeros(x.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        curved = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(w))
        w += np.linalg.solve(curved, x.T @ (y - p) - 1e-3 * w)
    return w


@hookimpl
def register_datasets() -> list[type]:
    return [Faint]


@hookimpl
def register_models() -> list[type]:
    return [Fitted]
