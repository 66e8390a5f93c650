"""Chest phantoms as a data set: every finding, box and shortcut in it was planted by us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from auditor import Box, Dataset, Sample, hookimpl, planted
from auditor.letter import letter_bounds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Side = Annotated[int, Field(ge=32, le=8192)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Planted(Dataset):
    """Drawn chest films with six findings of long-tailed prevalence, exact boxes, and a laterality marker at a dial.

    `size` is the height and width in pixels, or [height, width]. A patient has 1 to `repeats` films of one anatomy; splits
    share no patient. `marker` says how far the marker gives `marker_class` away: 0 not at all, 1 always; its box is the object "marker".
    `boxed` is the share of films with findings that carry their boxes. `train_images` is the size of the training split
    whose class counts order the classes from head to tail. Every patient is in one of two groups (`group` A or B); `group_gap` says
    how much fainter the findings of group B are drawn: 0 as in A, 1 all as faint as the faintest.
    """

    name = "planted"

    images: Annotated[int, Field(ge=1, le=1_000_000)] = 400
    size: Side | tuple[Side, Side] = 128
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    split: planted.Split = "test"
    task: Literal["multilabel", "binary"] = "multilabel"
    repeats: Annotated[int, Field(ge=1, le=1000)] = 4
    boxed: Share = 1.0
    marker: Share = 0.0
    marker_class: planted.Kind = "Nodule"
    group_gap: Share = 0.0
    train_images: Annotated[int, Field(ge=1, le=1_000_000)] = 3000

    def classes(self) -> tuple[str, ...]:
        """The six findings from common to rare, or `Unhealthy` for any of them."""
        return planted.CLASSES if self.task == "multilabel" else ("Unhealthy",)

    def index(self) -> list[Sample]:
        """The first `images` films of the split; nothing is drawn."""
        return [self._sample(*name) for name in planted.films(self.seed, self.split, self.images, self.repeats)]

    def read(self, sample: Sample) -> npt.NDArray[np.float32]:
        """The film [1, H, W]."""
        patient, number = sample.source.split("/")
        return planted.draw(self.film(int(patient), int(number)), *self._shape).pixels[None]

    def mask(self, sample: Sample) -> npt.NDArray[np.uint8]:
        """Where each finding was drawn [K, H, W], to the pixel."""
        import numpy as np

        patient, number = sample.source.split("/")
        film = self.film(int(patient), int(number))
        classes = self.classes()
        found = np.zeros((len(classes), *self._shape), np.uint8)
        for lesion, mask in zip(film.lesions, planted.draw(film, *self._shape).masks, strict=True):
            found[0 if self.task == "binary" else classes.index(lesion.kind)] |= mask
        return found

    def train_counts(self) -> tuple[int, Mapping[str, int]]:
        """The training split's films and how many of them show each class."""
        labels = [
            self._labels(planted.film(self.seed, "train", patient, number))
            for patient, number in planted.films(self.seed, "train", self.train_images, self.repeats)
        ]
        return len(labels), dict(zip(self.classes(), map(sum, zip(*labels, strict=True)), strict=True))

    def attributes(self) -> tuple[str, ...]:
        """The letter of the marker, and the patient's group."""
        return ("marker", "group")

    def notes(self) -> tuple[str, ...]:
        """That nothing here is a patient, and what was planted."""
        drawn = "The images are drawn phantoms, not radiographs: their findings, boxes and masks are planted truth."
        shortcut = (
            f"A laterality marker was planted to go with {self.marker_class}: the share of films that carry it is "
            f"{self.marker:.2f} higher with the finding than without."
        )
        faint = f"Findings of the patients of group B were drawn fainter: their strength above the faintest is {self.group_gap:.0%} less than in group A."
        return (drawn, *([shortcut] if self.marker else []), *([faint] if self.group_gap else []))

    def film(self, patient: int, number: int) -> planted.Film:
        """The film behind a sample, for whoever wants its masks or the same film without a lesion."""
        film = planted.film(self.seed, self.split, patient, number, self.marker, self.marker_class)
        if self.group_gap and planted.group(self.seed, self.split, patient) == "B":
            faint = tuple(replace(lesion, strength=lesion.strength * (1 - self.group_gap)) for lesion in film.lesions)
            return replace(film, lesions=faint)
        return film

    @property
    def _shape(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def _labels(self, film: planted.Film) -> tuple[int, ...]:
        if self.task == "binary":
            return (int(bool(film.lesions)),)
        return tuple(int(film.shows(kind)) for kind in planted.CLASSES)

    def _sample(self, patient: int, number: int) -> Sample:
        film = self.film(patient, number)
        name = f"{self.split}-{patient:06d}"
        return Sample(
            id=f"{name}-{number:03d}",
            patient=name,
            labels=self._labels(film),
            boxes=tuple(self._box(film, lesion) for lesion in film.lesions if film.lot < self.boxed),
            split=self.split,
            source=f"{patient}/{number}",
            version=f"{planted.VERSION}/{self.seed}/{self.marker}/{self.marker_class}"
            + (f"/{self.group_gap}" if self.group_gap else ""),
            metadata={"marker": film.marker or "none", "group": planted.group(self.seed, self.split, patient)},
            objects=self._marker(film),
        )

    def _marker(self, film: planted.Film) -> tuple[Box, ...]:
        height, width = self._shape
        bounds = letter_bounds(film.marker, height, width) if film.marker else None
        if bounds is None:
            return ()
        left, top, right, bottom = bounds
        return (Box("marker", left / width, top / height, right / width, bottom / height),)

    def _box(self, film: planted.Film, lesion: planted.Lesion) -> Box:
        height, width = self._shape
        left, top, right, bottom = planted.bounds(film, lesion, height, width)
        label = "Unhealthy" if self.task == "binary" else lesion.kind
        return Box(label, left / width, top / height, right / width, bottom / height)


@hookimpl
def register_datasets() -> list[type]:
    """The positive control, as a data set any audit can name."""
    return [Planted]
