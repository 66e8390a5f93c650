"""Films taken three times over, and a network that reads one of the three exposures: audits with nothing to find, and with something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor import Box, Dataset, Layers, ModelLoader, Preprocessing, Sample, hookimpl

SIDE, MASS = 24, 6
STRENGTH = (0.5, 0.5, 0.1)
"""How bright a mass is in each exposure: the first two are drawn alike, the third is faint."""


@dataclass(frozen=True)
class Exposures(Dataset):
    """Two films of every patient; half of them show a mass, in all exposures at one place. Whatever else is on an exposure is its own.

    A mass is as bright as its patient and chance will have it, and on every exposure there is also something as bright that is none.
    """

    name = "exposures"
    seed: int = 0
    patients: int = 60

    def classes(self) -> tuple[str, ...]:
        return ("Mass",)

    def index(self) -> list[Sample]:
        samples = []
        for number in range(2 * self.patients):
            (x, y), ill = self._place(number)
            boxes = (Box("Mass", x / SIDE, y / SIDE, (x + MASS) / SIDE, (y + MASS) / SIDE),) if ill else ()
            samples.append(Sample(f"film-{number:03d}", f"patient-{number // 2}", (int(ill),), boxes))
        return samples

    def read(self, sample: Sample) -> Any:
        number = int(sample.id[-3:])
        of_patient, of_film = self._draw(2, number // 2), self._draw(3, number)
        patient, film = of_patient.uniform(0.0, 0.5, 3), of_film.uniform(0.0, 0.5, 3)
        pixels = of_film.uniform(0, 0.15, (3, SIDE, SIDE))
        (left, top), ill = self._place(number)
        for exposure in range(3):
            x, y = of_film.integers(0, SIDE - MASS, 2)
            pixels[exposure, y : y + MASS, x : x + MASS] += 0.3 * of_film.random()
            if ill:
                bright = STRENGTH[exposure] * (patient[exposure] + film[exposure])
                pixels[exposure, top : top + MASS, left : left + MASS] += bright
        return pixels.clip(0, 1).astype(np.float32)

    def _place(self, number: int) -> tuple[tuple[int, int], bool]:
        draw = self._draw(1, number)
        x, y = draw.integers(0, SIDE - MASS, 2).tolist()
        return (x, y), bool(draw.random() < 0.5)

    def _draw(self, stream: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self.seed, 10_000 * stream + number]))


@dataclass(frozen=True, kw_only=True)
class Reader(ModelLoader):
    """Adds up how bright one exposure is, at four levels."""

    name = "reader"
    exposure: int = 0
    classes: tuple[str, ...] = ("Mass",)
    preprocessing: Preprocessing = Preprocessing(size=SIDE, mean=(0.0,), std=(1.0,))

    def default_layers(self) -> Layers:
        return Layers("features", "features")

    def digest(self) -> str:
        return f"reader-{self.exposure}"

    def load(self) -> Any:
        import torch
        from torch import nn

        local = nn.Conv2d(3, 4, 3, padding=1)
        head = nn.Linear(4, 1)
        with torch.no_grad():
            local.weight.zero_()
            local.weight[:, self.exposure] = 1 / 9
            local.bias.copy_(torch.tensor([0.0, -0.1, -0.2, -0.3]))
            head.weight.fill_(8.0)
            head.bias.fill_(-2.0)
        network = nn.Sequential()
        network.add_module("features", nn.Sequential(local, nn.ReLU()))
        network.add_module("head", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head))
        return network.eval()


@hookimpl
def register_datasets() -> list[type]:
    return [Exposures]


@hookimpl
def register_models() -> list[type]:
    return [Reader]
