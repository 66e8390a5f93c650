"""train.yaml to a folder of networks, as one line of steps."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..errors import AuditError, ConfigError, ExitCode, OutputError, PluginError
from ..ledger import locked
from ..log import written_down
from ..model import Preprocessing
from ..progress import Progress, Silence, duration
from ..trained import CARD, STATE
from . import material as materials
from . import record
from .augment import canvas
from .config import TrainingPlan, TrainingRun
from .loop import Diverged, Setting, Training
from .material import PixelFile, Side
from .outlines import Outlines, outlines
from .ranks import Ranks, joined
from .start import fresh

log = logging.getLogger("auditor")

PIXELS = "pixels"


@dataclass
class Trained:
    """How a training ended: a line per network, and what was noticed."""

    lines: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    exit_code: ExitCode = ExitCode.COMPLETE


def train(
    plan: TrainingPlan, out: Path, resume: bool = False, device: str = "cpu", progress: Progress | None = None
) -> Trained:
    """Train every network of a plan that is not trained yet; interrupted at any point, `resume` goes on."""
    with joined(device) as (ranks, own):
        with locked(out) if ranks.first else nullcontext():
            ranks.wait()
            _check_folder(out, plan, resume)
            with written_down(out) if ranks.first else nullcontext():
                return _Session(plan, out, ranks, own, (progress or Silence()) if ranks.first else Silence()).run()


def _check_folder(out: Path, plan: TrainingPlan, resume: bool) -> None:
    begun = [run.name for run in plan.runs if any((out / run.name / name).exists() for name in (CARD, STATE))]
    if begun and not resume:
        raise OutputError(
            f"{out}: {len(begun)} of the {len(plan.runs)} networks are there already, the first is {begun[0]}; --resume goes on"
            " with what is missing, another --out begins anew"
        )


class _Session:
    """The moving parts of one `auditor train`."""

    def __init__(self, plan: TrainingPlan, out: Path, ranks: Ranks, device: str, progress: Progress) -> None:
        self.plan, self.out, self.ranks, self.device, self.progress = plan, out, ranks, device, progress
        self.result = Trained()
        self.material = materials.gather(plan)
        self._pixels: dict[tuple[str, str], PixelFile] = {}
        self._outlines: dict[str, Outlines] = {}

    def run(self) -> Trained:
        """Decode, then train one network after the other."""
        self._try_starts()
        self._prepare()
        settings = [self._setting(run) for run in self.plan.runs]
        total = sum(setting.steps * setting.recipe.epochs for setting in settings)
        self._rehearse(settings)
        self.progress.start(total, self.plan.config.title)
        for run, setting in zip(self.plan.runs, settings, strict=True):
            try:
                self._train(run, setting)
            except (Diverged, PluginError) as error:
                if isinstance(error, PluginError) and self.ranks.of > 1:
                    raise  # the other processes may be waiting in the middle of a step
                self._say(f"{run.name}: {error}")
                self.result.exit_code = ExitCode.INCOMPLETE
        self.progress.finish()
        if self.ranks.first and self.result.exit_code == ExitCode.COMPLETE:
            shutil.rmtree(self.out / PIXELS, ignore_errors=True)
        return self.result

    def _try_starts(self) -> None:
        """Make every kind of network once, so that a long training does not die of its last one."""
        for run in {(run.loader.family(), str(run.pretrained), run.place): run for run in self.plan.runs}.values():
            with _placed(run):
                fresh(run)

    def _rehearse(self, settings: Sequence[Setting]) -> None:
        """One step of every architecture with every strategy that is owed: what cannot work is said before anything is trained."""
        owed = [pair for pair in zip(self.plan.runs, settings, strict=True) if not (self.out / pair[0].name / CARD).exists()]
        for run, setting in {(run.place, run.strategy): (run, setting) for run, setting in reversed(owed)}.values():
            with (
                _placed(run),
                warnings.catch_warnings(),
                torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []),
            ):
                warnings.simplefilter("ignore", UserWarning)
                Training(fresh(run)[0], run.strategies, run.seed, setting).rehearse()
        self.ranks.wait()

    def _prepare(self) -> None:
        """Decode both sides in every geometry that a network needs; leave out what cannot be read."""
        config, found = self.plan.config, []
        for lens in {run.loader.preprocessing.recipe: run.loader.preprocessing for run in self.plan.runs}.values():
            for side, shape in self._geometries(lens):
                if (side.name, shape.recipe) not in self._pixels:
                    pixels = materials.prepare(self.out / PIXELS, side, shape, self.ranks)
                    self._pixels[side.name, shape.recipe] = pixels
                    found.append((side, pixels))
        self.material = materials.without_unreadable(self.material, found, config.max_quarantine, config.place("dataset"))
        if self.ranks.first:
            record.save_patients(self.out, self.material)
        for line in materials.described(self.material):
            self._say(line)
        batch = min(self.plan.recipe.batch, len(self.material.training.samples))
        if batch < self.ranks.of:
            raise ConfigError(f"{config.place('recipe')}: {self.ranks.of} processes cannot share batches of {batch} images")

    def _geometries(self, lens: Preprocessing) -> list[tuple[Side, Preprocessing]]:
        return [(self.material.training, canvas(lens, self.plan.recipe.augmentation)), (self.material.validation, lens)]

    def _setting(self, run: TrainingRun) -> Setting:
        lens, material = run.loader.preprocessing, self.material
        (training, seen), (validation, shown) = self._geometries(lens)
        return Setting(
            training, validation, self._pixels["training", seen.recipe], self._pixels["validation", shown.recipe],
            material.classes, material.counts, lens, self.plan.recipe, self.ranks, self.device, self._outlines_of(run),
        )  # fmt: skip

    def _outlines_of(self, run: TrainingRun) -> Outlines | None:
        """The masks that a network learns from which answers for every pixel; those of one geometry are read once."""
        lens = run.loader.preprocessing
        if run.loader.output == "image":
            return None
        if lens.recipe not in self._outlines:
            sides, place = self._geometries(lens), self.plan.config.place("dataset")
            self._outlines[lens.recipe] = outlines(self.out / PIXELS, sides, self.material.classes, place, self.ranks)
        return self._outlines[lens.recipe]

    def _train(self, run: TrainingRun, setting: Setting) -> None:
        folder, started = self.out / run.name, time.monotonic()
        with (
            _placed(run),
            warnings.catch_warnings(record=True) as warned,
            torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []),
        ):
            warnings.simplefilter("always", UserWarning)  # strategies tell in this way of classes that they cannot weigh
            network, notes = fresh(run)
            if self.ranks.first:
                record.sweep(folder)
            told = record.identity_of(self.plan, run, self.material, network)
            if self.ranks.gather(record.finished(folder, told))[0]:
                self.progress.advance(setting.steps * setting.recipe.epochs, run.name)
                self._report(run, "was trained before")
                return
            training = Training(network, run.strategies, run.seed, setting)
            so_far = self._epochs(run, training, record.read_state(folder, told, training), told)
            notes += list(dict.fromkeys(str(warning.message) for warning in warned))
            if self.ranks.first:
                record.finish(folder, self.plan, run, self.material, training, told, so_far, notes)
        self.ranks.wait()
        best = so_far.epochs[so_far.best - 1]
        where = "the validation images" if setting.outlines is None else "pixels of the validation images"
        reached = f"macro AUROC {_number(best.macro)} on {where}"
        took = duration(time.monotonic() - started)
        self._report(run, f"best epoch {best.number} of {setting.recipe.epochs}, {reached}, {took}")
        for note in notes:
            if note not in self.result.messages:
                self._say(note)

    def _epochs(self, run: TrainingRun, training: Training, so_far: record.Progress, told: str) -> record.Progress:
        """Train the epochs that are still owed; each is on disk before the next begins."""
        setting = training.setting
        self.progress.advance(setting.steps * len(so_far.epochs), run.name)
        for number in range(len(so_far.epochs) + 1, setting.recipe.epochs + 1):
            epoch = training.epoch(number, lambda note: self.progress.advance(1, f"{run.name}, {note}"))
            so_far = so_far.after(epoch)
            if self.ranks.first:
                log.info("%s epoch %d: loss %.6g, macro AUROC %s", run.name, number, epoch.loss, _number(epoch.macro))
                record.save_epoch(self.out / run.name, run, self.material, training, told, so_far)
        return so_far

    def _report(self, run: TrainingRun, what: str) -> None:
        if self.ranks.first:
            log.info("%s: %s", run.name, what)
            self.result.lines.append(f"{run.name:<40} {what}")

    def _say(self, message: str) -> None:
        if self.ranks.first:
            log.info("%s", message)
            self.result.messages.append(message)


@contextmanager
def _placed(run: TrainingRun) -> Iterator[None]:
    """What goes wrong with one network is told with the line that asked for it."""
    try:
        yield
    except (Diverged, OutputError):
        raise
    except AuditError as error:
        raise type(error)(f"{run.place}: {error}") from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(f"{run.place}: a batch does not fit into the memory of the GPU; lower batch in the recipe") from error


def _number(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.3f}"
