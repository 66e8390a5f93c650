"""A data set: a cheap list of samples, and a way to read the pixels of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that an annotator drew around one finding.

    Edges are fractions of the image's width and height (0 = left or top edge, 1 = right or bottom edge), so they hold
    whatever size the file has. Edges outside 0..1 are allowed here; the plan clips and counts them.
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of an image before its pixels are read.

    `labels` has one entry per class of the data set: 1 present, 0 absent, None unknown. `problem` says why the pixels
    cannot be had when that is already known ("missing"). `source` is whatever `read` needs; it is never printed.
    `version` changes when the file does (its size, say) and is part of the key of everything measured on it. `objects` are boxes of
    things that are no finding, such as a laterality marker or a tube; their labels are no classes.
    """

    id: str
    patient: str
    labels: tuple[int | None, ...]
    boxes: tuple[Box, ...] = ()
    split: str = ""
    source: str = ""
    version: str = ""
    problem: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)
    objects: tuple[Box, ...] = ()


class Dataset:
    """A list of samples, cheap to make, and a way to read one.

    Write a frozen dataclass whose fields are its options. Relative paths among the options are resolved against the
    folder of audit.yaml before the class is built when the field is annotated `pathlib.Path`.
    """

    name: ClassVar[str]

    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of `Sample.labels`."""
        raise NotImplementedError

    def index(self) -> list[Sample]:
        """Every sample of the chosen split, without reading a pixel; ids are unique."""
        raise NotImplementedError

    def read(self, sample: Sample) -> npt.NDArray[np.float32]:
        """Pixels [C, H, W] float32 in 0..1 with C 1 (grey, air black) or 3; raises Unreadable with a reason code."""
        raise NotImplementedError

    def mask(self, sample: Sample) -> npt.NDArray[np.uint8] | None:
        """The truth at every pixel, uint8 [K, H, W] in class order on the grid of `read`: 1 inside the finding, 0 outside, 255
        not known; None where nobody traced this image. Raises Unreadable with a reason code.
        """
        return None

    def train_counts(self) -> tuple[int, Mapping[str, int]] | None:
        """(images, positives per class) of the training split where the data set knows it; it orders head to tail."""
        return None

    def attributes(self) -> tuple[str, ...] | None:
        """What `Sample.metadata` can say, where that is known without listing the samples; None where it is not."""
        return None

    def mistakes(self) -> Iterable[str]:
        """Everything wrong with the options that tables and folders show without a pixel, each begun by its option: "groups[0]: ..."."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """What a reader of the report must know about these data: label noise, frames, what was counted out."""
        return ()
