"""A small network, and strangers who say too much: what they tell comes from SAYS, which a test fills in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from auditor_plugins.datasets.image_folder import ImageFolder

from auditor import Analysis, Finding, Layers, Metric, ModelLoader, Unreadable, hookimpl

SAYS: dict[str, str] = json.loads(Path(__file__).with_suffix(".json").read_text())


@dataclass(frozen=True)
class Films(ImageFolder):
    """An image folder that has notes and metadata, and cannot read some of its files."""

    name = "films"
    remark: str = ""

    def index(self) -> list[Any]:
        from dataclasses import replace

        wards = [SAYS["name of a small group"] if number < 4 else "1" for number in range(len(super().index()))]
        return [
            replace(sample, metadata={"note": SAYS["sample metadata"], "ward": ward})
            for sample, ward in zip(super().index(), wards, strict=True)
        ]

    def read(self, sample: Any) -> Any:
        if sample.id.endswith("07"):
            raise Unreadable(SAYS["quarantine reason"], SAYS["quarantine detail"])
        if sample.id.endswith("08"):
            raise RuntimeError(SAYS["text of an exception while reading"])
        return super().read(sample)

    def notes(self) -> tuple[str, ...]:
        return (SAYS["note of a data set"],)


@dataclass(frozen=True, kw_only=True)
class SmallNetwork(ModelLoader):
    """One convolution, pooling and a linear layer, with weights drawn from the length of a file's name."""

    name = "small"
    checkpoint: Path
    remark: str = ""

    def default_layers(self) -> Layers:
        return Layers("0", "0")

    def digest(self) -> str:
        return f"small-{self.seed}-{self.strategy}"

    def load(self) -> Any:
        import torch
        from torch import nn

        torch.manual_seed(len(self.strategy))
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, len(self.classes))
        )


class Telltale(Exception):
    """An exception whose name is not shared either."""


@dataclass(frozen=True)
class Raises(Analysis):
    """Fails, and says why."""

    name = "raises"
    metrics = (Metric("raised", "Nothing at all."),)

    def measure(self, batch: Any) -> dict[str, Any]:
        raise Telltale(SAYS["text of an exception in an analysis"])


@dataclass(frozen=True)
class Opens(Analysis):
    """Fails with an exception of Python's own that quotes a path."""

    name = "opens"
    metrics = (Metric("opened", "Nothing at all."),)

    def measure(self, batch: Any) -> dict[str, Any]:
        raise LookupError(f"nothing in /{SAYS['path that is not there']}/x.txt")


@dataclass(frozen=True)
class Mute(Analysis):
    """Has no value for some cases."""

    name = "mute"
    metrics = (Metric("muteness", "One.", undefined="never"),)

    def measure(self, batch: Any) -> dict[str, Any]:
        return {"muteness": np.ones(len(batch.cases.image))}


@hookimpl
def register_datasets() -> list[type]:
    return [Films]


@hookimpl
def register_models() -> list[type]:
    return [SmallNetwork]


@hookimpl
def register_analyses() -> list[type]:
    return [Raises, Opens, Mute]


@hookimpl
def judge(comparisons: Any, gaps: Any) -> Any:
    return [Finding("alarm", SAYS["finding of a plugin"])]


@hookimpl
def audit_done(evidence: Any, report: Any) -> None:
    raise ValueError(SAYS["text of an exception in an observer"])


@hookimpl
def prepare_environment(environment: Any) -> None:
    environment.globals["said"] = SAYS["global of the templates"]
