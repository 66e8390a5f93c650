"""A data set through a network, once: the input of its last linear layer and its logits, kept by chunk so that it can be gone on with."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..dataset import Dataset, Sample
from ..errors import AuditError, ModelRefused, Unreadable
from ..imaging import normalise
from ..ledger import publish
from ..model import Preprocessing
from ..network import Network
from ..pixels import read_prepared

CHUNK = 256
"""Images that are embedded before what was found is written."""

NONFINITE = "nonfinite"

Floats = npt.NDArray[np.float32]


class Tap(NamedTuple):
    """Where features are taken: what goes into a linear layer, or the mean over positions of what a convolutional one gives.

    `linear` promises that the logits are that layer's output: only then do gradients follow from features and logits.
    """

    layer: str
    entering: bool
    linear: bool


class Embedder:
    """A network in eval mode that gives features [n, d] and all its logits [n, K], each image in a batch of fixed size."""

    def __init__(self, module: nn.Module, lens: Preprocessing, batch: int, device: str, tap: Tap | None = None) -> None:
        self.network = Network(module.to(device), ())
        self.lens, self.batch, self.device = lens, batch, device
        self._tap = tap

    @property
    def tap(self) -> Tap:
        """Where features are taken."""
        assert self._tap is not None
        return self._tap

    def prepare(self, stored: npt.NDArray[np.uint16], names: Sequence[str], layer: str) -> None:
        """Check the outputs on a few images and find where features are; `layer` is where to take them without a linear head."""
        images = normalise(stored, self.lens).to(self.device)
        for form in (torch.channels_last, torch.contiguous_format):
            self.network.use(form)
            try:
                self.network.probe(self.network.laid_out(images), names)
                self._tap = _find_tap(self.network.module, self.network.laid_out(images), layer)
                return
            except AuditError:
                raise
            except Exception as error:  # the network is a stranger's code
                failed = error
        raise ModelRefused(f"the network fails on two images: {type(failed).__name__}: {failed}") from failed

    def __call__(self, stored: npt.NDArray[np.uint16]) -> tuple[Floats, Floats]:
        """Features and logits of stored pixels uint16 [n, C, S, S]."""
        found = [self._batch(stored[start : start + self.batch]) for start in range(0, len(stored), self.batch)]
        features, logits = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(logits)

    def _batch(self, stored: npt.NDArray[np.uint16]) -> tuple[Floats, Floats]:
        images = normalise(stored, self.lens).to(self.device)
        short = self.batch - len(images)
        if short:
            images = torch.cat([images, images.new_zeros((short, *images.shape[1:]))])
        with tapped(self.network.module, self.tap) as features:
            logits = self.network.every_logit(self.network.laid_out(images))
        self.network.forget()
        return tuple(part[: len(stored)].float().cpu().numpy() for part in (features[0], logits))  # type: ignore[return-value]


@contextmanager
def tapped(module: nn.Module, tap: Tap) -> Iterator[list[Tensor]]:
    """The features [N, d] of every forward pass inside the `with`, in order."""
    found: list[Tensor] = []
    layer = module.get_submodule(tap.layer)
    if tap.entering:
        handle: Any = layer.register_forward_pre_hook(lambda _, given: found.append(given[0].detach()))
    else:
        handle = layer.register_forward_hook(lambda _, __, out: found.append(out.detach().mean((2, 3))))
    try:
        yield found
    finally:
        handle.remove()


def _find_tap(module: nn.Module, images: Tensor, layer: str) -> Tap:
    """The last linear layer that is entered once by one vector per image; else the mean over positions of the named layer."""
    for name, part in reversed(list(module.named_modules())):
        if not isinstance(part, nn.Linear):
            continue
        with torch.no_grad(), tapped(module, Tap(name, True, False)) as features:
            logits = module(images)
        if len(features) == 1 and features[0].shape == (len(images), part.in_features):
            with torch.no_grad():
                rebuilt = part(features[0])
            same = rebuilt.shape == logits.shape and torch.allclose(rebuilt, logits, rtol=1e-4, atol=1e-4)
            return Tap(name, True, bool(same))
    if layer:
        return Tap(layer, False, False)
    raise ModelRefused("no linear layer has features to compare; name a convolutional one: layers: {attribution: NAME}")


@dataclass(frozen=True)
class Embedded:
    """The readable images with features [n, d] and all logits [n, K]; `prints` tells equal pictures; the others with the reason.

    `linear` says whether the logits are what a linear layer makes of the features.
    """

    samples: tuple[Sample, ...]
    features: Floats
    logits: Floats
    prints: tuple[str, ...]
    quarantined: tuple[tuple[str, str], ...]
    linear: bool


def embed(
    dataset: Dataset, samples: Sequence[Sample], network: Callable[[], Embedder], lens: Preprocessing, folder: Path,
    notify: Callable[[int], None],
) -> Embedded:  # fmt: skip
    """Every sample through the network, but for the chunks that lie in the folder; the network is opened if any is missing."""
    starts = range(0, len(samples), CHUNK)
    missing = [start for start in starts if not _place(folder, start).exists()]
    notify(len(samples) - sum(len(samples[start : start + CHUNK]) for start in missing))
    embedder = network() if missing else None
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="decode") as pool:
        coming = _reading(pool, dataset, samples, lens, missing[0]) if missing else []
        for at, start in enumerate(missing, 1):
            read = coming
            coming = _reading(pool, dataset, samples, lens, missing[at]) if at < len(missing) else []
            assert embedder is not None
            publish(_place(folder, start), _packed([future.result() for future in read], embedder))
            notify(len(read))
    return _gathered(samples, [_place(folder, start) for start in starts])


Read = tuple[npt.NDArray[np.uint16] | None, str]


def _place(folder: Path, start: int) -> Path:
    return folder / f"{start // CHUNK:06d}.npz"


def _reading(
    pool: ThreadPoolExecutor, dataset: Dataset, samples: Sequence[Sample], lens: Preprocessing, start: int
) -> list[Future[Read]]:
    def read(sample: Sample) -> Read:
        try:
            return read_prepared(dataset, sample, lens)[0], ""
        except Unreadable as problem:
            return None, problem.reason

    return [pool.submit(read, sample) for sample in samples[start : start + CHUNK]]


def _packed(read: Sequence[Read], embedder: Embedder) -> bytes:
    rows = [row for row, (pixels, _) in enumerate(read) if pixels is not None]
    found = [pixels for pixels, _ in read if pixels is not None]
    reasons = [[row, why] for row, (pixels, why) in enumerate(read) if pixels is None]
    depth = max((len(pixels) for pixels in found), default=1)
    stored = [pixels if len(pixels) == depth else np.repeat(pixels, depth, 0) for pixels in found]
    features, logits = embedder(np.stack(stored)) if stored else (np.zeros((0, 0), np.float32),) * 2
    out = io.BytesIO()
    np.savez(
        out, rows=np.array(rows, np.int64), features=features, logits=logits,
        prints=np.array([hashlib.sha256(pixels.tobytes()).hexdigest()[:16] for pixels in found], "U16"),
        reasons=np.array(json.dumps(reasons)), linear=np.array(embedder.tap.linear),
    )  # fmt: skip
    return out.getvalue()


def _gathered(samples: Sequence[Sample], chunks: Sequence[Path]) -> Embedded:
    kept: list[int] = []
    prints: list[str] = []
    bad: list[tuple[int, str]] = []
    features: list[Floats] = []
    logits: list[Floats] = []
    linear = True
    for number, path in enumerate(chunks):
        with np.load(path, allow_pickle=False) as chunk:
            rows, linear = chunk["rows"] + number * CHUNK, linear and bool(chunk["linear"])
            finite = np.isfinite(chunk["features"]).all(1) & np.isfinite(chunk["logits"]).all(1)
            kept += rows[finite].tolist()
            prints += chunk["prints"][finite].tolist()
            bad += [(row + number * CHUNK, why) for row, why in json.loads(str(chunk["reasons"]))]
            bad += [(row, NONFINITE) for row in rows[~finite].tolist()]
            if finite.any():
                features.append(chunk["features"][finite])
                logits.append(chunk["logits"][finite])
    none = np.zeros((0, 0), np.float32)
    return Embedded(
        tuple(samples[row] for row in kept),
        np.concatenate(features) if features else none,
        np.concatenate(logits) if logits else none,
        tuple(prints),
        tuple((samples[row].id, why) for row, why in sorted(bad)),
        linear,
    )
