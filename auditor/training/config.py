"""The train.yaml, as typed values that know where they were written, and the components that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import Field

from ..config import Use, Written, mapping, shaped
from ..dataset import Dataset
from ..errors import AuditError, among, nearest
from ..model import ModelLoader
from ..options import Options, Refused
from ..placing import placed
from ..problems import Places, Problems, join, plain_path, show
from ..registry import Registry
from ..strategy import Strategy
from ..validate import check_component
from .recipe import RECIPES, Recipe

SET_BY_TRAINING = ("strategy", "seed", "checkpoint", "classes")
IMAGENET = "imagenet"


class Architecture(Use):
    """A network to train: a model of the audit without checkpoint, strategy and seed; `pretrained` is where it starts.

    `pretrained` is a checkpoint file, or `imagenet` for the weights that torchvision downloads.
    """

    pretrained: Annotated[str, Field(min_length=1)] | None = None
    """Where training starts: a checkpoint file, or imagenet (torchvision downloads it); random unless given."""


class Combination(Use):
    """A strategy, by its loss, `with` others that choose, spare or add images; `as` is what the audit will call it."""

    with_: Annotated[tuple[Use, ...], Field(alias="with")] = ()
    """Strategies that choose, spare or add images, together with this loss."""
    as_: Annotated[str | None, Field(alias="as", min_length=1)] = None
    """What the audit will call it; the names joined by + unless given."""

    @property
    def called(self) -> str:
        """The name of the strategy in folders, cards and reports."""
        return self.as_ or "+".join([self.use, *(other.use for other in self.with_)])


class TrainConfig(Written):
    """What to train: architectures x strategies x seeds on one data set, by one recipe."""

    kind: ClassVar[str] = "train.yaml"

    title: Annotated[str, Field(min_length=1)]
    """A name for people."""
    dataset: Use
    """The images to train on: a data set plugin by name, with its options."""
    validation: Annotated[float, Field(gt=0, lt=1)] | dict[str, Any] = 0.1
    """A share of the patients, or the options of another split or data set."""
    models: Annotated[tuple[Architecture, ...], Field(min_length=1)]
    """The architectures, without checkpoint, strategy and seed."""
    strategies: Annotated[tuple[Combination, ...], Field(min_length=1)]
    """The ways of handling class imbalance to train by."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)] = (0,)
    """Every strategy is trained once per seed; networks of one seed start alike and see the same images in the same order."""
    recipe: Use = Use(use="paper2022")
    """How long and how fast: a recipe by name, or with what differs from it."""
    plugins: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Loose .py files beside train.yaml, or installed distributions; nothing else is loaded. They are code."""
    shared_patients: bool = False
    """Whether patients may be in training and validation both; refused unless true."""
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.005
    """The share of images that may be unusable."""


@dataclass(frozen=True)
class TrainingRun:
    """One network to train: `name` is its folder, `place` the line of train.yaml that asked for it.

    `strategies` are the one whose loss is used and those it is combined with; `written` is how train.yaml put them.
    """

    name: str
    place: str
    loader: ModelLoader
    architecture: Architecture
    pretrained: Path | str | None
    strategy: str
    strategies: tuple[Strategy, ...]
    written: Combination
    seed: int


class TrainingPlan(NamedTuple):
    """A good train.yaml with everything that it names built; `validation` None means a share of the patients."""

    config: TrainConfig
    registry: Registry
    dataset: Dataset
    validation: Dataset | None
    recipe: Recipe
    runs: tuple[TrainingRun, ...]


def read(path: Path | str) -> TrainingPlan:
    """Everything that train.yaml names, built; raises one ConfigError with a line per mistake."""
    problems = Problems()
    config = written(path, TrainConfig, ("title", "dataset", "models", "strategies"), problems)
    return planned(config, problems)


def planned(config: TrainConfig, problems: Problems) -> TrainingPlan:
    """What a train.yaml names, built; raises one ConfigError with these problems and those that are found."""
    _check_twice(config, problems)
    registry = _registry(config, problems)
    recipe = _recipe(config, problems)
    dataset = registry.build("datasets", config.dataset, "dataset", config, problems)
    _check_split(config, registry, dataset, problems)
    validation = _validation(config, registry, dataset, problems)
    wrong = False
    for at, component in (("dataset", dataset), ("validation", validation)):
        if component is not None and not wrong:  # what both say would be told twice
            wrong = check_component(component, at, config, problems)
    strategies = [_strategies(config, registry, number, problems) for number in range(len(config.strategies))]
    classes = _classes(config, dataset, wrong, problems)
    runs = _planned(config, registry, classes, strategies, problems)
    problems.stop()
    assert recipe is not None
    return TrainingPlan(config, registry, dataset, validation, recipe, runs)


T = TypeVar("T", bound=TrainConfig)


def written(path: Path | str, shape: type[T], needed: Sequence[str], problems: Problems) -> T:
    """What the file says; raises ConfigError where nothing can be made of it, and adds what is wrong beside that."""
    data, places = mapping(path, shape, problems)
    config = shaped(shape, {}, data, places, problems) or _what_is_well_written(shape, needed, data, places)
    if config is None:
        problems.stop()
        raise AssertionError("no config, and no problem")
    return config


def _what_is_well_written(shape: type[T], needed: Sequence[str], data: dict[str, Any], places: Places) -> T | None:
    """The file without the keys that are wrong, so that mistakes further inside are told in the same breath."""
    kept = {**data, "title": "-"}
    for key in [key for key in kept if key not in needed]:
        alone = {name: kept[name] for name in (*needed, key) if name in kept}
        if shaped(shape, {}, alone, places, Problems()) is None:
            del kept[key]
    return shaped(shape, {}, kept, places, Problems())


def _registry(config: TrainConfig, problems: Problems) -> Registry:
    try:
        return Registry(list(config.plugins), config.base, config.place)
    except AuditError as error:
        problems.add(str(error))
        problems.stop()
        raise


def _check_twice(config: TrainConfig, problems: Problems) -> None:
    for key, values in (
        ("strategies", [_filed(combination.called) for combination in config.strategies]),
        ("seeds", [str(seed) for seed in config.seeds]),
        ("plugins", list(config.plugins)),
        *(
            (f"strategies[{number}].with", [other.use for other in combination.with_])
            for number, combination in enumerate(config.strategies)
        ),
    ):
        for number, value in enumerate(values):
            first = values.index(value)
            if first != number:
                way_out = "; give one of them another name with as:" if key == "strategies" else ""
                problems.add(f"{config.place(f'{key}[{number}]')}: found the same as {key}[{first}]; allowed: once{way_out}")


def _classes(config: TrainConfig, dataset: Dataset | None, wrong: bool, problems: Problems) -> tuple[str, ...]:
    """The data set's classes; () where they cannot be known, which is told unless something is known to be wrong already."""
    try:
        return tuple(dataset.classes()) if dataset is not None else ()
    except AuditError as error:
        message = placed(str(error), dataset, "dataset", config.place)
    except Exception as error:  # it may be a stranger's plugin
        message = f"{config.place('dataset')}: the plugin failed: {type(error).__name__}: {error}"
    if not wrong:
        problems.add(message)
    return ()


def _recipe(config: TrainConfig, problems: Problems) -> Recipe | None:
    name = config.recipe.use
    if name not in RECIPES:
        at = "recipe.use" if config.recipe.options else "recipe"
        problems.add(f"{config.place(at)}: found {show(name)}; allowed: {among(name, RECIPES)}")
        return None
    try:
        made: Recipe = Options(Recipe).make(asdict(RECIPES[name]) | config.recipe.options, config.base)
    except Refused as refused:
        _tell(refused, "recipe", config, problems)
        return None
    return made


def _tell(refused: Refused, path: str, config: TrainConfig, problems: Problems) -> None:
    for at, message in refused.messages.items():
        whole = join(path, at) if at else path
        problems.add(f"{config.key_place(whole) if message.startswith('unknown') else config.place(whole)}: {message}")


def _check_split(config: TrainConfig, registry: Registry, dataset: Dataset | None, problems: Problems) -> None:
    """Training on whatever split is the default would train on the test split."""
    if dataset is not None and "split" in registry.options("datasets", dataset.name).fields:
        for key, options in (("dataset", config.dataset.options), ("validation", config.validation)):
            if isinstance(options, dict) and "split" not in options:
                problems.add(f"{config.place(key)}: split is missing; say which part of {dataset.name} is meant")


def _validation(config: TrainConfig, registry: Registry, dataset: Dataset | None, problems: Problems) -> Dataset | None:
    """The data set of the validation, if it is not a share of the training patients: the options that differ."""
    said = config.validation
    if not isinstance(said, dict) or (dataset is None and "use" not in said):
        return None
    own = {} if "use" in said else config.dataset.options
    use = Use.model_validate({"use": config.dataset.use, **own, **said})
    built: Dataset | None = registry.build("datasets", use, "validation", config, problems)
    return built


def _strategies(config: TrainConfig, registry: Registry, number: int, problems: Problems) -> tuple[Strategy, ...]:
    combination, path = config.strategies[number], f"strategies[{number}]"
    own = Use.model_validate({"use": combination.use, **combination.options})
    built = [registry.build("strategies", own, path, config, problems)]
    for place, other in enumerate(combination.with_):
        built.append(registry.build("strategies", other, f"{path}.with[{place}]", config, problems))
        if built[-1] is not None and not _joins(type(built[-1])):
            able = [name for name, kind in registry.all("strategies").items() if _joins(kind)]
            found = f"{config.place(f'{path}.with[{place}]')}: found {other.use}, which is a loss and nothing else"
            problems.add(f"{found}; allowed: strategies that choose, spare or add images: {', '.join(able)}")
    return tuple(strategy for strategy in built if strategy is not None)


def _joins(kind: type) -> bool:
    """Whether a strategy does more than give a loss, so that it can be combined with one."""
    return any(getattr(kind, method) is not getattr(Strategy, method) for method in ("sampling", "augmentation", "extra"))


def _planned(
    config: TrainConfig,
    registry: Registry,
    classes: tuple[str, ...],
    strategies: Sequence[tuple[Strategy, ...]],
    problems: Problems,
) -> tuple[TrainingRun, ...]:
    runs: list[TrainingRun] = []
    families: list[str] = []
    for number, architecture in enumerate(config.models):
        path = f"models[{number}]"
        if not _trainable(config, registry, number, problems):
            continue
        pretrained = _pretrained(config, number, problems)
        for written, built in zip(config.strategies, strategies, strict=True):
            for seed in config.seeds:
                told = {"strategy": written.called, "seed": seed, "checkpoint": None, "classes": list(classes)}
                use = Use.model_validate({"use": architecture.use, **architecture.options, **told})
                loader = registry.build("models", use, path, config, problems)
                if loader is None:
                    return ()  # the same mistakes would be told for every strategy and seed
                if loader.head != "sigmoid":
                    allowed = "sigmoid, for the losses take every class as a question of its own"
                    problems.add(f"{config.place(f'{path}.head')}: found {loader.head}; allowed: {allowed}")
                    return ()
                if len(families) == number:
                    if check_component(loader, path, config, problems):
                        return ()
                    families.append(_unlike(loader.family(), families))
                name = _filed(f"{families[number]}-{written.called}-seed{seed}")
                runs.append(
                    TrainingRun(
                        name, config.place(path), loader, architecture, pretrained, written.called, built, written, seed
                    )
                )
    return tuple(runs)


def _filed(name: str) -> str:
    """A name as part of a path."""
    return name.replace("/", "_")


def _unlike(family: str, taken: Sequence[str]) -> str:
    """A name for the folders of an architecture that is listed more than once."""
    again = sum(other == family or other.startswith(f"{family}.") for other in taken)
    return f"{family}.{again + 1}" if again else family


def _trainable(config: TrainConfig, registry: Registry, number: int, problems: Problems) -> bool:
    use, path = config.models[number], f"models[{number}]"
    try:
        known = registry.options("models", use.use)
    except AuditError as error:
        problems.add(f"{config.place(path)}: {error}")
        return False
    if "nothing" not in known.kinds().get("checkpoint", ""):
        able = [n for n in registry.all("models") if "nothing" in registry.options("models", n).kinds().get("checkpoint", "")]
        found = f"{use.use}, which cannot be made without a checkpoint (`checkpoint: Path | None`)"
        problems.add(f"{config.place(path)}: found {found}; allowed: {', '.join(able)}")
        return False
    wrong = [name for name in SET_BY_TRAINING if name in use.options]
    for name in wrong:
        problems.add(f"{config.key_place(join(path, name))}: found {name}; allowed: nothing, it is set by the training")
    return not wrong


def _pretrained(config: TrainConfig, number: int, problems: Problems) -> Path | str | None:
    said = config.models[number].pretrained
    if said is None or said == IMAGENET:
        return said
    file = plain_path(config.base / said)
    if not file.is_file():
        place = config.place(f"models[{number}].pretrained")
        siblings = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        problems.add(f"{place}: found no file {file}; allowed: a checkpoint, or {IMAGENET}{nearest(file.name, siblings)}")
    return file
