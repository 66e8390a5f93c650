"""A folder of DICOM files and a table."""

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
class DicomFolder(LabelledFiles):
    """Single-frame grey DICOM files in `folder`, described by a CSV `table` with one row per image.

    The options are those of `image_folder`, without `colour`. Patients and labels come from the table, never from the files' headers.
    """

    name: ClassVar[str] = "dicom_folder"

    def size_of(self, path: Path) -> tuple[int, int]:
        """(Rows, Columns) from the file's header."""
        from auditor.imaging import dicom_size

        return dicom_size(path)

    def pixels_of(self, path: Path) -> npt.NDArray[np.float32]:
        """Pixels [1, H, W], air black."""
        from auditor.imaging import read_dicom

        return read_dicom(path)


@hookimpl
def register_datasets() -> Iterable[type[Dataset]]:
    """The data set of this file."""
    return [DicomFolder]
