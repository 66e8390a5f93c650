"""A data set and networks small enough to audit in a second, which count what is asked of them."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from auditor import Analysis, Box, Dataset, Layers, Metric, ModelLoader, Sample, Unreadable, hookimpl

COUNTS: Counter[str] = sys.__dict__.setdefault("_tiny_counts", Counter())  # one, however often this file is imported
CLASSES = ("Nodule", "Effusion", "Mass")


@dataclass(frozen=True)
class Tiny(Dataset):
    """Bright squares on a dark field: channel k belongs to class k."""

    name = "tiny"
    images: int = 40
    seed: int = 0
    size: int = 32
    unreadable: tuple[int, ...] = ()
    nan_pixels: tuple[int, ...] = ()
    odd_boxes: bool = False
    only: str = ""

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def index(self) -> list[Sample]:
        samples = []
        for number in range(self.images):
            places = self._places(number)
            labels = tuple(int(k in places) if not self.only or CLASSES[k] == self.only else 0 for k in range(3))
            boxes = [Box(CLASSES[k], x / 32, y / 32, (x + 8) / 32, (y + 8) / 32) for k, (x, y) in places.items() if labels[k]]
            if self.odd_boxes and number < 3:
                boxes.append(
                    [Box("Mass", 1.2, 0.1, 1.5, 0.4), Box("Mass", 0.5, 0.5, 0.5, 0.9), Box("Mass", 0.8, 0.2, 1.3, 0.5)][number]
                )
            samples.append(Sample(f"image-{number:03d}", f"patient-{number // 3}", labels, tuple(boxes)))
        return samples

    def _places(self, number: int) -> dict[int, tuple[int, int]]:
        draw = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        return {k: (int(draw.integers(0, 24)), int(draw.integers(0, 24))) for k in range(3) if draw.random() < 0.5}

    def read(self, sample: Sample) -> Any:
        COUNTS["reads"] += 1
        number = int(sample.id[-3:])
        if number in self.unreadable:
            raise Unreadable("decode:truncated", f"{sample.id} ends early")
        draw = np.random.Generator(np.random.Philox(key=[self.seed + 1, number]))
        pixels = draw.uniform(0, 0.2, (3, 32, 32)).astype(np.float32)
        for k, (x, y) in self._places(number).items():
            pixels[k, y : y + 8, x : x + 8] = draw.uniform(0.6, 1.0)
        if number in self.nan_pixels:
            pixels[0, 0, 0] = np.nan
        return pixels


@dataclass(frozen=True, kw_only=True)
class TinyNetwork(ModelLoader):
    """Two convolutions, pooling, one linear layer (or two), with weights drawn from a seed."""

    name = "tiny_network"
    classes: tuple[str, ...] = CLASSES
    weights: int = 0
    head_layers: Literal[1, 2] = 1
    dead: bool = False
    overflow_on_bright: bool = False

    def default_layers(self) -> Layers:
        return Layers("features", "features")

    def digest(self) -> str:
        return f"tiny-{self.weights}-{self.head_layers}-{self.dead}-{self.overflow_on_bright}"

    def load(self) -> Any:
        import torch
        from torch import nn

        COUNTS["loads"] += 1
        torch.manual_seed(self.weights)
        features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU()
        )
        if self.dead:
            features[3].weight.data.zero_()
            features[3].bias.data.fill_(-1.0)
        head = [nn.Linear(12, 3)] if self.head_layers == 1 else [nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)]
        network = nn.Sequential()
        network.add_module("features", features)
        network.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head))
        network.register_forward_hook(lambda *_: COUNTS.update(["forwards"]))
        if self.overflow_on_bright:
            network.register_forward_hook(lambda _m, inputs, out: out / (inputs[0].amax((1, 2, 3)) < 0.95)[:, None])
        return network


@dataclass(frozen=True)
class Stumbling(Analysis):
    """Raises on purpose: by a mistake, or by looking for a file that is not there."""

    name = "stumbling"
    metrics = (Metric("stumble", "Nothing at all."),)

    file: str = ""

    def measure(self, batch: Any) -> dict[str, Any]:
        if self.file:
            Path(self.file).read_text()
        raise ZeroDivisionError("on purpose")


@hookimpl
def register_datasets() -> list[type]:
    return [Tiny]


@hookimpl
def register_models() -> list[type]:
    return [TinyNetwork]


@hookimpl
def register_analyses() -> list[type]:
    return [Stumbling]
