"""Measuring the controls of the explanation methods, by the audit's own path; what they come to is judged by `sanity_rules`.

A control is done once for the network, method and data that it depends on, and kept in the ledger. A network is loaded once:
it is looked at as it was trained, then a copy of it with its weights drawn again.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from . import passes
from .attribution import Attribution
from .batch import Batch
from .boxes import Frame
from .controls import Due, chosen, due
from .errors import OutputError
from .identity import digest
from .imaging import normalise
from .ledger import Found, Ledger
from .measuring import measure
from .model import Preprocessing
from .network import Cases, Network
from .pixels import Pixels, PixelStore
from .plan import Plan, PlannedModel, Unit, label
from .probes import exchanged, explainer, rank_correlation, repeated, unlike_grey
from .sanity import Check
from .untrained import forget_training

log = logging.getLogger("auditor")

UNDRAWN = "the network cannot be drawn again"
"""How the reason begins where there is no untrained network: it says nothing of the method."""
GREY = 1 << 15
"""Half of white, as pixels are stored."""
BOXED = frozenset({"box"})


def run(plan: Plan, ledger: Ledger, store: PixelStore) -> None:
    """Measure what the ledger does not know yet; a control that raises is written down as failed and the others go on.

    Nothing is tried on a network with a method whose own measurement has failed.
    """
    broken = ledger.failures()
    lost = {(unit.model, label(unit.attribution)) for unit in plan.units if unit.key in broken and unit.attribution}
    for model in plan.models:
        looks = [item for item in due(plan, model) if (model.id, label(item.attribution)) not in lost]
        controls = _Controls(plan, model, ledger, store)
        if controls.owed(looks) and next(parts(plan, model.loader.preprocessing, store), None) is not None:
            log.info("controls of %s", model.id)
            controls.run(looks)


def parts(plan: Plan, lens: Preprocessing, store: PixelStore) -> Iterator[Pixels]:
    """The chosen images that can be read, a batch at a time."""
    held: list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.uint16]], Frame]] = []
    for chunk, wanted in groupby(chosen(plan), key=lambda number: number // plan.chunk):
        pixels = store.get(lens, chunk)
        place = {int(number): row for row, number in enumerate(pixels.rows)}
        held += [(number, pixels.stored[place[number]], pixels.frames[place[number]]) for number in wanted if number in place]
        while len(held) >= plan.config.batch:
            yield _stacked(held[: plan.config.batch])
            del held[: plan.config.batch]
    if held:
        yield _stacked(held)


def _stacked(held: list[tuple[int, np.ndarray[tuple[int, ...], np.dtype[np.uint16]], Frame]]) -> Pixels:
    numbers, stored, frames = zip(*held, strict=True)
    depth = max(len(pixels) for pixels in stored)
    alike = [pixels if len(pixels) == depth else np.repeat(pixels, depth, 0) for pixels in stored]
    return Pixels(np.array(numbers, np.int64), np.stack(alike), list(frames), [])


class _Controls:
    """The controls of one network."""

    def __init__(self, plan: Plan, model: PlannedModel, ledger: Ledger, store: PixelStore) -> None:
        self.plan, self.model, self.ledger, self.store = plan, model, ledger, store

    def owed(self, looks: list[Due]) -> set[str]:
        """The units that are not done; an untrained network is owed by its donor alone."""
        units = [unit for item in looks for unit in (*item.probes.values(), item.another_class)]
        units += [item.untrained for item in looks if item.donor.id == self.model.id]
        return {unit.key for unit in units if unit is not None and not self.ledger.done(unit.key)}

    def run(self, looks: list[Due]) -> None:
        """Everything owed: what asks for the trained network, then what asks for the untrained one."""
        owed = self.owed(looks)
        network = passes.open_network(self.plan, self.model, self.store)
        maps: dict[str, Tensor] = {}
        for item in looks:
            if item.another_class is not None and item.another_class.key in owed:
                self._guarded(item.another_class, partial(self._another_class, item, network))
            probes = {check: unit for check, unit in item.probes.items() if unit.key in owed}
            if probes:
                self._probe(item, probes, network, maps)
        drawn = [item.untrained for item in looks if item.untrained is not None and item.untrained.key in owed]
        compared = [item for item in looks if item.probes["model_randomisation"].key in maps]
        self._without_training(network, drawn, compared, maps)

    def _guarded(self, unit: Unit, step: Callable[[], None]) -> None:
        try:
            step()
        except (OutputError, OSError):
            raise
        except Exception as error:  # an attribution is a stranger's code
            log.error("a control failed for %s", self.model.id, exc_info=error)
            self.ledger.fail(unit.key, f"{type(error).__name__}: {error}")

    def _without_training(self, network: Network, drawn: list[Unit], compared: list[Due], maps: Mapping[str, Tensor]) -> None:
        """What an untrained network gives: the audit's own numbers, and maps to compare with the trained one's."""
        before = self._drawn_again(network, [*drawn, *(item.probes["model_randomisation"] for item in compared)])
        if before is None:
            return
        for unit in drawn:
            self._guarded(unit, partial(self._untrained, unit, before))
        for item in compared:
            unit = item.probes["model_randomisation"]
            self._guarded(unit, partial(self._compare, item, unit, before, maps[unit.key]))

    def _drawn_again(self, network: Network, owed: list[Unit]) -> Network | None:
        """The same module with its weights drawn again, always on the CPU, so that they are the same on every device."""
        network.forget()
        if not owed:
            return None
        seed = int(digest(self.plan.config.seed, "untrained", self.model.family)[:15], 16)
        try:
            # A copy: a loader may hand out one and the same module again.
            module = copy.deepcopy(network.module).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            return passes.open_network(self.plan, self.model, self.store, forget_training(module, seed))
        except (OutputError, OSError):
            raise
        except Exception as error:  # a layer is a stranger's code, and so is the way it is drawn
            log.error("%s: %s", UNDRAWN, self.model.id, exc_info=error)
            for unit in owed:
                self.ledger.fail(unit.key, f"{UNDRAWN}: {type(error).__name__}: {error}")
            return None

    def _untrained(self, unit: Unit, network: Network) -> None:
        """The audit's own measurement with a network that has learned nothing."""
        self._measure(unit, network, lambda batch: None)

    def _another_class(self, item: Due, network: Network) -> None:
        """The same measurement, every map exchanged for that of a class that the image does not show."""
        unit = item.another_class
        assert unit is not None and unit.attribution is not None
        self._measure(unit, network, partial(_exchange, item.attribution, unit.attribution))

    def _measure(self, unit: Unit, network: Network, prepare: Callable[[Batch], None]) -> None:
        found = Found({}, {}, [])
        for pixels in parts(self.plan, self.model.loader.preprocessing, self.store):
            batch, numbers = passes.seen(self.plan, self.model, network, pixels, range(len(pixels.rows)))
            prepare(batch)
            measure(unit, batch, numbers, {}, found, frozenset())
        found.gaps.clear()
        self.ledger.write(0, {unit.key: found}, {})

    def _probe(self, item: Due, probes: Mapping[Check, Unit], network: Network, kept: dict[str, Tensor]) -> None:
        """Explain one batch as it is, tampered with, again, and grey; each check stands or falls alone."""
        batch, cases = self._standing(network)
        images = batch.images
        assert images is not None
        explain = explainer(batch, item.attribution, cases)
        made = cache(lambda: explain(images))

        def grey() -> dict[str, float]:
            return dict(zip(("finite", "differs"), unlike_grey(made(), explain, images, self._grey(images)), strict=True))

        checks: dict[Check, Callable[[], dict[str, float]]] = {
            "batch_independence": lambda: {"difference": exchanged(made(), explain, images, cases.image)},
            "repeat": lambda: {"difference": repeated(made(), explain, images)},
            "constant_input": grey,
        }
        for check, unit in probes.items():
            if not len(cases.image):
                self._finish(unit, dict, 0)
            elif check in checks:
                self._guarded(unit, partial(self._finish, unit, checks[check], len(cases.image)))
            else:
                self._guarded(unit, partial(self._keep, unit, made, kept))

    def _keep(self, unit: Unit, made: Callable[[], Tensor], kept: dict[str, Tensor]) -> None:
        """Keep the trained network's maps until the untrained one's are there."""
        kept[unit.key] = made()

    def _compare(self, item: Due, unit: Unit, before: Network, maps: Tensor) -> None:
        """Whether the maps have the same order without training."""
        batch, cases = self._standing(before)
        assert batch.images is not None
        explain, images = explainer(batch, item.attribution, cases), batch.images
        self._finish(unit, lambda: {"rank_correlation": rank_correlation(maps, explain(images))}, len(maps))

    def _finish(self, unit: Unit, check: Callable[[], dict[str, float]], cases: int) -> None:
        """Write down what a check gives; what it has no number for is missing."""
        numbers = {name: None if math.isnan(value) else value for name, value in check().items()}
        self.ledger.finish(unit.key, {**numbers, "cases": float(cases)})
        self.ledger.write(0, {unit.key: Found({}, {}, [])}, {})

    def _standing(self, network: Network) -> tuple[Batch, Cases]:
        """The first batch of the chosen images, and of each the first class that has a box."""
        pixels = next(parts(self.plan, self.model.loader.preprocessing, self.store))
        batch, _ = passes.seen(self.plan, self.model, network, pixels, range(len(pixels.rows)))
        first = dict(reversed(batch.cases(BOXED)[0]))
        return batch, Cases(torch.tensor(sorted(first)), torch.tensor([first[image] for image in sorted(first)]))

    def _grey(self, images: Tensor) -> Tensor:
        """One even image, prepared as the others."""
        stored = np.full((1, *images.shape[1:]), GREY, np.uint16)
        return normalise(stored, self.model.loader.preprocessing)[0].to(images)


def _exchange(attribution: Attribution, stand_in: Attribution, batch: Batch) -> None:
    """Hand the batch, for every case with a box, the map of a class that its image does not show; NaN where it shows all."""
    cases, _ = batch.cases(BOXED)
    others = [_absent(batch, image, target) for image, target in cases]
    wanted = [(image, other) for (image, _), other in zip(cases, others, strict=True) if other is not None]
    maps = batch.maps(attribution, Cases(*torch.tensor(wanted).T)) if wanted else torch.zeros((1, 1, 1))
    none, found = torch.full_like(maps[0], math.nan), iter(maps)
    for (image, target), other in zip(cases, others, strict=True):
        batch.give(stand_in, image, target, none if other is None else next(found))


def _absent(batch: Batch, image: int, target: int) -> int | None:
    """A class that the image is known not to show, drawn by the case's own key."""
    labels = batch.samples[image].labels
    absent = [number for number, shown in enumerate(labels) if shown == 0 and not batch.boxes(image, number)]
    return int(batch.generator(image, target, "another class").choice(absent)) if absent else None
