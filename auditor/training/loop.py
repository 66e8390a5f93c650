"""One network trained: steps, epochs, validation, and the state from which it goes on as if never interrupted.

Nothing random has a state of its own: the order of the images, their variations, what strategies draw and what dropout draws are
keyed by seed, epoch and step. What must be kept between epochs is therefore weights and optimiser, and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..errors import AuditError, ExitCode, PluginError
from ..model import Preprocessing
from ..statistics.ranking import auroc
from ..strategy import ClassCounts, Criterion, Strategy, TrainingBatch
from .augment import LOTS, as_fed, vary, vary_masks
from .material import PixelFile, Side
from .outlines import Judged, Outlines, grid_of, targets
from .ranks import Ranks
from .recipe import Recipe
from .strategies import blamed, the_one

LOOK_EVERY = 16
"""Steps between two looks at the losses: looking makes a GPU wait."""

Notify = Callable[[str], None]


class Diverged(AuditError):
    """The loss of a network is no longer a number; the other networks are still trained."""

    exit_code = ExitCode.INCOMPLETE


class Epoch(NamedTuple):
    """What an epoch came to: the mean loss, and AUROC on the validation images per class, None where not estimable."""

    number: int
    loss: float
    auroc: dict[str, float | None]

    @property
    def macro(self) -> float | None:
        """The mean AUROC over the classes that have one."""
        found = [value for value in self.auroc.values() if value is not None]
        return math.fsum(found) / len(found) if found else None


@dataclass(frozen=True)
class Setting:
    """What all networks of one architecture are trained on: both sides with their pixels, and how.

    `outlines` are the masks of both, for networks that answer for every pixel; their losses are balanced by its counts.
    """

    training: Side
    validation: Side
    training_pixels: PixelFile
    validation_pixels: PixelFile
    classes: tuple[str, ...]
    counts: ClassCounts
    lens: Preprocessing
    recipe: Recipe
    ranks: Ranks
    device: str
    outlines: Outlines | None = None

    @property
    def balance(self) -> ClassCounts:
        """Positives and negatives of what the loss is of: images, or pixels."""
        return self.counts if self.outlines is None else self.outlines.counts

    @property
    def batch(self) -> int:
        """Images of a step over all processes: the recipe's, or all there are."""
        return min(self.recipe.batch, len(self.training.samples))

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.training.samples) // self.batch


class Training:
    """One network on its way: weights, criterion and optimiser, moved on an epoch at a time."""

    def __init__(self, network: nn.Module, strategies: Sequence[Strategy], seed: int, setting: Setting) -> None:
        self.setting, self.strategies, self.seed = setting, strategies, seed
        self.network = network.to(device=setting.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with blamed(strategies[0]):
            self.criterion: Criterion = strategies[0].loss(setting.balance)
        if isinstance(self.criterion, nn.Module):
            self.criterion.to(setting.device)
        learned = list(self.criterion.parameters()) if isinstance(self.criterion, nn.Module) else []
        self.weights = [*network.parameters(), *learned]
        self.optimiser = setting.recipe.make_optimiser(network.parameters(), learned)
        self.scaler = torch.amp.GradScaler(setting.device.split(":")[0], enabled=setting.recipe.precision == "float16")
        labels, counts = setting.training.labels, setting.counts
        self._drawn = the_one(strategies, "sampling", labels, counts)
        self._spared = the_one(strategies, "augmentation", labels, counts)
        self._grid = (0, 0) if setting.outlines is None else grid_of(self.network, setting.lens, setting.device)
        self._adding = [strategy for strategy in strategies if type(strategy).extra is not Strategy.extra]

    @cached_property
    def _judged(self) -> Judged | None:
        """The pixels that epochs are judged by, of a network that answers for every pixel."""
        outlines = self.setting.outlines
        return None if outlines is None else Judged(self.setting.validation, outlines.validation, self._grid)

    def rehearse(self) -> None:
        """One step on two images, so that what cannot work is said before hours are spent; the network is used up."""
        few = np.arange(min(2, len(self.setting.training.samples)))
        pixels = self.setting.training_pixels.rows(self.setting.training.rows[few])
        batch = self._batch(few, pixels, np.zeros((len(few), LOTS), np.float32), np.ones(len(few), bool))
        self._step(batch, self.setting.recipe.rate, torch.Generator().manual_seed(0))

    def epoch(self, number: int, notify: Notify) -> Epoch:
        """Train an epoch, the first being 1, and validate; raises Diverged with the step and the images."""
        setting = self.setting
        order = self._order(number)
        lots = _stream(self.seed, number, "variations").random((len(order), LOTS), np.float32)
        chosen = np.ones(len(order), bool)
        if self._spared is not None:
            chosen = _stream(self.seed, number, "spared").random(len(order)) < self._spared[order]
        if hasattr(self.criterion, "begin_epoch"):
            self.criterion.begin_epoch(number, setting.recipe.epochs)
        self.network.train()
        losses = torch.zeros(setting.steps, device=setting.device)
        for step, (places, pixels) in enumerate(self._portions(order)):
            key = _key(self.seed, number, step, setting.ranks.number)
            torch.manual_seed(key)
            batch = self._batch(order[places], pixels, lots[places], chosen[places])
            rate = setting.recipe.rate_at((number - 1) * setting.steps + step, setting.recipe.epochs * setting.steps)
            losses[step] = self._step(batch, rate, torch.Generator().manual_seed(key))
            if (step + 1) % LOOK_EVERY == 0 or step + 1 == setting.steps:
                self._check(losses[: step + 1], number, order)
            notify(f"epoch {number} of {setting.recipe.epochs}")
        setting.ranks.average(self.network.buffers())
        return Epoch(number, float(losses.double().mean()), self._validate(number))

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Which training image stands at each place of the epoch."""
        images, draw = len(self.setting.training.samples), _stream(self.seed, epoch, "order")
        if self._drawn is None:
            return draw.permutation(images)
        return draw.choice(images, images, p=self._drawn / self._drawn.sum())

    def _portions(self, order: npt.NDArray[np.int64]) -> Iterator[tuple[slice, npt.NDArray[np.uint16]]]:
        """This process' places in the epoch, a step at a time, with their pixels read while the step before is computed."""
        setting, of = self.setting, self.setting.ranks.of
        starts = range(0, setting.steps * setting.batch, setting.batch)
        places = [slice(start + setting.ranks.number, start + setting.batch, of) for start in starts]

        def read(part: slice) -> npt.NDArray[np.uint16]:
            return setting.training_pixels.rows(setting.training.rows[order[part]])

        with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
            coming = reader.submit(read, places[0])
            for part, following in zip(places, [*places[1:], None], strict=True):
                pixels = coming.result()
                if following is not None:
                    coming = reader.submit(read, following)
                yield part, pixels

    def _batch(
        self,
        numbers: npt.NDArray[np.int64],
        pixels: npt.NDArray[np.uint16],
        lots: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.bool_],
    ) -> TrainingBatch:
        setting, device = self.setting, self.setting.device
        unit = _unit(pixels, device)
        how = (
            torch.from_numpy(lots).to(device),
            torch.from_numpy(chosen).to(device),
            setting.recipe.augmentation,
            setting.lens.size,
        )
        images = as_fed(vary(unit, *how), setting.lens).contiguous(memory_format=torch.channels_last)
        if setting.outlines is not None:
            masks = torch.from_numpy(setting.outlines.training[setting.training.rows[numbers]]).to(device)
            return TrainingBatch(images, *targets(vary_masks(masks, *how), self._grid))
        labels = torch.from_numpy(setting.training.labels[numbers]).to(device)
        return TrainingBatch(images, labels.clamp(min=0).float(), labels >= 0)

    def _step(self, batch: TrainingBatch, rate: float, draw: torch.Generator) -> Tensor:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            batches = [batch]
            for strategy in self._adding:
                with blamed(strategy):
                    batches += strategy.extra(batch, self.network, self.setting.balance, draw)
        loss = torch.stack([self._loss(part) for part in self._as_many(batches)]).sum()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.setting.ranks.add_gradients(self.weights)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return self.setting.ranks.add_up(loss.detach())

    def _as_many(self, batches: list[TrainingBatch]) -> list[TrainingBatch]:
        """As many batches as the process with the most of them has, as all count together; in the missing ones nothing counts."""
        if not self._adding or self.setting.ranks.of == 1:
            return batches
        missing = max(self.setting.ranks.gather(len(batches))) - len(batches)
        first = batches[0]
        return batches + [TrainingBatch(first.images, first.labels, torch.zeros_like(first.known))] * missing

    def _loss(self, batch: TrainingBatch) -> Tensor:
        """This process' part of the mean loss over the known entries of all processes."""
        with self._autocast():
            logits = self.network(batch.images)
        if not isinstance(logits, Tensor) or logits.shape != batch.labels.shape:
            found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            each = "one per image and class" if self.setting.outlines is None else "one per class and pixel"
            raise PluginError(f"the network gives {found}; allowed: logits {list(batch.labels.shape)}, {each}")
        with blamed(self.strategies[0]):
            entries = self.criterion(logits.float(), batch.labels)
        if entries.ndim == 0:
            if not bool(batch.known.all()):
                name = self.strategies[0].name
                raise PluginError(
                    f"{name} gives one number for the batch, and some labels are not known; let its loss give one per entry"
                )
            return entries / self.setting.ranks.of
        known = self.setting.ranks.add_up(batch.known.sum())
        mean: Tensor = torch.where(batch.known, entries, 0.0).sum() / known.clamp(min=1)
        return mean

    def _autocast(self) -> torch.autocast:
        precision = self.setting.recipe.precision
        device = self.setting.device.split(":")[0]
        return torch.autocast(device, getattr(torch, precision) if precision != "float32" else None, precision != "float32")

    def _check(self, losses: Tensor, epoch: int, order: npt.NDArray[np.int64]) -> None:
        broken = torch.nonzero(~torch.isfinite(losses))
        if not len(broken):
            return
        step = int(broken[0])
        rows = order[step * self.setting.batch : (step + 1) * self.setting.batch]
        named = ", ".join(self.setting.training.samples[row].id for row in rows[:4])
        raise Diverged(
            f"the loss is {float(losses[step])} at step {step + 1} of epoch {epoch}, on {len(rows)} images ({named}"
            f"{', ...' if len(rows) > 4 else ''}); allowed: a finite number; lower the rate of the recipe, or look at the strategy"
        )

    def _validate(self, epoch: int) -> dict[str, float | None]:
        if self._judged is not None:
            return self._validate_pixels(epoch, self._judged)
        logits, labels = self.logits(), self.setting.validation.labels
        broken = np.flatnonzero(~np.isfinite(logits).all(1))
        if len(broken):
            self._diverged(epoch, broken.tolist(), len(logits))
        found: dict[str, float | None] = {}
        for number, name in enumerate(self.setting.classes):
            known = labels[:, number] >= 0
            value = auroc(logits[known, number].astype(np.float64), labels[known, number] == 1)
            found[name] = None if isinstance(value, str) else value
        return found

    def _diverged(self, epoch: int, broken: Sequence[int], of: int) -> NoReturn:
        raise Diverged(
            f"after epoch {epoch} the network gives no finite logits for {len(broken)} of {of} validation images"
            f" (the first is {self.setting.validation.samples[broken[0]].id}); lower the rate of the recipe, or look at the"
            " strategy"
        )

    def _validate_pixels(self, epoch: int, judged: Judged) -> dict[str, float | None]:
        """AUROC of every class over the pixels of the validation images that are drawn for it."""
        answers: dict[int, list[npt.NDArray[np.float32]]] = {}
        for images, logits in self._answers():
            for image, answer in zip(images, logits.flatten(2).numpy(), strict=True):
                answers[image] = [own[places] for own, places in zip(answer, judged.places[image], strict=True)]
        together = {image: own for part in self.setting.ranks.gather(answers) for image, own in part.items()}
        broken = [image for image in sorted(together) if not all(np.isfinite(own).all() for own in together[image])]
        if broken:
            self._diverged(epoch, broken, len(together))
        each = [together[image] for image in range(len(judged.places))]
        return {name: judged.auroc(number, [own[number] for own in each]) for number, name in enumerate(self.setting.classes)}

    def _answers(self) -> Iterator[tuple[list[int], Tensor]]:
        """The logits of this process' validation images in float32 on the CPU, batch by batch, with the images' places."""
        setting = self.setting
        self.network.eval()
        mine = np.array(setting.ranks.share(len(setting.validation.samples)), np.int64)
        with torch.no_grad():
            for start in range(0, len(mine), setting.batch):
                places = mine[start : start + setting.batch]
                pixels = setting.validation_pixels.rows(setting.validation.rows[places])
                images = as_fed(_unit(pixels, setting.device), setting.lens)
                yield places.tolist(), self.network(images.contiguous(memory_format=torch.channels_last)).float().cpu()

    def logits(self) -> npt.NDArray[np.float32]:
        """Logits [N, K] of the validation images in float32; every image goes through the network once, in one process."""
        setting = self.setting
        own = [logits.numpy() for _, logits in self._answers()]
        logits = np.empty((len(setting.validation.samples), len(setting.classes)), np.float32)
        for number, part in enumerate(setting.ranks.gather(np.concatenate(own) if own else logits[:0])):
            logits[number :: setting.ranks.of] = part
        return logits

    def state(self) -> dict[str, Tensor]:
        """Everything that the next epoch depends on, as named tensors."""
        found = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if isinstance(self.criterion, nn.Module):
            found |= {f"criterion.{name}": value for name, value in self.criterion.state_dict().items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{number}.{key}": value for key, value in values.items() if isinstance(value, Tensor)}
        return found

    def restore(self, state: dict[str, Tensor], scaler: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.network.load_state_dict(_under(state, "network."))
        if isinstance(self.criterion, nn.Module):
            self.criterion.load_state_dict(_under(state, "criterion."))
        optimiser = self.optimiser.state_dict()
        kept: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(state, "optimiser.").items():
            number, _, key = name.partition(".")
            weight = self.weights[int(number)]
            same = value.shape == weight.shape  # the order in memory decides how a sum is rounded, and a file forgets it
            kept.setdefault(int(number), {})[key] = torch.empty_like(weight).copy_(value) if same else value
        self.optimiser.load_state_dict({**optimiser, "state": kept})
        if scaler:
            self.scaler.load_state_dict(scaler)


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _unit(pixels: npt.NDArray[np.uint16], device: str) -> Tensor:
    """Stored pixels as float32 in 0..1 on the device."""
    return (
        torch.from_numpy(pixels).to(device).float().div_(torch.tensor(65535.0, device=device))
    )  # a GPU multiplies by 1 / number


def _key(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8]) >> 1


def _stream(seed: int, epoch: int, what: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_key(seed, epoch, what)))
