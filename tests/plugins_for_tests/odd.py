"""Plugins that are odd in one way each, for the tests of what an audit does with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auditor import Analysis, Dataset, Layers, Metric, ModelLoader, Sample, Tally, hookimpl

CLASSES = ("Healthy", "Unhealthy")


@dataclass(frozen=True)
class Lamp(Dataset):
    """Bright and dark squares, one class, no box."""

    name = "lamp"
    root: Path = Path()
    bad: tuple[int, ...] = ()

    def classes(self) -> tuple[str, ...]:
        return ("Unhealthy",)

    def index(self) -> list[Sample]:
        return [Sample(f"{n:02d}", f"p{n}", (n % 2,)) for n in range(24)]

    def read(self, sample: Sample) -> Any:
        light = 0.9 if int(sample.id) % 2 else 0.1
        if (self.root / "swap").exists():
            light = 1 - light
        return np.full((3, 16, 16), light, np.float32)


@dataclass(frozen=True, kw_only=True)
class TwoOutputs(ModelLoader):
    """A network whose second of two softmax outputs grows with brightness; `style` makes it odd."""

    name = "two_outputs"
    classes: tuple[str, ...] = CLASSES
    style: str = ""

    def default_layers(self) -> Layers:
        return Layers() if self.style == "no layers" else Layers("0", "0")

    def digest(self) -> str:
        return "two outputs"

    def load(self) -> Any:
        import torch
        from torch import nn

        class Flat(nn.Module):
            def forward(self, x: Any) -> Any:
                return x.view(x.size(0), -1) if style == "view" else x.flatten(1)

        style = self.style
        if style == "broken":
            raise KeyError("weights")
        head = nn.Linear(4 * 16 * 16, 2)
        with torch.no_grad():
            head.weight.copy_(torch.tensor([-0.01, 0.01])[:, None].expand(-1, 4 * 256))
        first = nn.Conv2d(3, 4, 1)
        first.weight.data.fill_(0.3)
        return nn.Sequential(first, Flat(), head)


class Nothing(Tally):
    """Sees nothing."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, values: Any) -> None:
        self.count += 1

    def merge(self, other: Nothing) -> None:
        self.count += other.count


@dataclass(frozen=True)
class Undefined(Analysis):
    """Says of the model as a whole something that is no number."""

    name = "undefined"
    needs = frozenset({"features"})
    metrics = (Metric("ratio", "A ratio.", statistic="none", undefined="nothing to divide by"),)

    def tallies(self) -> dict[str, Tally]:
        return {"nothing": Nothing()}

    def summarise(self, tallies: Any) -> dict[str, float]:
        return {"ratio": float("nan")}


@dataclass(frozen=True)
class FromFile(Analysis):
    """A number that a file holds."""

    name = "from_file"
    needs = frozenset({"logits"})
    metrics = (Metric("factor", "What the file says."),)
    file: Path = Path()

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"factor": np.full(len(batch), float(self.file.read_text()))}


class Whole(Analysis):
    """Asks for the logit of an image as a whole, which there is not."""

    name = "whole"
    needs = frozenset({"logits", "overall"})
    metrics = (Metric("whole", "Nothing."),)


@hookimpl
def register_datasets() -> list[type]:
    return [Lamp]


@hookimpl
def register_models() -> list[type]:
    return [TwoOutputs]


@hookimpl
def register_analyses() -> list[type]:
    return [Undefined, FromFile, Whole]
