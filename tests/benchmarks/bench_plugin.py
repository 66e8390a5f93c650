"""Annotated noise images of radiograph-like smoothness, any number of them, and untrained networks to time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor import Box, Dataset, Sample, hookimpl

CLASSES = tuple(f"finding {number}" for number in range(14))


@dataclass(frozen=True)
class Smooth(Dataset):
    """Smooth noise at 224 x 224 with one or two boxes of NIH-like size in every image."""

    name = "smooth"
    images: int = 96

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def index(self) -> list[Sample]:
        samples = []
        for number in range(self.images):
            draw = np.random.Generator(np.random.Philox(key=[1, number]))
            boxes = []
            for target in draw.choice(14, int(draw.random() < 0.12) + 1, replace=False):
                width, height = draw.uniform(0.08, 0.45, 2)
                left, top = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
                boxes.append(Box(CLASSES[target], left, top, left + width, top + height))
            labels = tuple(int(any(box.label == name for box in boxes)) for name in CLASSES)
            samples.append(Sample(f"image-{number:05d}", f"patient-{number}", labels, tuple(boxes)))
        return samples

    def read(self, sample: Sample) -> Any:
        draw = np.random.Generator(np.random.Philox(key=[2, int(sample.id[-5:])]))
        coarse = draw.uniform(0, 1, (8, 8)).astype(np.float32)
        fine = draw.uniform(0, 0.2, (224, 224)).astype(np.float32)
        return np.clip(np.kron(coarse, np.ones((28, 28), np.float32)) * 0.8 + fine, 0, 1)[None]


@hookimpl
def register_datasets() -> list[type]:
    return [Smooth]
