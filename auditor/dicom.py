"""What the numbers of a DICOM header make of stored values: modality LUT, then VOI, then 0..1 (PS3.3 C.11.1, C.11.2).

Works on a header that pydicom has parsed; files, caps and decoders are the business of `auditor.imaging`. pydicom's own
`apply_voi` keeps table indices in the width of the output, so an 8-bit table for 12-bit values comes out wrong; hence our own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import Unreadable

Reals = npt.NDArray[np.float64]

TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PlanarConfiguration", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelData",
)  # fmt: skip
"""All that is parsed of a file."""


def value_of(header: Any, keyword: str) -> Any:
    """The value of a tag, None where there is none; raises Unreadable."""
    try:
        return header.get(keyword)
    except Exception as error:  # values are parsed when they are asked for
        raise Unreadable("header", f"{keyword} cannot be read") from error


def whole_number(header: Any, keyword: str, default: int | None = None) -> int:
    """The value of a tag that must be one whole number."""
    value = value_of(header, keyword)
    if value is None and default is not None:
        return default
    if not isinstance(value, int):
        raise Unreadable("header", f"{keyword} is not one whole number")
    return int(value)


def _number(header: Any, keyword: str, default: float) -> float:
    value = value_of(header, keyword)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise Unreadable("header", f"{keyword} is not one number") from error
    if not math.isfinite(number):
        raise Unreadable("header", f"{keyword} is {number}, not a finite number")
    return number


def air_is_white(header: Any) -> bool:
    """Whether the image is stored with air white; raises Unreadable for everything that `read_dicom` does not read."""
    photometric = str(value_of(header, "PhotometricInterpretation"))
    if whole_number(header, "SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise Unreadable("mode:colour", f"PhotometricInterpretation {photometric[:16]!r}; MONOCHROME1 and MONOCHROME2 are read")
    frames = whole_number(header, "NumberOfFrames", 1)
    if frames != 1:
        raise Unreadable("frames", f"{frames} frames; one is expected")
    allocated, bits = whole_number(header, "BitsAllocated"), whole_number(header, "BitsStored")
    if allocated not in (8, 16) or not 1 <= bits <= allocated or whole_number(header, "HighBit", bits - 1) != bits - 1:
        raise Unreadable("header", f"{bits} bits stored of {allocated}; up to 16, right-aligned, are read")
    if photometric == "MONOCHROME2" and value_of(header, "PresentationLUTShape") == "INVERSE":
        raise Unreadable("photometric", "MONOCHROME2 says that air is black, PresentationLUTShape INVERSE that it is white")
    return photometric == "MONOCHROME1"


def as_shown(header: Any, stored: npt.NDArray[Any]) -> Reals:
    """Stored values as they are meant to be shown, 0..1 of the output range."""
    bits, signed = whole_number(header, "BitsStored"), whole_number(header, "PixelRepresentation", 0) == 1
    values = stored.astype(np.int64) & (2**bits - 1)  # unused high bits may hold an overlay
    ends = (0.0, 2.0**bits - 1)
    if signed:
        half = 2 ** (bits - 1)
        values, ends = (values ^ half) - half, (-float(half), half - 1.0)
    real: Reals
    if value_of(header, "ModalityLUTSequence"):
        real, ends = _looked_up(header, "ModalityLUTSequence", values)
    else:
        slope, intercept = _number(header, "RescaleSlope", 1.0), _number(header, "RescaleIntercept", 0.0)
        if slope == 0:
            raise Unreadable("header", "RescaleSlope is 0")
        ends = (ends[0] * slope + intercept, ends[1] * slope + intercept)
        if not 0 < abs(ends[1] - ends[0]) < math.inf:
            raise Unreadable("header", f"RescaleSlope {slope:g} and RescaleIntercept {intercept:g} leave no usable range")
        real = values * slope + intercept
    if value_of(header, "VOILUTSequence"):
        real, ends = _looked_up(header, "VOILUTSequence", np.rint(real))
    elif value_of(header, "WindowCenter") not in (None, "") and value_of(header, "WindowWidth") not in (None, ""):
        return _windowed(header, real)
    low, high = min(ends), max(ends)
    return np.clip((real - low) / (high - low), 0.0, 1.0)


def _looked_up(header: Any, sequence: str, values: npt.NDArray[Any]) -> tuple[Reals, tuple[float, float]]:
    """Values through the first table of a LUT sequence, and the ends of its output; inputs beyond the table take its ends."""
    try:
        item = value_of(header, sequence)[0]
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        order = "<" if header.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = item.LUTData
        table = np.frombuffer(data, f"{order}u2") if isinstance(data, bytes) else np.asarray(data, np.uint16)
    except Exception as error:  # values are parsed when they are asked for
        raise Unreadable("header", f"{sequence} cannot be used ({type(error).__name__})") from error
    count = count % 65536 or 65536  # 65536 does not fit in two bytes and is written 0
    if bits == 8 and len(table) < count:
        table = table.astype("<u2").view(np.uint8)  # two entries to a word
    if not 8 <= bits <= 16 or len(table) < count:
        raise Unreadable("header", f"{sequence} has {len(table)} entries of {bits} bits where {count} are declared")
    return table[np.clip(values - first, 0, count - 1).astype(np.int64)].astype(np.float64), (0.0, 2.0**bits - 1)


def _windowed(header: Any, values: Reals) -> Reals:
    """Values through the first window, 0..1 (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    centre, width = _first(header, "WindowCenter"), _first(header, "WindowWidth")
    function = str(value_of(header, "VOILUTFunction") or "LINEAR")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise Unreadable("header", f"VOILUTFunction {function[:16]!r}; LINEAR, LINEAR_EXACT, SIGMOID are read")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise Unreadable("header", f"WindowWidth {width:g} is too small for {function}")
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -60.0, 60.0))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1.0
    if width == 0:
        return (values > centre).astype(np.float64)
    with np.errstate(over="ignore"):  # a very narrow window is a step
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _first(header: Any, keyword: str) -> float:
    """The first of one or more numbers; of several windows the first is the one meant to be shown first."""
    value = value_of(header, keyword)
    if not isinstance(value, (str, int, float)):
        header = {keyword: value[0] if len(value) else None}
    return _number(header, keyword, math.nan)
