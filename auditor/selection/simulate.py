"""The loop of targeted active learning, played with labels that are held back: train, choose, reveal, train anew.

Every network is trained from the same first weights on what is labelled by then; every function starts from the same labelled set, pool
and query, seed by seed. The query never becomes training data, and the pool is seen as the validation is, without augmentation.
Source: Kothawade et al., CLINICAL (2022), after the authors' toolkits; docs/selection.md tells what is done otherwise.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from .. import __version__
from ..errors import DatasetError, ExitCode, ModelRefused
from ..identity import digest, identity
from ..ledger import locked, publish
from ..log import written_down
from ..progress import Progress, Silence
from ..statistics.ranking import auroc, average_precision
from ..strategy import ClassCounts
from ..training.config import TrainingRun
from ..training.loop import Diverged, Setting, Training
from ..training.ranks import Ranks
from ..training.start import fresh
from ..wording import how_many
from . import simulation_page
from .choose import Wish, choose
from .embed import Embedder
from .opening import needs_gradient
from .query import Seen, Target, target
from .sides import PIXELS, Sides, gather
from .simulation_config import SimulationPlan
from .simulation_page import Round
from .start import Rows, Start

log = logging.getLogger("auditor")

ROUNDS = Path("arrays") / "rounds"


@dataclass
class Simulated:
    """How a simulation ended: a line per function, what was noticed, and the files."""

    lines: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.COMPLETE


def simulate(plan: SimulationPlan, out: Path, device: str = "cpu", progress: Progress | None = None) -> Simulated:
    """Play every round of every function and seed; interrupted at any point it can be run again, finished rounds are kept."""
    with locked(out), written_down(out):
        return _Simulation(plan, out, device, progress or Silence()).run()


class _Simulation:
    """The moving parts of one `auditor mine --simulate`."""

    def __init__(self, plan: SimulationPlan, out: Path, device: str, progress: Progress) -> None:
        self.plan, self.out, self.device, self.progress = plan, out, device, progress
        self.result = Simulated()
        self.sides, self.starts, said = gather(plan, out)
        for message in said:
            self._say(message)
        self.columns = [self.classes.index(name) for name in plan.config.classes]
        self.key = digest(
            self.sides.training.key, self.sides.validation.key, self.sides.test.key, plan.config.model_dump(mode="json"),
            [identity(run.loader) for run in plan.training.runs], [identity(s) for s in plan.training.runs[0].strategies],
            identity(plan.training.recipe), device, __version__,
        )  # fmt: skip

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes that the network learns."""
        return tuple(self.plan.training.dataset.classes())

    def run(self) -> Simulated:
        """Every seed, every function, every round; then what it comes to."""
        config = self.plan.config
        epochs = self.plan.training.recipe.epochs
        self.progress.start(config.networks * epochs, config.title)
        played: dict[tuple[int, str], list[Round]] = {}
        for run in self.plan.training.runs:
            opening = _Opening(self, run, self.starts[run.seed])
            for function in config.functions:
                try:
                    played[run.seed, function] = self._play(opening, function)
                except Diverged as error:
                    self._say(f"seed {run.seed}, {function}: {error}")
                    self.result.exit_code = ExitCode.INCOMPLETE
        self.progress.finish()
        simulation = simulation_page.Simulation(config, {key: list(rounds) for key, rounds in played.items()})
        self.result.lines = simulation.lines()
        self.result.files = simulation_page.publish_all(self.out, simulation, self.result.messages, self.device)
        if self.result.exit_code == ExitCode.COMPLETE:
            shutil.rmtree(self.out / PIXELS, ignore_errors=True)
        return self.result

    def _play(self, opening: _Opening, function: str) -> list[Round]:
        """The rounds of one function from one start; those that an earlier run has finished are taken as they are."""
        config, path = self.plan.config, self.out / ROUNDS / self.key / f"seed{opening.run.seed}-{function}.json"
        rounds = _kept(path)
        self.progress.advance(max(len(rounds) - 1, 0) * self.plan.training.recipe.epochs, function)
        if not rounds:
            rounds = [opening.first]
        network: _Trained | None = None
        while len(rounds) <= config.rounds:
            labelled = np.concatenate([opening.start.labelled, *(np.array(past.chosen, np.int64) for past in rounds)])
            pool = np.setdiff1d(opening.start.pool, labelled)
            if network is None:
                network = opening.network if len(rounds) == 1 else self.trained(opening.run, opening.start, labelled)
            chosen = self._choice(network, opening, labelled, pool, function)
            labelled = np.concatenate([labelled, chosen])
            network = self.trained(opening.run, opening.start, labelled, function)
            rounds.append(self.measured(network, labelled, chosen, rounds[-1].rare))
            publish(path, json.dumps([past._asdict() for past in rounds]).encode())
        return rounds

    def trained(self, run: TrainingRun, start: Start, labelled: Rows, note: str = "start") -> _Trained:
        """A network trained from its first weights on what is labelled."""
        lens, recipe = run.loader.preprocessing, self.plan.training.recipe
        side = self.sides.training.only(np.sort(labelled).tolist())
        counts = ClassCounts(self.classes, *(tuple((side.labels == value).sum(0).tolist()) for value in (1, 0)))
        setting = Setting(
            side, self.sides.validation.only(start.query.tolist()), self.sides.varied, self.sides.pixels["validation"],
            self.classes, counts, lens, recipe, Ranks(), self.device,
        )  # fmt: skip
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []):
            warnings.simplefilter("ignore", UserWarning)  # a class without positives is said once, with the start
            training = Training(fresh(run)[0], run.strategies, run.seed, setting)
            for number in range(1, recipe.epochs + 1):
                training.epoch(number, lambda _: None)
                self.progress.advance(1, f"seed {run.seed}, {note}, {how_many(len(labelled), 'image')}")
        embedder = Embedder(training.network, lens, recipe.batch, self.device)
        embedder.prepare(self.sides.pixels["test"].rows(np.arange(min(2, len(self.sides.test.samples)))), (), "")
        if (
            not embedder.tap.linear
            and self.plan.config.kernel == "gradient"
            and any(map(needs_gradient, self.plan.config.functions))
        ):
            raise ModelRefused(f"{run.place}: the logits are not the output of a last linear layer; allowed: kernel: features")
        return _Trained(embedder, self.sides)

    def _choice(self, network: _Trained, opening: _Opening, labelled: Rows, pool: Rows, function: str) -> Rows:
        config = self.plan.config
        query, labels = (
            network.seen("validation", opening.start.query, self.device),
            self.sides.validation.labels[opening.start.query],
        )
        wish = Wish(function, config.kernel, config.eta, config.budget, int(digest(opening.run.seed, len(labelled))[:8], 16))
        known = network.seen("training", labelled, self.device).features if function == "coreset" else None
        found = choose(network.seen("training", pool, self.device), query, self._targets(query, labels), wish, known)
        for message in found.messages:
            log.info("seed %d, %s, %d labelled: %s", opening.run.seed, function, len(labelled), message)
        return pool[[choice.row for choice in found.choices]]

    def _targets(self, query: Seen, labels: npt.NDArray[np.int8]) -> list[Target]:
        config = self.plan.config
        try:
            return [
                target(name, k, "sigmoid", query, torch.from_numpy(labels[:, k]).to(self.device), config.choose, config.q_min)
                for name, k in zip(config.classes, self.columns, strict=True)
            ]
        except ValueError as error:
            raise DatasetError(f"{config.place('validation')}: {error}") from error

    def measured(self, network: _Trained, labelled: Rows, chosen: Rows, before: int) -> Round:
        """The test of a network, and how many of the chosen images show a rare class."""
        test, rare = self.sides.test, (self.sides.training.labels[chosen][:, self.columns] == 1).any(1).sum()
        logits = network.seen("test", np.arange(len(test.samples)), self.device).logits.double().cpu().numpy()
        found: list[dict[str, float | None]] = []
        for statistic in (auroc, average_precision):
            values = {}
            for name, k in zip(self.plan.config.classes, self.columns, strict=True):
                known = test.labels[:, k] >= 0
                value = statistic(logits[known, k], test.labels[known, k] == 1)
                values[name] = None if isinstance(value, str) else value
            found.append(values)
        return Round(chosen.tolist(), len(labelled), before + int(rare), *found)

    def _say(self, message: str) -> None:
        log.info("%s", message)
        self.result.messages.append(message)


def _kept(path: Path) -> list[Round]:
    try:
        return [Round(**past) for past in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


class _Trained:
    """A trained network, ready to look at images by their side and rows."""

    def __init__(self, embedder: Embedder, sides: Sides) -> None:
        self._embedder, self._sides = embedder, sides

    def seen(self, side: str, rows: Rows, device: str) -> Seen:
        """Features and logits of these images."""
        pixels = self._sides.pixels[side]
        parts = [self._embedder(pixels.rows(rows[start : start + 256])) for start in range(0, len(rows), 256)]
        return Seen(*(torch.from_numpy(np.concatenate(part)).to(device) for part in zip(*parts, strict=True)))


class _Opening:
    """Where all functions of a seed begin: the network before anything is chosen, trained when first asked for."""

    def __init__(self, simulation: _Simulation, run: TrainingRun, start: Start) -> None:
        self._simulation, self.run, self.start = simulation, run, start
        self._network: _Trained | None = None
        self._first: Round | None = None

    @property
    def network(self) -> _Trained:
        """The network that knows the labelled set of the start."""
        if self._network is None:
            self._network = self._simulation.trained(self.run, self.start, self.start.labelled)
        return self._network

    @property
    def first(self) -> Round:
        """Its test."""
        if self._first is None:
            self._first = self._simulation.measured(self.network, self.start.labelled, np.zeros(0, np.int64), 0)
        return self._first
