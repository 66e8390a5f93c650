"""Measuring one model: a stream over the chunks still owed, each image read once, each batch through the network once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from . import kept_features
from .analysis import Analysis
from .batch import Batch, View
from .changed import Film
from .errors import AuditError, ExitCode, ModelRefused, OutputError
from .identity import digest
from .imaging import fed, in_unit_range, normalise
from .kept_features import Keeper, observes
from .ledger import Found, Ledger, Quarantine, refused
from .measuring import add_gaps, checked_conclusion, checked_summary, files_of_its_own, measure
from .model import ScoreTable
from .network import Network
from .pixels import Pixels, PixelStore
from .plan import Plan, PlannedModel, Unit

log = logging.getLogger("auditor")

Notify = Callable[[str, int], None]


class Stopped(AuditError):
    """`--strict`: an analysis failed, and the run was asked to stop there."""

    exit_code = ExitCode.INCOMPLETE


class Looked(NamedTuple):
    """A batch, and the number in the plan of each of its samples."""

    batch: Batch
    numbers: list[int]


def looks_twice(unit: Unit) -> bool:
    """Whether the unit needs a statistic of the whole data set before it can measure."""
    return unit.analysis is not None and bool(unit.analysis.tallies())


def owed(plan: Plan, model: PlannedModel, ledger: Ledger) -> dict[str, set[int]]:
    """{unit: chunks it still lacks}; units that failed owe nothing."""
    failed = ledger.failures()
    lacking = {
        unit.key: set(range(plan.chunks)) - ledger.done(unit.key) for unit in plan.units_of(model.id) if unit.key not in failed
    }
    return {key: chunks for key, chunks in lacking.items() if chunks}


def steps(plan: Plan, model: PlannedModel, lacking: dict[str, set[int]]) -> int:
    """How many times `run` will notify: streamed chunks, and chunks of second looks."""
    units = [unit for unit in plan.units_of(model.id) if unit.key in lacking]
    twice = [unit for unit in units if looks_twice(unit)]
    once = [lacking[unit.key] for unit in units if not looks_twice(unit)]
    return (plan.chunks if twice else len(set().union(*once))) + sum(len(lacking[unit.key]) for unit in twice)


def open_network(plan: Plan, model: PlannedModel, store: PixelStore, module: nn.Module | None = None) -> Network:
    """The network on the audit's device, its layers checked on two real images; raises ModelRefused with the way out.

    `module` stands for what the loader gives, if it is not that itself: the same architecture with other weights.
    """
    if not model.looked_into:
        raise ModelRefused("there is no network behind a table of scores")
    wanted = {"attribution": model.layers.attribution, "dissection": model.layers.dissection}
    layers = {role: name for role, name in wanted.items() if name}
    images = normalise(_two_images(plan, model, store), model.loader.preprocessing).to(plan.device)
    network = Network((module or model.loader.load()).to(plan.device), model.outputs, layers, model.loader.output)
    for form in (torch.channels_last, torch.contiguous_format):
        network.use(form)
        try:
            network.probe(network.laid_out(images), model.declared)
            return network
        except AuditError:
            raise
        except Exception as error:
            failed = error
    raise ModelRefused(f"the network fails on two images: {type(failed).__name__}: {failed}") from failed


def _two_images(plan: Plan, model: PlannedModel, store: PixelStore) -> npt.NDArray[np.uint16]:
    """The first two readable images."""
    for chunk in range(plan.chunks):
        pixels = store.get(model.loader.preprocessing, chunk)
        if len(pixels.stored):
            return pixels.stored[[0, min(1, len(pixels.stored) - 1)]]
    raise ModelRefused("no image of the data set can be read")


def seen(plan: Plan, model: PlannedModel, network: Network, pixels: Pixels, places: Sequence[int]) -> Looked:
    """The images at these places of a chunk as one batch of the fixed size B, padded with zeros.

    Results depend on B but never on the companions.
    """
    numbers = [int(pixels.rows[place]) for place in places]
    unit = in_unit_range(pixels.stored[list(places)])

    def prepared(pictures: npt.NDArray[np.float32]) -> Tensor:
        images = fed(pictures, model.loader.preprocessing).to(plan.device)
        short = plan.config.batch - len(images)
        if short:
            images = torch.cat([images, images.new_zeros((short, *images.shape[1:]))])
        return network.laid_out(images)

    images = prepared(unit)
    kept = pixels.masks
    batch = Batch(
        [plan.samples[number] for number in numbers],
        plan.classes,
        size=(images.shape[2], images.shape[3]),
        frames=[pixels.frames[place] for place in places],
        network=network,
        images=images,
        softmax=model.loader.head == "softmax",
        seed=plan.config.seed,
        elsewhere=plan.elsewhere,
        film=Film(torch.from_numpy(unit), lambda pictures: prepared(pictures.numpy()), plan.config.batch),
        masks=None if kept is None else lambda image: kept.of(numbers[image]),
    )
    return Looked(batch, numbers)


def run(
    plan: Plan, model: PlannedModel, ledger: Ledger, store: PixelStore, arrays: Path, notify: Notify, strict: bool = False
) -> None:
    """Measure what is still owed for one model; a unit that raises is recorded as failed and the others go on."""
    lacking = owed(plan, model, ledger)
    units = [unit for unit in plan.units_of(model.id) if unit.key in lacking]
    if not units:
        return
    work = _ModelPass(plan, model, ledger, store, arrays / "features" / _feature_key(plan, model, units), strict)
    once, twice = [unit for unit in units if not looks_twice(unit)], [unit for unit in units if looks_twice(unit)]
    try:
        work.stream(once, twice, lacking, notify)
    except AuditError:
        raise
    except Exception as error:  # the network itself failed: every unit of this model did
        for unit in units:
            work.fail(unit, error)
    for unit in twice:
        work.second_look(unit, lacking[unit.key], notify)
    shutil.rmtree(work.features, ignore_errors=True)


def _feature_key(plan: Plan, model: PlannedModel, units: list[Unit]) -> str:
    """Kept features belong to everything that decides what is in them."""
    thinned_for = sorted(unit.key for unit in units if looks_twice(unit))
    return digest(model.identity, plan.data_key, plan.config.batch, plan.device, thinned_for)


class _ModelPass:
    """The moving parts of one model's pass: the network once it is needed, and which units have failed so far."""

    def __init__(
        self, plan: Plan, model: PlannedModel, ledger: Ledger, store: PixelStore, features: Path, strict: bool
    ) -> None:
        self.plan, self.model, self.ledger, self.store, self.features = plan, model, ledger, store, features
        self.strict = strict
        self.failed: set[str] = set()
        self.tallies: dict[str, dict[str, Any]] = {}
        self._network: Network | None = None

    @property
    def network(self) -> Network:
        """The network, loaded on first use."""
        if self._network is None:
            self._network = open_network(self.plan, self.model, self.store)
        return self._network

    def fail(self, unit: Unit, error: Exception) -> None:
        """Record a failed unit, or stop the run if it was asked to be strict."""
        what = f"{type(error).__name__}: {error}"
        if self.strict:
            raise Stopped(f"the analysis {unit.name} failed for {unit.model}: {what}") from error
        log.error("%s failed for %s", unit.name, unit.model, exc_info=error)
        self.failed.add(unit.key)
        self.ledger.fail(unit.key, what)

    def stream(self, once: list[Unit], twice: list[Unit], lacking: Mapping[str, set[int]], notify: Notify) -> None:
        """The first look: measure units that need one look; observe for units that need two, and keep their features."""
        self._begin(twice)
        todo = [
            chunk
            for chunk in range(self.plan.chunks)
            if any(chunk in lacking[unit.key] for unit in once) or (twice and not self._is_kept(chunk))
        ]
        for at, chunk in enumerate(todo):
            due = [unit for unit in once if chunk in lacking[unit.key] and unit.key not in self.failed]
            keep = [unit for unit in twice if unit.key not in self.failed and not self._is_kept(chunk)]
            try:
                self._chunk(chunk, due, keep, todo[at + 1] if at + 1 < len(todo) else None)
            except OSError as error:
                raise refused(self.features, error) from error
            notify(self.model.id, chunk)

    def _begin(self, twice: list[Unit]) -> None:
        """Fresh tallies, with what an earlier run has kept already."""
        for unit in twice:
            self._guarded(unit, partial(self._fresh_tallies, unit))
        for chunk in range(self.plan.chunks) if twice else ():
            if self._is_kept(chunk):
                for batch, _ in self._from_kept(chunk):
                    for unit in twice:
                        self._guarded(unit, partial(self._observe, unit, batch))

    def _fresh_tallies(self, unit: Unit) -> None:
        assert unit.analysis is not None
        self.tallies[unit.key] = dict(unit.analysis.tallies())
        boxed = "box" in observes(unit.analysis)
        most = sum(bool(sample.boxes) or not boxed for sample in self.plan.samples)
        for tally in self.tallies[unit.key].values():
            if hasattr(tally, "expected_images"):
                tally.expected_images = most

    def _observe(self, unit: Unit, batch: Batch) -> None:
        analysis, tallies = unit.analysis, self.tallies[unit.key]
        assert analysis is not None
        cases, _ = batch.cases(observes(analysis))
        if cases:
            with files_of_its_own():
                analysis.observe(tallies, batch.view(observes(analysis), cases, None, tallies))

    def _is_kept(self, chunk: int) -> bool:
        return kept_features.place(self.features, chunk).exists()

    def _chunk(self, chunk: int, due: list[Unit], keep: list[Unit], following: int | None) -> None:
        found = {unit.key: Found({}, {}, []) for unit in due}
        pixels_scope, answers_scope = self.plan.scopes(self.model)
        quarantined: dict[str, list[Quarantine]] = {pixels_scope: [], answers_scope: []}
        with Keeper(self.features, chunk, [unit.analysis for unit in keep if unit.analysis]) as keeper:
            for batch, numbers in self._batches(chunk, following, quarantined[pixels_scope]):
                quarantined[answers_scope] += self._without_answer(batch, numbers)
                for unit in due:
                    self._guarded(unit, partial(measure, unit, batch, numbers, {}, found[unit.key], self.plan.gallery))
                self._observe_and_keep(keep, keeper, batch, numbers)
            if any(unit.key not in self.failed for unit in keep):
                keeper.finish(quarantined)
        done = {key: part for key, part in found.items() if key not in self.failed}
        self.ledger.write(chunk, done, quarantined)

    def _observe_and_keep(self, keep: list[Unit], keeper: Keeper, batch: Batch, numbers: list[int]) -> None:
        floors = {}

        def look(unit: Unit) -> None:
            assert unit.analysis is not None
            self._observe(unit, batch)
            floors[unit.key] = unit.analysis.floor(self.tallies[unit.key])

        standing = [unit for unit in keep if self._guarded(unit, partial(look, unit))]
        whole = len(standing) < len(self.tallies) or any(floor is None for floor in floors.values())
        for unit in standing[:1]:  # they share what is kept, so they fail together
            floor = None if whole else np.min(list(floors.values()), 0)
            if not self._guarded(unit, partial(keeper.add, batch, numbers, floor)):
                for other in standing[1:]:
                    self.fail(other, ModelRefused("the features could not be kept"))

    def _guarded(self, unit: Unit, step: Callable[[], None]) -> bool:
        """Do a step of a unit that has not failed; one that raises has failed now. Whether the unit still stands."""
        if unit.key not in self.failed:
            try:
                step()
            except (OutputError, OSError):
                raise
            except Exception as error:
                self.fail(unit, error)
        return unit.key not in self.failed

    def _batches(self, chunk: int, following: int | None, unreadable: list[Quarantine]) -> Iterator[Looked]:
        if isinstance(self.model.loader, ScoreTable):
            yield self._scored(self.model.loader, chunk)
            return
        preprocessing = self.model.loader.preprocessing
        pixels = self.store.get(preprocessing, chunk)
        if following is not None:
            self.store.expect(preprocessing, following)
        unreadable += pixels.unreadable
        for start in range(0, len(pixels.rows), self.plan.config.batch):
            places = range(start, min(start + self.plan.config.batch, len(pixels.rows)))
            yield seen(self.plan, self.model, self.network, pixels, places)

    def _scored(self, table: ScoreTable, chunk: int) -> Looked:
        first = chunk * self.plan.chunk
        samples = self.plan.samples[first : first + self.plan.chunk]
        scores = torch.from_numpy(table.scores([sample.id for sample in samples])[:, list(self.model.outputs)])
        softmax = table.head == "softmax"
        batch = Batch(samples, self.plan.classes, scores=scores, softmax=softmax, seed=self.plan.config.seed)
        return Looked(batch, list(range(first, first + len(samples))))

    def _without_answer(self, batch: Batch, numbers: list[int]) -> list[Quarantine]:
        """Samples for which the model gives no finite logits; they are left out of everything."""
        rows: list[int] = torch.nonzero(~batch.answered)[:, 0].tolist()
        batch.skip = frozenset(rows)
        if self.model.looked_into:
            return [Quarantine(numbers[row], "nonfinite", f"{self.model.id} gives logits that are not numbers") for row in rows]
        return [Quarantine(numbers[row], "no-score", f"{self.model.id} has no score") for row in rows]

    def second_look(self, unit: Unit, lacking: set[int], notify: Notify) -> None:
        """Finish a unit that needs two looks from the features that were kept: no image is read, no forward pass is run."""
        analysis = unit.analysis
        assert analysis is not None
        tallies, due = self.tallies.pop(unit.key, {}), set(lacking)
        self._guarded(unit, lambda: self.ledger.finish(unit.key, checked_summary(analysis, analysis.summarise(tallies))))
        self._guarded(unit, partial(self._look_again, unit, analysis, tallies, due, notify))
        for chunk in sorted(due):  # of a unit that failed
            notify(self.model.id, chunk)

    def _look_again(self, unit: Unit, analysis: Analysis, tallies: Mapping[str, Any], due: set[int], notify: Notify) -> None:
        """Conclude and measure in one reading of the kept features; what is not due is read only if the conclusion asks for it.

        The last chunk is written after the conclusion: a unit that has all its chunks owes nothing more.
        """
        last: list[Callable[[], None]] = []

        def views(chunks: Iterable[int]) -> Generator[View, None, None]:
            for chunk in chunks:
                found = Found({}, {}, [])
                for batch, numbers in self._from_kept(chunk):
                    if cases := batch.cases(analysis.needs)[0]:
                        yield batch.view(analysis.needs, cases, None, tallies)
                    if chunk in due:
                        measure(unit, batch, numbers, tallies, found, frozenset())
                if chunk in due:
                    write = partial(self._write_kept, unit, analysis, chunk, found, due, notify)
                    last.append(write) if due == {chunk} else write()

        seen = views(range(self.plan.chunks))
        conclusion = checked_conclusion(analysis, analysis.look_back(tallies, seen))
        seen.close()
        for _ in views([] if last else sorted(due)):
            pass
        self.ledger.conclude(unit.key, conclusion)
        for write in last:
            write()

    def _write_kept(self, unit: Unit, analysis: Analysis, chunk: int, found: Found, due: set[int], notify: Notify) -> None:
        kept = kept_features.read(self.features, chunk)
        others = Batch([self.plan.samples[number] for number in kept.others], self.plan.classes, frames=kept.other_frames)
        add_gaps(found, others.cases(analysis.needs)[1], kept.others)
        self.ledger.write(chunk, {unit.key: found}, kept.quarantined)
        due.remove(chunk)
        notify(self.model.id, chunk)

    def _from_kept(self, chunk: int) -> Iterator[Looked]:
        kept = kept_features.read(self.features, chunk)
        for part, stored in kept.parts():
            samples = [self.plan.samples[number] for number in kept.rows[part]]
            features: Tensor = torch.from_numpy(stored).to(self.plan.device)
            yield Looked(
                Batch(
                    samples,
                    self.plan.classes,
                    size=kept.size,
                    frames=kept.frames[part],
                    features=features,
                    seed=self.plan.config.seed,
                    elsewhere=self.plan.elsewhere,
                ),
                kept.rows[part],
            )
