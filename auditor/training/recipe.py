"""A recipe: everything of training that is not the data, the network, or the strategy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

Augmentation = Literal["none", "flip", "paper", "imba_explain"]


@dataclass(frozen=True)
class Recipe:
    """How long, how fast, in what portions and on what variations of the images a network is trained.

    `batch` is the number of images of one step over all processes together; an epoch's last images that do not fill a batch
    are left for the next epoch. The learning rate rises over `warmup` steps from `warmup_from` times `rate`, then follows
    the schedule down to `end` times `rate`. `precision` other than float32 is autocast; validation is always float32.
    """

    name: ClassVar[str] = "recipe"

    epochs: Count = 50
    batch: Count = 512
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    rate: Positive = 4e-4
    decay: Annotated[float, Field(ge=0)] = 1e-6
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["cosine", "constant"] = "cosine"
    end: Share = 0.0
    warmup: Annotated[int, Field(ge=0)] = 0
    warmup_from: Share = 0.01
    augmentation: Augmentation = "paper"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step, the first being 0, of so many steps in all."""
        if step < self.warmup:
            return self.rate * (self.warmup_from + (1 - self.warmup_from) * step / self.warmup)
        if self.schedule == "constant":
            return self.rate
        done = (step - self.warmup) / max(steps - self.warmup, 1)
        return self.rate * (self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2)

    def make_optimiser(self, network: Iterable[nn.Parameter], criterion: Iterable[nn.Parameter] = ()) -> Optimizer:
        """The optimiser of a network's weights, and of what its criterion learns: decay would pull that towards some answer."""
        import torch

        groups: list[dict[str, Any]] = [{"params": list(network)}, {"params": list(criterion), "weight_decay": 0.0}]
        learned = [group for group in groups if group["params"]]
        if self.optimiser == "sgd":
            return torch.optim.SGD(learned, lr=self.rate, weight_decay=self.decay, momentum=self.momentum)
        kind = torch.optim.Adam if self.optimiser == "adam" else torch.optim.AdamW
        return kind(learned, lr=self.rate, weight_decay=self.decay)


RECIPES = MappingProxyType(
    {
        "paper2022": Recipe(),
        "imba_explain": Recipe(warmup=1000, end=0.01, augmentation="imba_explain"),
        "small": Recipe(epochs=8, batch=64, rate=2e-3, warmup=40, augmentation="none"),
    }
)
"""By name. `paper2022` is section 4 of arXiv 2204.01729; `imba_explain` is what its public code does beyond the paper (linear
warm-up, an end rate, stronger augmentation); `small` suits small networks on a CPU."""
