"""The YAML of `auditor mine --simulate`: a train.yaml of one network, an imbalance to start from, and ways to choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..config import Use
from ..dataset import Dataset
from ..errors import AuditError, among
from ..problems import Problems
from ..training.config import TrainConfig, TrainingPlan, planned, written
from ..validate import check_component
from .config import BASELINES, FunctionName, KernelName, Name, Positive

Count = Annotated[int, Field(ge=1)]

NEEDED = ("title", "dataset", "models", "strategies", "test", "classes", "budget")


class SimulationConfig(TrainConfig):
    """One network and one strategy, trained again after every round on what each function chose.

    `labelled` and `pool` are the images of the most common group that are labelled at the start and that can be chosen; the rarest
    group has 1 / `ratio` of them. `query` are the validation images of each group.
    """

    kind: ClassVar[str] = "simulate.yaml"

    test: dict[str, Any]
    """What every network is measured on: the options that differ from the data set's, or another data set."""
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The rare classes to choose for."""
    imbalance: Literal["binary", "long_tail"] = "binary"
    """binary: images with and without the rare classes; long_tail: by their rarest finding, in equal proportions."""
    ratio: Annotated[float, Field(ge=1)] = 20
    """How many times more common the most common group is than the rarest, at the start and in the pool."""
    labelled: Count = 100
    """Images of the most common group that are labelled at the start."""
    pool: Count = 1000
    """Images of the most common group that can be chosen."""
    query: Count = 20
    """Validation images of each group."""
    functions: Annotated[tuple[FunctionName, ...], Field(min_length=1)] = ("flqmi", "random", "entropy")
    """The ways of choosing that are compared."""
    budget: Count
    """How many images are chosen in a round."""
    rounds: Count = 10
    """How many rounds of choosing and training."""
    kernel: KernelName = "gradient"
    """As in mine.yaml."""
    eta: Positive = 1.0
    """As in mine.yaml."""
    choose: Literal["misclassified", "all"] = "misclassified"
    """As under `query` in mine.yaml."""
    q_min: Count = 5
    """As under `query` in mine.yaml."""

    @property
    def networks(self) -> int:
        """How many networks are trained: one per seed at the start, and one per function after every round."""
        return len(self.seeds) * (1 + len(self.functions) * self.rounds)

    @property
    def wished(self) -> tuple[str, ...]:
        """The functions that look for the classes."""
        return tuple(name for name in self.functions if name not in BASELINES)

    @property
    def baselines(self) -> tuple[str, ...]:
        """What they are compared with."""
        return tuple(name for name in self.functions if name in BASELINES)


@dataclass(frozen=True)
class SimulationPlan:
    """A good simulation with everything that it names built: `training` has one run per seed."""

    config: SimulationConfig
    training: TrainingPlan
    test: Dataset


def read(path: Path | str) -> SimulationPlan:
    """Everything that the file names, built; raises one ConfigError with a line per mistake."""
    problems = Problems()
    config = written(path, SimulationConfig, NEEDED, problems)
    for key in ("models", "strategies"):
        if len(getattr(config, key)) > 1:
            problems.add(
                f"{config.place(key)}: found {len(getattr(config, key))}; allowed: one, what is compared are functions"
            )
    for key in ("classes", "functions"):
        values = getattr(config, key)
        for number, value in enumerate(values):
            if values.index(value) != number:
                problems.add(
                    f"{config.place(f'{key}[{number}]')}: found the same as {key}[{values.index(value)}]; allowed: once"
                )
    if "logdetmi" in config.functions and config.eta > 1:
        problems.add(
            f"{config.place('eta')}: found {config.eta:g}; allowed with logdetmi: at most 1, or there is no determinant"
        )
    training = planned(config, problems)
    test = _test(config, training, problems)
    _check_classes(config, training.dataset, problems)
    problems.stop()
    assert test is not None
    return SimulationPlan(config, training, test)


def _test(config: SimulationConfig, training: TrainingPlan, problems: Problems) -> Dataset | None:
    """The data set that every network is measured on: the options that differ from the training's, or another data set."""
    own = {} if "use" in config.test else config.dataset.options
    use = Use.model_validate({"use": config.dataset.use, **own, **config.test})
    test: Dataset | None = training.registry.build("datasets", use, "test", config, problems)
    if test is not None:
        check_component(test, "test", config, problems)
        if "split" in training.registry.options("datasets", test.name).fields and "split" not in config.test:
            problems.add(f"{config.place('test')}: split is missing; say which part of {test.name} is meant")
    return test


def _check_classes(config: SimulationConfig, dataset: Dataset, problems: Problems) -> None:
    try:
        known = tuple(dataset.classes())
    except AuditError:
        return
    for number, name in enumerate(config.classes):
        if name not in known:
            problems.add(f"{config.place(f'classes[{number}]')}: no class is called {name!r}; allowed: {among(name, known)}")
