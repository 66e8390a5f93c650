"""What an image is known by again: a digest of its decoded pixels, and a thumbnail of which the local contrast is compared.

Chest films look alike, and their thumbnails correlate. What tells one film from all others is where ribs, vessels and edges lie, however bright
they are: each pixel of a thumbnail of 64 x 64 has the mean of its 5 x 5 neighbours taken away and is divided by their spread. On 1,677 radiographs
of ChestX-ray14 the correlation of this between films of two patients is at most 0.49, between two films of one patient 0.66, and
between a film and itself saved again as JPEG, at half the size, with other windows or with a marker 0.7 to 1 (docs/methods.md A.21).
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .ledger import publish

SIDE, NEIGHBOURS = 64, 5
FLOOR = 4.0
"""Grey levels of 255 added to the spread, so that what is flat stays flat."""
STEP = 4
"""Every fourth pixel each way gives a sign: 256 bits, four words of 64."""
SCALE = 25
"""Steps of 1 that a local contrast is kept in: it lies within -5 and 5, and so within a byte."""
DIGEST_BYTES = 16
FOLDER = "fingerprints"
NOTHING = np.zeros((SIDE, SIDE), np.int8)

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]


class Fingerprints(NamedTuple):
    """Of n images: their numbers in the plan, digests uint8 [n, 16] of all decoded pixels, and local contrasts int8 [n, 64, 64]."""

    rows: npt.NDArray[np.int64]
    digests: Bytes
    contrast: Signed


def digest(pixels: Floats, small: Bytes) -> bytes:
    """16 bytes of the shape, the thumbnail and a CRC-32 of all decoded values [C, H, W]: two films of one thumbnail share it with a chance of 2e-10.

    A cryptographic digest of every value would cost as much as decoding the file.
    """
    about = f"{pixels.shape} {zlib.crc32(np.ascontiguousarray(pixels).data)}".encode()
    return hashlib.blake2b(about + small.tobytes(), digest_size=DIGEST_BYTES).digest()


def thumbnail(pixels: Floats) -> Bytes:
    """uint8 [64, 64] of an image [C, H, W]: means over its cells and channels, stretched over the whole range; 0 where it is flat."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    small = adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(pixels)), SIDE).mean(0).numpy()
    span = small.max() - small.min()
    stretched = (small - small.min()) / span if span > 0 else np.zeros_like(small)
    found: Bytes = np.rint(stretched * 255).astype(np.uint8)
    return found


def local_contrast(small: Bytes) -> Signed:
    """int8 [64, 64] of a thumbnail, in 25ths: deviation from the mean of the neighbours over their spread, which lies within -5 and 5."""
    import torch
    from torch.nn.functional import avg_pool2d

    def mean(values: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(values, NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)

    grey = torch.from_numpy(small.astype(np.float32))[None]
    off = grey - mean(grey)
    found: Signed = np.rint((SCALE * off / (mean(off * off) + FLOOR * FLOOR).sqrt())[0].numpy()).astype(np.int8)
    return found


def codes(contrast: Signed) -> Words:
    """uint64 [n, 4]: the signs of every fourth pixel each way."""
    offset = STEP // 2
    signs = contrast[:, offset::STEP, offset::STEP] > 0
    return np.packbits(signs.reshape(len(contrast), -1), axis=1).view(np.uint64)


def correlations(ones: Signed, others: Signed) -> Floats:
    """float32 [n, m] of local contrasts [n, 64, 64] and [m, 64, 64]; 0 with one that is flat."""

    def whole(contrast: Signed) -> Floats:
        rows = contrast.reshape(len(contrast), -1).astype(np.float32)
        rows -= rows.mean(1, keepdims=True)
        length = np.sqrt((rows * rows).sum(1, keepdims=True))
        scaled: Floats = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
        return scaled

    found: Floats = whole(ones) @ whole(others).T
    return found


class Taken:
    """The fingerprints of a chunk while it is read."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._digests: list[bytes] = []
        self._contrast: list[Signed] = []

    def add(self, number: int, pixels: Floats) -> None:
        """Take those of the image with this number in the plan."""
        small = thumbnail(pixels)
        self._rows.append(number)
        self._digests.append(digest(pixels, small))
        self._contrast.append(local_contrast(small))

    def keep(self, folder: Path, name: str) -> None:
        """Write them under the name of the chunk, beside the pixels that `folder` holds."""
        out = io.BytesIO()
        np.savez(
            out,
            rows=np.array(self._rows, np.int64),
            digests=np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, DIGEST_BYTES),
            contrast=np.stack([NOTHING, *self._contrast])[1:],
        )
        publish(_place(folder, name), out.getvalue())


def kept(folder: Path, names: Sequence[str]) -> Fingerprints | None:
    """Those of all the chunks of these names, or None where one was never read."""
    parts = []
    for name in names:
        if not (place := _place(folder, name)).exists():
            return None
        with np.load(place, allow_pickle=False) as found:
            parts.append((found["rows"], found["digests"], found["contrast"]))
    return Fingerprints(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _place(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.npz"
