"""Pixels in: untrusted files become float32 [C, H, W] in 0..1 with air black, and those become what a network is fed.

Values are scaled by what the file declares (bit depth, window), never by what happens to occur in it. Whatever cannot be
read for certain is Unreadable with a reason code: `missing`, `permission`, `not-an-image`, `path:*`, `cap:*`, `mode:*`,
`decode:*`, `orientation`, `frames`, `header`, `photometric`, `syntax`, `decoder`.
"""

from __future__ import annotations

import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .boxes import Frame
from .dicom import TAGS, air_is_white, as_shown, value_of, whole_number
from .errors import ConfigError, PluginError, Unreadable

if TYPE_CHECKING:
    from torch import Tensor

    from .model import Preprocessing

Pixels = npt.NDArray[np.float32]
Size = tuple[int, int]

MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 50_000_000
MAX_META_BYTES = 64 * 2**10
MAX_NAME_BYTES = 255

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_EXIF_ORIENTATION = 0x0112
_FULL_SCALE = {"1": 1.0, "L": 255.0, "I;16": 65535.0, "LA": 255.0, "RGB": 255.0, "RGBA": 255.0}


def path_problem(name: str) -> str | None:
    """Why a name from a table must not be joined to a folder, or None.

    >>> path_problem("../secret.png"), path_problem("images/a.png")
    ('path:parent', None)
    """
    if not name.strip("./ "):
        return "path:parent" if ".." in name else "path:empty"
    if _CONTROL.search(name):
        return "path:control"
    if "\\" in name:
        return "path:backslash"
    if _ABSOLUTE.match(name):
        return "path:absolute"
    parts = name.split("/")
    if ".." in parts:
        return "path:parent"
    if any(len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES for part in parts):
        return "path:long"
    return None


def file_version(file: Path | os.DirEntry[str]) -> str:
    """Something that changes when a file is replaced, without reading it: its size and time of change. OSError if missing."""
    status = file.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def safe_path(root: Path, name: str) -> Path:
    """The file called `name` below `root`, with every link followed; raises Unreadable when it is not below `root`."""
    problem = path_problem(name)
    if problem:
        raise Unreadable(problem, f"{name[:80]!r} is not a plain relative path of a file")
    base = root.resolve()
    try:
        path = (base / name).resolve()
    except (OSError, RuntimeError) as error:
        raise Unreadable("path:link", f"{name!r} is a link that leads nowhere") from error
    if not path.is_relative_to(base):
        raise Unreadable(
            "path:link", f"{name!r} is a link to outside the folder; name the folder that holds the files themselves"
        )
    return path


def _open(path: Path) -> BinaryIO:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable("not-an-image", "not a regular file")
        if found.st_size > MAX_FILE_BYTES:
            raise Unreadable("cap:file", f"{found.st_size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        return path.open("rb")
    except PermissionError as error:
        raise Unreadable("permission", "the file may not be read by this user") from error
    except OSError as error:
        raise Unreadable("missing", "no such file") from error


def _check_area(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise Unreadable("header", f"an image of {height} rows and {width} columns")
    if height * width > MAX_PIXELS:
        raise Unreadable("cap:pixels", f"{height} x {width} pixels; at most {MAX_PIXELS:,} are read")


# PNG and JPEG


def _picture(handle: BinaryIO) -> Any:
    """The picture with its header read and checked, nothing decoded; only PNG and JPEG, whatever the name says."""
    from PIL import Image

    try:
        image = Image.open(handle, formats=("PNG", "JPEG"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable("cap:pixels", f"far more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise Unreadable("not-an-image", f"not a PNG or JPEG picture ({type(error).__name__})") from error
    _check_area(image.height, image.width)
    return image


def picture_size(path: Path) -> Size:
    """(height, width) of a PNG or JPEG from its header; raises Unreadable."""
    with _open(path) as handle, _picture(handle) as image:
        return image.height, image.width


def read_picture(path: Path, colour: bool = False) -> Pixels:
    """A PNG or JPEG as [1, H, W], or [3, H, W] where it really has colours and `colour` says that they are meant.

    A palette is read only with `colour`. Transparency, an EXIF orientation, several frames and CMYK are refused: each would
    show something other than what is stored, or shift the boxes.
    """
    from PIL import ImageFile

    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise PluginError("a plugin has set PIL.ImageFile.LOAD_TRUNCATED_IMAGES; half an image would pass for a whole one")
    with _open(path) as handle:
        depth = _png_depth(handle)
        with _picture(handle) as image:
            _decode(image)
            _check_picture(image, depth, colour)
            return _to_canonical(image.convert("RGB") if image.mode == "P" else image, colour)


def _png_depth(handle: BinaryIO) -> int:
    head = handle.read(25)
    handle.seek(0)
    return head[24] if head.startswith(b"\x89PNG") and len(head) == 25 else 8


def _decode(image: Any) -> None:
    try:
        image.load()
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        frames = getattr(image, "n_frames", 1)
    except Exception as error:  # a decoder may raise anything on hostile bytes
        reason = "decode:truncated" if "truncated" in str(error).lower() else "decode:corrupt"
        raise Unreadable(reason, f"the {image.format} data cannot be decoded ({type(error).__name__})") from error
    if orientation != 1:
        raise Unreadable("orientation", f"EXIF orientation {orientation}: store the image upright, boxes are in stored pixels")
    if frames > 1:
        raise Unreadable("frames", f"{frames} frames; one is expected")


def _check_picture(image: Any, depth: int, colour: bool) -> None:
    if image.mode == "P" and not colour:
        raise Unreadable("mode:palette", "colours from a palette; say colour: true if they are meant")
    if image.mode not in _FULL_SCALE and image.mode != "P":
        raise Unreadable(f"mode:{image.mode}", f"pixels of mode {image.mode} are not read")
    if depth == 16 and image.mode != "I;16":
        raise Unreadable("mode:16-bit-colour", "16 bits a channel in colour or with transparency; store grey without alpha")
    if "transparency" in image.info:
        raise Unreadable("mode:transparent", "one of the values is declared transparent")


def _to_canonical(image: Any, colour: bool) -> Pixels:
    values = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        if (values[..., -1] != 255).any():
            raise Unreadable("mode:transparent", "some pixels are transparent, and what lies under them is undefined")
        values = values[..., :-1]
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim == 3 and not colour:
        raise Unreadable("mode:colour", "the image has colours; say colour: true if they are meant")
    planes = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    return np.ascontiguousarray(planes, dtype=np.float32) / np.float32(_FULL_SCALE[image.mode])


# DICOM


def dicom_size(path: Path) -> Size:
    """(height, width) of a DICOM image from its header; raises Unreadable."""
    header = _dicom(path, pixels=False)
    return whole_number(header, "Rows"), whole_number(header, "Columns")


def read_dicom(path: Path) -> Pixels:
    """A single-frame grey DICOM image as [1, H, W], air black.

    Modality LUT or rescale, then VOI LUT or the first window (PS3.3 C.11.1, C.11.2), scaled by the output range; without VOI by
    the range of the stored bits. Then MONOCHROME1 is inverted; PresentationLUTShape INVERSE only says the same thing again.
    """
    header = _dicom(path, pixels=True)
    if "PixelData" not in header:
        raise Unreadable("decode:truncated", "the file ends before its pixel data, or has none")
    inverted = air_is_white(header)
    stored = _stored(header, whole_number(header, "Rows"), whole_number(header, "Columns"))
    shown = as_shown(header, stored)
    return (1.0 - shown if inverted else shown).astype(np.float32)[None]


def _stored(header: Any, height: int, width: int) -> npt.NDArray[Any]:
    """The stored values [H, W], decoded."""
    _check_area(height, width)
    syntax, data = header.file_meta.TransferSyntaxUID, value_of(header, "PixelData")
    held = len(data) if isinstance(data, bytes) else 0
    owed = height * width * whole_number(header, "BitsAllocated") // 8
    if not syntax.is_compressed and held < owed:
        raise Unreadable("decode:truncated", f"{held:,} bytes of pixel data where {owed:,} are declared")
    _check_decoder(syntax)
    try:
        stored = np.asarray(header.pixel_array)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a decoder may raise anything on hostile bytes; those in Rust panic past Exception
        raise Unreadable("decode:corrupt", _cannot(error)) from error
    if stored.shape != (height, width):
        raise Unreadable("decode:corrupt", f"the pixel data are {list(stored.shape)}, not [{height}, {width}]")
    return stored


def _cannot(error: BaseException) -> str:
    # the library's own words may quote the file, and the file may name a patient
    return f"the DICOM data cannot be decoded ({type(error).__name__})"


def _dicom(path: Path, pixels: bool) -> Any:
    from pydicom import dcmread

    with _open(path) as handle:
        head = handle.read(144)
        if head[128:132] != b"DICM":
            raise Unreadable("not-an-image", "not a DICOM file: no DICM mark at byte 128")
        if head[132:136] == b"\x02\x00\x00\x00" and int.from_bytes(head[140:144], "little") > MAX_META_BYTES:
            raise Unreadable("cap:meta", f"more than {MAX_META_BYTES:,} bytes of file meta information")
        _check_syntax(path)
        handle.seek(0)
        try:  # only the tags that are needed: the others are where patients are named and bombs are hidden
            return dcmread(handle, stop_before_pixels=not pixels, specific_tags=list(TAGS))
        except RecursionError as error:
            raise Unreadable("cap:depth", "sequences nested too deeply") from error
        except Exception as error:  # a parser may raise anything on hostile bytes
            raise Unreadable("decode:header", _cannot(error)) from error


def _check_syntax(path: Path) -> None:
    """Judge by the file meta alone: dcmread inflates a deflated file to whatever size it has."""
    from pydicom import uid
    from pydicom.filereader import read_file_meta_info

    try:
        syntax = uid.UID(read_file_meta_info(path).TransferSyntaxUID)
    except Exception as error:  # a parser may raise anything on hostile bytes
        raise Unreadable("decode:header", "no transfer syntax in the file meta information") from error
    plain = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, *uid.RLETransferSyntaxes]
    if syntax not in [*plain, *uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes]:
        raise Unreadable("syntax", f"transfer syntax {syntax.name[:64]!r} is not read")


def _check_decoder(syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    decoder = get_decoder(syntax)
    if not decoder.is_available:
        missing = "; ".join(decoder.missing_dependencies)
        raise Unreadable("decoder", f"no decoder for {syntax.name}: {missing}. Run: pip install 'auditor[dicom]'")


# what the network is fed


def prepare(pixels: Pixels, preprocessing: Preprocessing) -> tuple[npt.NDArray[np.uint16], Frame]:
    """Pixels [C, H, W] in 0..1 cut and resized to uint16 [C, S, S] (0..65535 for 0..1), and the part of the image kept.

    Bilinear with antialiasing, half-pixel centres, as torchvision's resize and centre crop; an image that already has the size
    is left alone. `channels` and the normalisation come later, so that one store serves every model of the same geometry.
    """
    _check_pixels(pixels)
    height, width, part, frame = cut(pixels.shape[1], pixels.shape[2], preprocessing)
    kept = _resize(pixels, height, width)[:, part[0], part[1]]
    return np.rint(np.clip(kept, 0.0, 1.0) * np.float32(65535)).astype(np.uint16), frame


def cut(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int, tuple[slice, slice], Frame]:
    """(height, width) that an image of this size is scaled to, the rows and columns then kept, and them as fractions."""
    size = preprocessing.size
    height, width = _scaled_size(height, width, preprocessing)
    _check_area(height, width)  # a crop of one row by a million columns would be scaled up first
    top, left = round((height - size) / 2.0), round((width - size) / 2.0)
    frame = Frame(left / width, top / height, (left + size) / width, (top + size) / height)
    return height, width, (slice(top, top + size), slice(left, left + size)), frame


def _check_pixels(pixels: Pixels) -> None:
    if pixels.dtype != np.float32 or pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or pixels.size == 0:
        raise PluginError(f"a data set gave pixels {pixels.dtype} {list(pixels.shape)}, not float32 [1 or 3, H, W]")
    low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Unreadable("nonfinite", "some pixels are not finite numbers")
    if low < 0 or high > 1:
        raise PluginError(f"a data set gave pixels from {low:g} to {high:g}, not in 0..1")


def _scaled_size(height: int, width: int, preprocessing: Preprocessing) -> Size:
    if preprocessing.fit == "stretch":
        return preprocessing.size, preprocessing.size
    shorter = preprocessing.resize or round(preprocessing.size * 256 / 224)
    if shorter < preprocessing.size:
        raise ConfigError(f"preprocessing.resize is {shorter}, and a crop of {preprocessing.size} does not fit in it")
    return (shorter, int(shorter * width / height)) if height <= width else (int(shorter * height / width), shorter)


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    if pixels.shape[1:] == (height, width):
        return pixels
    import torch
    from torch.nn.functional import interpolate

    batch = torch.tensor(pixels)[None]
    resized: Pixels = interpolate(batch, (height, width), mode="bilinear", antialias=True, align_corners=False)[0].numpy()
    return resized


def normalise(stored: npt.NDArray[np.uint16], preprocessing: Preprocessing) -> Tensor:
    """Stored pixels uint16 [n, C, S, S] as the network's input float32 [n, channels, S, S]: (x - mean) / std.

    Grey is repeated over the channels. What came from 8 bits is k / 255 to the last bit before it is normalised.
    """
    return fed(in_unit_range(stored), preprocessing)


def in_unit_range(stored: npt.NDArray[np.uint16]) -> Pixels:
    """Stored pixels uint16 [n, C, S, S] as float32 in 0..1."""
    return stored.astype(np.float32) / np.float32(65535)


def fed(unit: Pixels, preprocessing: Preprocessing) -> Tensor:
    """Pixels float32 [n, C, S, S] in 0..1 as the network's input, as `normalise` does it."""
    import torch

    channels = preprocessing.channels
    if unit.shape[1] not in (1, channels):
        raise PluginError("images with colours cannot be fed to a network with one channel; read them with colour: false")
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    for name, given in (("mean", mean), ("std", std)):
        if given.shape not in ((1,), (channels,)):
            raise ConfigError(f"preprocessing.{name} has {given.size} values for {channels} channels")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise ConfigError("preprocessing.mean and std must be finite, and std above 0")
    shape = (len(unit), channels, *unit.shape[2:])
    centred = np.subtract(unit, mean[:, None, None], out=np.empty(shape, np.float32))
    return torch.from_numpy(np.divide(centred, std[:, None, None], out=centred))
