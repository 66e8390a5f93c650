"""What one step of a pass sees: some images, and whatever is computed of them at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from . import pixel_answers
from .analysis import OVERALL
from .boxes import Edges, Frame, Rounding, pixel_edges, resized, union_masks, within
from .changed import Changed, Film, looked_at
from .dataset import Box, Sample
from .elsewhere import Elsewhere, Others
from .errors import PluginError
from .last_layer import NOT_LINEAR, LastLayer
from .masks import NO_MASK, Mask, on_grid
from .network import Cases, Network
from .placement import Regions, regions
from .tally import Tally

if TYPE_CHECKING:
    from .attribution import Attribution
    from .trials import Trials


class Batch:
    """n samples as one model sees them, all of them read; a thing is computed on first asking and then kept.

    Inputs may be padded beyond n; everything handed out has n rows. `images` is None for a table of scores and on a second
    look, `features` is given on a second look. `skip` holds images that the model gave no usable answer for. `film` is what the images
    were before they were prepared for the network.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        *,
        size: tuple[int, int] = (0, 0),
        frames: Sequence[Frame] | None = None,
        network: Network | None = None,
        images: Tensor | None = None,
        scores: Tensor | None = None,
        features: Tensor | None = None,
        softmax: bool = False,
        seed: int = 0,
        elsewhere: Elsewhere | None = None,
        masks: Callable[[int], Mask | str] | None = None,
        film: Film | None = None,
    ) -> None:
        self.samples, self.classes, self.size, self.seed = tuple(samples), tuple(classes), size, seed
        self.network, self.images = network, images
        self._scores, self._features, self.softmax = scores, features, softmax
        self._maps: dict[tuple[int, int, int], Tensor] = {}
        self._elsewhere = elsewhere
        self.mask = masks or (lambda image: NO_MASK)
        self.film = film
        self.skip: frozenset[int] = frozenset()
        self._cases: dict[tuple[frozenset[str], frozenset[int]], tuple[list[tuple[int, int]], list[tuple[int, int, str]]]] = {}
        self.frames = list(frames or [Frame()] * len(samples))
        place = {name: number for number, name in enumerate(self.classes)}
        self._boxes: list[list[tuple[int, Box]]] = [
            [(place[box.label], moved) for box in sample.boxes if box.label in place and (moved := within(box, frame))]
            for sample, frame in zip(self.samples, self.frames, strict=True)
        ]

    @cached_property
    def logits(self) -> Tensor:
        """Log-odds [n, K] in float64 on the CPU; for a softmax head z_k - log(sum of exp of the others)."""
        if self._scores is not None:
            return self._scores
        assert self.network is not None and self.images is not None
        if not self.softmax:
            return self.network.logits(self.images)[: len(self.samples)].double().cpu()
        return self._log_odds(self.network.every_logit(self.images)[: len(self.samples)])

    def logits_apart(self) -> Tensor:
        """The same by a forward pass of its own: what the network found of another batch stays known."""
        assert self.network is not None and self.images is not None
        return self._log_odds(self.network.asked_apart(self.images)[: len(self.samples)])

    def _log_odds(self, raw: Tensor) -> Tensor:
        """Log-odds [n, K] from all the network's outputs [n, all]."""
        assert self.network is not None
        raw = raw.double().cpu()
        if not self.softmax:
            return raw[:, self.network.outputs]
        others = raw[:, None, :].expand(-1, raw.shape[1], -1).clone()
        others.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
        return (raw - others.logsumexp(2))[:, self.network.outputs]

    @cached_property
    def pixel_logits(self) -> Tensor:
        """How far each answer lies beyond even odds [n, K, h, w], float32 on the CPU; see `pixel_answers.beyond`."""
        assert self.network is not None and self.images is not None
        raw = self.network.every_logit(self.images)[: len(self.samples)].float()
        return pixel_answers.beyond(raw, self.network.outputs, self.softmax).cpu()

    @property
    def answered(self) -> Tensor:
        """For which images [n] all answers are finite numbers."""
        of_pixels = self.network is not None and self.network.output == "pixels"
        return torch.isfinite(self.pixel_logits.flatten(1) if of_pixels else self.logits).all(1)

    @cached_property
    def features(self) -> Tensor:
        """Output [n, C, h, w] of the dissection layer, contiguous: whoever reads it goes through it map by map."""
        if self._features is None:
            assert self.network is not None and self.images is not None
            self._features = self.network.features(self.images, "dissection")[: len(self.samples)].contiguous()
        return self._features

    @cached_property
    def embeddings(self) -> Tensor:
        """Input [n, d] of the last linear layer, float32 on the CPU."""
        assert self.network is not None and self.images is not None
        return self.network.embeddings(self.images)[: len(self.samples)].float().cpu()

    @property
    def last_layer(self) -> LastLayer | None:
        """The linear layer that the network ends in; None where it ends in something else."""
        return self.network.last_layer if self.network is not None else None

    @property
    def boxed(self) -> Elsewhere:
        """The boxed cases of the whole data set; of these samples alone where no other are known."""
        if self._elsewhere is None:
            self._elsewhere = Elsewhere(self.samples, self.classes)
        return self._elsewhere

    def elsewhere(self, image: int, target: int, scale: float = 1.0) -> Regions:
        """The boxes of this class on the images of the whole data set, on this image's grid, their sides `scale` times as long."""
        return self.boxed.regions(target, self.frames[image], self.size, scale)

    def others(self, image: int, target: int, count: int, rounding: Rounding) -> Others:
        """The boxes of a few other patients with this class, on this image's grid."""
        if target == OVERALL:
            return Others([], [], 0)
        sample, frame = self.samples[image], self.frames[image]
        met = [
            (place, edges)
            for place in self.boxed.few(sample, target, count)
            if (edges := self.boxed.edges(target, place, frame, self.size, rounding))
        ]
        return Others([place for place, _ in met], [edges for _, edges in met], len(self.boxed.cases[target]))

    def boxes(self, image: int, target: int) -> list[Box]:
        """The usable boxes of one case in fractions of the network's grid."""
        return [box for label, box in self._boxes[image] if target in (OVERALL, label)]

    def resized_boxes(self, image: int, target: int, scale: float) -> list[Box]:
        """The same with their sides `scale` times as long; one that then lies outside the frame is not among them."""
        frame, name = self.frames[image], self.classes[target]
        own = [box for box in self.samples[image].boxes if target == OVERALL or box.label == name]
        return [moved for box in own if (moved := within(resized(box, scale), frame))]

    def outlined(self, image: int) -> list[tuple[str, Edges]]:
        """All that has a box on an image, findings and other objects, by label, in whole pixels; what the network does not see is left out."""
        sample, frame = self.samples[image], self.frames[image]
        seen = [(box.label, within(box, frame)) for box in (*sample.boxes, *sample.objects)]
        return [(label, pixel_edges(box, *self.size)) for label, box in seen if box is not None]

    def maps(self, attribution: Attribution, cases: Cases) -> Tensor:
        """Maps [P, h, w] of these cases; only those not asked for before are computed, all in one call."""
        keys = [(id(attribution), int(i), int(t)) for i, t in zip(cases.image, cases.target, strict=True)]
        owed = [row for row, key in enumerate(keys) if key not in self._maps]
        if owed:
            assert self.network is not None and self.images is not None
            wanted = Cases(cases.image[owed].to(self.images.device), cases.target[owed].to(self.images.device))
            with torch.random.fork_rng():
                torch.manual_seed(self._key(f"{attribution.name}|{','.join(s.id for s in self.samples)}")[0] >> 1)
                found = attribution.explain(self.network, self.images, wanted)
            if not isinstance(found, Tensor) or found.ndim != 3 or len(found) != len(owed):
                shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise PluginError(
                    f"attribution {attribution.name} gave {shape} for {len(owed)} cases, not maps [{len(owed)}, h, w]"
                )
            self._maps.update(zip([keys[row] for row in owed], found.detach().unbind(), strict=True))
        return torch.stack([self._maps[key] for key in keys])

    def of_pictures(self, rows: Sequence[int], pictures: Tensor) -> Batch:
        """These pictures [m, C, H, W] in 0..1 in the place of those of the samples `rows` [m], prepared as theirs were."""
        if self.film is None or self.network is None:
            raise PluginError("asks for changed pictures of a batch that has no pictures")
        return Batch(
            [self.samples[row] for row in rows], self.classes, size=self.size, network=self.network, images=self.film.fed(pictures),
            softmax=self.softmax, seed=self.seed,
        )  # fmt: skip

    def give(self, attribution: Attribution, image: int, target: int, map_: Tensor) -> None:
        """Let this map [h, w] stand for what the attribution would say of one case."""
        self._maps[id(attribution), image, target] = map_

    def _key(self, words: str) -> list[int]:
        """128 bits that belong to these words in this audit."""
        data = hashlib.sha256(f"{self.seed}|{words}".encode()).digest()
        return [int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")]

    def generator(self, image: int, target: int, purpose: str) -> np.random.Generator:
        """Random numbers that belong to one case and purpose, whatever the batch, the order or the number of workers."""
        key = np.array(self._key(f"{self.samples[image].id}|{target}|{purpose}"), dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def cases(self, needs: frozenset[str]) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
        """([(image, target)] that have what these needs name, [(image, target, why not)] of the others)."""
        key = (needs, self.skip)
        if key not in self._cases:
            self._cases[key] = self._sorted_out(needs)
        return self._cases[key]

    def _sorted_out(self, needs: frozenset[str]) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
        found: list[tuple[int, int]] = []
        gaps: list[tuple[int, int, str]] = []
        targets = list(range(len(self.classes))) + ([OVERALL] if "overall" in needs else [])
        for image, sample in enumerate(self.samples):
            for target in () if image in self.skip else targets:
                why = self._gap(image, sample, target, needs)
                if why is None:
                    found.append((image, target))
                else:
                    gaps.append((image, target, why))
        return found, gaps

    def _gap(self, image: int, sample: Sample, target: int, needs: frozenset[str]) -> str | None:
        label = 1 if target == OVERALL else sample.labels[target]
        if "positive" in needs and label != 1:
            return "not labelled positive"
        if "labels" in needs and label is None:
            return "label unknown"
        if "box" in needs and not self.boxes(image, target):
            return "no box"
        if "mask" in needs and isinstance(why := self.mask(image), str):
            return why
        if "embeddings" in needs and self.last_layer is None:
            return NOT_LINEAR
        return None

    def view(
        self,
        needs: frozenset[str],
        cases: Sequence[tuple[int, int]],
        attribution: Attribution | None = None,
        tallies: Mapping[str, Tally] | None = None,
        trials: Trials | None = None,
    ) -> View:
        """These cases, showing only what the needs name."""
        return View(self, needs, cases, attribution, tallies or {}, trials or {})


class View:
    """P cases of a batch as an analysis sees them; asking for what was not declared in `needs` is an error.

    `cases.image[p]` is the row of case p in `samples`, `images` and `features`; `cases.target[p]` its class, -1 for all
    findings of the image together. Images without a case are left out. `trials` are what the analysis chose to try on each image.
    Cases stand image by image.
    """

    def __init__(
        self,
        batch: Batch,
        needs: frozenset[str],
        cases: Sequence[tuple[int, int]],
        attribution: Attribution | None,
        tallies: Mapping[str, Tally],
        trials: Trials,
    ) -> None:
        self._batch, self._needs, self._attribution = batch, needs, attribution
        self._pairs = list(cases)
        self._rows = sorted({image for image, _ in cases})
        place = {row: number for number, row in enumerate(self._rows)}
        self.cases = Cases(
            torch.tensor([place[image] for image, _ in cases], dtype=torch.int64),
            torch.tensor([target for _, target in cases], dtype=torch.int64),
        )
        self.samples = tuple(batch.samples[row] for row in self._rows)
        self.classes = batch.classes
        self.size = batch.size
        self.tallies = tallies
        self.trials = [trials.get(sample.id, ()) for sample in self.samples]

    def __len__(self) -> int:
        return len(self._pairs)

    def _need(self, need: str) -> None:
        if need not in self._needs:
            raise PluginError(f"reads what it did not say it needs: {need!r}")

    def _per_case(self, values: Tensor) -> Tensor:
        images, targets = zip(*self._pairs, strict=True) if self._pairs else ((), ())
        return values[list(images), list(targets)]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 or 0 for each case [P]."""
        if not self._needs & {"labels", "positive"}:
            self._need("labels")
        return np.array([1 if t == OVERALL else self._batch.samples[i].labels[t] for i, t in self._pairs], dtype=np.int64)

    @property
    def logits(self) -> Tensor:
        """Log-odds of each case [P], float64."""
        self._need("logits")
        return self._per_case(self._batch.logits)

    @property
    def pixel_logits(self) -> Tensor:
        """For each case how far every pixel's answer lies beyond even odds [P, h, w], float32 on the CPU: log-odds, or with a
        softmax head the output less the largest other one."""
        self._need("pixels")
        return self._per_case(self._batch.pixel_logits)

    @property
    def pixel_truth(self) -> npt.NDArray[np.uint8]:
        """For each case its mask [P, h, w] on the grid of the answers: 1 inside the finding, 0 outside, 255 not known."""
        self._need("mask")
        height, width = self._batch.pixel_logits.shape[2:] if "pixels" in self._needs else self.size
        found = np.empty((len(self), height, width), np.uint8)
        for case, (image, target) in enumerate(self._pairs):
            mask = self._batch.mask(image)
            assert not isinstance(mask, str)
            found[case] = on_grid(mask[target], height, width)
        return found

    @property
    def maps(self) -> Tensor:
        """The attribution's map of each case [P, h, w], raw, at its own resolution."""
        self._need("attribution")
        assert self._attribution is not None
        images, targets = zip(*self._pairs, strict=True)
        return self._batch.maps(self._attribution, Cases(torch.tensor(images), torch.tensor(targets)))

    @property
    def boxes(self) -> list[list[Box]]:
        """The boxes of each case, in fractions of the network's grid."""
        self._need("box")
        return [self._batch.boxes(image, target) for image, target in self._pairs]

    def edges(self, rounding: Rounding = "outward") -> list[list[Edges]]:
        """The boxes of each case in whole pixels of the network's input."""
        return [[pixel_edges(box, *self.size, rounding) for box in boxes] for boxes in self.boxes]

    def masks(self, rounding: Rounding = "outward") -> npt.NDArray[np.bool_]:
        """True inside any box of the case [P, H, W], on the grid of the network's input."""
        return union_masks(self.edges(rounding), *self.size)

    def resized(self, scale: float) -> list[tuple[Regions, Regions]]:
        """For each case its own boxes and those of `elsewhere`, all with their sides `scale` times as long.

        Without a pixel where a box falls outside what the network sees.
        """
        self._need("box")
        return [
            (
                regions([[pixel_edges(box, *self.size) for box in self._batch.resized_boxes(image, target, scale)]]),
                self._batch.elsewhere(image, target, scale),
            )
            for image, target in self._pairs
        ]

    @property
    def elsewhere(self) -> list[Regions]:
        """For each case the boxes of its class on all images of the data set, as J regions of the grid of the input.

        The same J, in the same order, for every case of a class; the case's own boxes are among them, and a box that falls
        outside what the network sees of this image has no pixels.
        """
        self._need("box")
        return [self._batch.elsewhere(image, target) for image, target in self._pairs]

    def others(self, count: int, rounding: Rounding = "outward") -> list[Others]:
        """For each case the boxes of at most `count` other patients with its class, chosen by a keyed rule.

        Over the data set every box is chosen equally often. An image as a whole has none, nor has a box that falls outside
        what the network sees of this image.
        """
        self._need("box")
        return [self._batch.others(image, target, count, rounding) for image, target in self._pairs]

    @property
    def head(self) -> str:
        """How the outputs become probabilities: `sigmoid`, each class by itself, or `softmax`."""
        return "softmax" if self._batch.softmax else "sigmoid"

    @property
    def embeddings(self) -> Tensor:
        """Input [n, d] of the last linear layer for the n images of this view, float32 on the CPU."""
        self._need("embeddings")
        return self._batch.embeddings[self._rows]

    @property
    def last_layer(self) -> LastLayer:
        """The weights that turn an embedding into the outputs, in the audit's class order."""
        self._need("embeddings")
        assert self._batch.last_layer is not None
        return self._batch.last_layer

    @property
    def features(self) -> Tensor:
        """Output [n, C, h, w] of the dissection layer for the n images of this view."""
        self._need("features")
        every = self._batch.features
        return every if len(self._rows) == len(every) else every[self._rows]

    @property
    def images(self) -> Tensor:
        """Preprocessed pixels [n, C, H, W] for the n images of this view."""
        self._need("image")
        assert self._batch.images is not None
        return self._batch.images[self._rows]

    @property
    def network(self) -> Network:
        """The network itself; asking it anything beyond the shared pass costs forward passes of its own."""
        self._need("image")
        assert self._batch.network is not None
        return self._batch.network

    @property
    def pictures(self) -> Tensor:
        """Grey values [n, C, H, W] in 0..1, float32 on the CPU, as they are before the network's normalisation, C being 1 for grey."""
        self._need("image")
        if self._batch.film is None:
            raise PluginError("asks for the pictures of a batch that has none")
        return self._batch.film.pictures[self._rows]

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """For each of the n images random numbers of its own for this purpose: the same for every network, batch and order."""
        return [self._batch.generator(row, OVERALL, purpose) for row in self._rows]

    def log_odds_of(self, changed: Iterable[Changed]) -> Tensor:
        """What the network makes of changed pictures: log-odds [m, K] of all classes, float64 on the CPU.

        Each of the m is (image of this view, picture [C, H, W] like its `pictures`). They cost forward passes of their own, in batches
        of the audit's size; `trials` and `per_trial` announce them.
        """
        self._need("image")
        found = list(looked_at(self._batch, self._rows, changed, lambda sent, _: list(sent.logits_apart())))
        return torch.stack(found) if found else torch.zeros((0, len(self.classes)), dtype=torch.float64)

    def maps_of(self, changed: Iterable[Changed]) -> Iterator[Tensor]:
        """For each changed picture, given as to `log_odds_of`, the maps [c, h, w] of the c cases of its image, on the CPU."""
        self._need("image")
        self._need("attribution")
        attribution = self._attribution
        assert attribution is not None
        targets = [[target for image, target in self._pairs if image == row] for row in self._rows]

        def look(sent: Batch, images: Sequence[int]) -> list[Tensor]:
            pairs = [(row, target) for row, image in enumerate(images) for target in targets[image]]
            maps = sent.maps(attribution, Cases(*torch.tensor(pairs).T)).cpu()
            return list(torch.split(maps, [len(targets[image]) for image in images]))

        return looked_at(self._batch, self._rows, changed, look)

    def outlined(self, image: int) -> list[tuple[str, Edges]]:
        """All that the data set has a box of on an image of this view, findings and `objects`, as (label, whole pixels)."""
        return self._batch.outlined(self._rows[image])

    def generator(self, case: int, purpose: str) -> np.random.Generator:
        """Random numbers that belong to this case and purpose, whatever the batch, the order or the number of workers."""
        return self._batch.generator(*self._pairs[case], purpose)
