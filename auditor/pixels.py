"""Decoded images, read once for all models: prepared, quantised to 16 bits, and kept by chunk in the run folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .boxes import Frame
from .dataset import Dataset, Sample
from .errors import Unreadable
from .fingerprints import Fingerprints, Taken, kept
from .imaging import prepare
from .ledger import Quarantine, publish
from .masks import Masks
from .model import Preprocessing


@dataclass(frozen=True)
class Pixels:
    """The readable samples of a chunk: their numbers in the plan, pixels uint16 [n, C, S, S], frames, the unreadable, and masks
    that are read when they are asked for."""

    rows: npt.NDArray[np.int64]
    stored: npt.NDArray[np.uint16]
    frames: list[Frame]
    unreadable: list[Quarantine]
    masks: Masks | None = None


class PixelStore:
    """Prepared pixels by chunk; a chunk is read from the data set once, whoever asks for it and however often."""

    def __init__(self, folder: Path, dataset: Dataset, samples: Sequence[Sample], chunk: int, workers: int = 2) -> None:
        self.folder, self.dataset, self.samples, self.chunk = folder, dataset, samples, chunk
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._coming: dict[tuple[str, int], Future[Pixels]] = {}

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(cancel_futures=True)

    def expect(self, preprocessing: Preprocessing, number: int) -> None:
        """Begin to prepare a chunk that will be asked for next."""
        if number * self.chunk < len(self.samples):
            key = (preprocessing.recipe, number)
            if key not in self._coming:
                self._coming[key] = self._pool.submit(self._make, preprocessing, number)

    def get(self, preprocessing: Preprocessing, number: int) -> Pixels:
        """The pixels of a chunk."""
        self.expect(preprocessing, number)
        return self._coming.pop((preprocessing.recipe, number)).result()

    def fingerprints(self) -> Fingerprints | None:
        """Those of every image that could be read, or None where some chunk was never read."""
        return kept(self.folder, [self._name(number) for number in range(-(-len(self.samples) // self.chunk))])

    def _name(self, number: int) -> str:
        """A chunk by its size too: another `batch` divides the same images otherwise."""
        return f"{self.chunk}-{number:06d}"

    def _make(self, preprocessing: Preprocessing, number: int) -> Pixels:
        name = self._name(number)
        path = self.folder / preprocessing.recipe / f"{name}.npz"
        if not path.exists():
            first, taken = number * self.chunk, Taken()
            packed = _packed(self.dataset, list(enumerate(self.samples))[first : first + self.chunk], preprocessing, taken)
            taken.keep(self.folder, name)  # before the pixels: where these are, fingerprints are
            publish(path, packed)
        with np.load(path, allow_pickle=False) as found:
            rows, frames = found["rows"], [Frame(*map(float, frame)) for frame in found["frames"]]
            return Pixels(
                rows=rows,
                stored=found["stored"],
                frames=frames,
                unreadable=[Quarantine(*item) for item in json.loads(str(found["unreadable"]))],
                masks=Masks(path.with_name(f"{name}-masks.npz"), self.dataset, self.samples, preprocessing, rows, frames),
            )


def read_prepared(
    dataset: Dataset,
    sample: Sample,
    preprocessing: Preprocessing,
    look: Callable[[npt.NDArray[np.float32]], None] | None = None,
) -> tuple[npt.NDArray[np.uint16], Frame]:
    """Pixels uint16 [C, S, S] of one sample, and the part of the image they show; raises Unreadable and nothing else.

    `look` is shown the whole image [C, H, W] as it was decoded, once it is known to be usable.
    """
    if sample.problem:
        raise Unreadable(sample.problem)
    try:
        whole = _canonical(dataset.read(sample))
        prepared = prepare(whole, preprocessing)
        if look:
            look(whole)
        return prepared
    except Unreadable:
        raise
    except Exception as error:  # a data set plugin that stumbles over one image loses that image only
        words = "the data set's read() failed; its words may name patients"
        raise Unreadable(f"error:{type(error).__name__}", words) from error


def _packed(dataset: Dataset, numbered: Sequence[tuple[int, Sample]], preprocessing: Preprocessing, taken: Taken) -> bytes:
    rows, stored, frames, unreadable = [], [], [], []
    for number, sample in numbered:
        try:
            pixels, frame = read_prepared(dataset, sample, preprocessing, partial(taken.add, number))
        except Unreadable as problem:
            unreadable.append([number, problem.reason, str(problem)])
            continue
        rows.append(number)
        stored.append(pixels)
        frames.append(frame)
    depth = max((len(pixels) for pixels in stored), default=1)
    alike = [pixels if len(pixels) == depth else np.repeat(pixels, depth, 0) for pixels in stored]
    out = io.BytesIO()
    np.savez(
        out,
        rows=np.array(rows, np.int64),
        stored=np.stack(alike) if alike else np.zeros((0, depth, preprocessing.size, preprocessing.size), np.uint16),
        frames=np.array(frames, np.float64).reshape(len(frames), 4),
        unreadable=np.array(json.dumps(unreadable)),
    )
    return out.getvalue()


def _canonical(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Hold a data set to its contract, so that one bad image is quarantined and not fed to a network."""
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise Unreadable("shape", f"pixels have shape {pixels.shape}, not [1 or 3, H, W]")
    if not np.isfinite(pixels).all():
        raise Unreadable("nonfinite-pixels", "some pixels are not numbers")
    if pixels.min() < 0 or pixels.max() > 1:
        raise Unreadable("range", f"pixels reach from {pixels.min():.3g} to {pixels.max():.3g}, not 0..1")
    return pixels
