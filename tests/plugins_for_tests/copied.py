"""Images of many patients, some of which are one film: equal, or saved again with other brightness, size and JPEG noise."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from PIL import Image

from auditor import Dataset, Sample, hookimpl

CLASSES = ("Nodule", "Effusion", "Mass")
SAME: dict[tuple[str, int], tuple[str, int]] = {
    ("test", 4): ("test", 0),
    ("test", 7): ("test", 6),
    ("train", 3): ("test", 10),
}
"""(split, number): the image whose pixels it has. 6 and 7 are of one patient."""
ALIKE: dict[tuple[str, int], tuple[str, int]] = {("test", 8): ("test", 2), ("test", 9): ("test", 1), ("train", 5): ("test", 11)}
"""The same of images that were saved again."""


def film(split: str, number: int) -> Any:
    """A smooth field [96, 96] that no other number has."""
    draw = np.random.Generator(np.random.Philox(key=[split == "train", number]))
    field = Image.fromarray((draw.random((16, 16)) * 255).astype(np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
    return np.asarray(field, np.float32) / 255


def saved_again(pixels: Any, size: int = 80) -> Any:
    """Darker, of less contrast, of another size, and through a JPEG."""
    picture = Image.fromarray(np.rint(255 * (0.1 + 0.6 * pixels)).astype(np.uint8)).resize(
        (size, size), Image.Resampling.BILINEAR
    )
    picture.save(file := io.BytesIO(), "JPEG", quality=60)
    return np.asarray(Image.open(file), np.float32) / 255


@dataclass(frozen=True)
class Copied(Dataset):
    """Two images of each patient, labels by turns."""

    name = "copied"
    split: Literal["test", "train"] = "test"
    images: int = 24
    clean: bool = False

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def index(self) -> list[Sample]:
        patient = "patient" if self.split == "test" else "teacher"
        return [
            Sample(f"{self.split}-{n:03d}", f"{patient}-{n // 2}", tuple((n >> k) % 2 for k in range(3)))
            for n in range(self.images)
        ]

    def read(self, sample: Sample) -> Any:
        place = (self.split, int(sample.id[-3:]))
        if not self.clean and place in SAME:
            pixels = film(*SAME[place])
        elif not self.clean and place in ALIKE:
            pixels = saved_again(film(*ALIKE[place]))
        else:
            pixels = film(*place)
        return np.ascontiguousarray(np.repeat(pixels[None], 3, 0))


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Copied]
