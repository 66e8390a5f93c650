"""A folder of PNG or JPEG images and a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from auditor import Dataset, hookimpl

from .labelled_files import LabelledFiles

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class ImageFolder(LabelledFiles):
    """PNG or JPEG images in `folder`, described by a CSV `table` with one row per image.

    The classes are columns of 1, 0, and -1 or nothing for unknown: those that `class_names` lists, or else every column that
    holds nothing but that. Or else one `label_column` has the names joined by "|", "No Finding" for none, and an empty cell
    for unknown. `image_column` names the files, without their ending where `suffix` has it (".png"). `patient_column: ""` says that every
    image is a patient of its own; `split` takes only the rows that have it in `split_column`. `boxes` is a CSV of image, label, x, y,
    width, height in pixels of the file; `objects` are labels in it of what is no finding (a marker, a tube), which `shortcuts` can look for. Without `folder` there are no pixels, and only tables of scores can be audited.
    Images are read as grey; one that has real colours is refused unless `colour` says that they are meant.
    """

    name: ClassVar[str] = "image_folder"

    colour: bool = False

    def size_of(self, path: Path) -> tuple[int, int]:
        """(height, width) from the file's header."""
        from auditor.imaging import picture_size

        return picture_size(path)

    def pixels_of(self, path: Path) -> npt.NDArray[np.float32]:
        """Pixels [1, H, W], or [3, H, W] of an image with colours."""
        from auditor.imaging import read_picture

        return read_picture(path, self.colour)


@hookimpl
def register_datasets() -> Iterable[type[Dataset]]:
    """The data set of this file."""
    return [ImageFolder]
