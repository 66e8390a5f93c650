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

    Classes are columns of 1, 0, and -1 or nothing for unknown, or the names in `label_column`; `LabelledFiles` tells all the
    options. Images are read as grey; one that has real colours is refused unless `colour` says that they are meant.
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
