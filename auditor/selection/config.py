"""The mine.yaml, as typed values that know where they were written, and the components that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..config import Use, Written, mapping, shaped
from ..dataset import Dataset
from ..errors import AuditError, among
from ..model import ModelLoader, ScoreTable
from ..placing import placed
from ..problems import Places, Problems, join
from ..registry import Registry
from ..validate import check_component
from .audited import Audited, find

Name = Annotated[str, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]

BASELINES = ("random", "entropy", "margin", "least_confidence", "badge", "coreset")
FunctionName = Literal[
    "flqmi", "logdetmi", "gcmi", "fl1mi", "com", "random", "entropy", "margin", "least_confidence", "badge", "coreset"
]
KernelName = Literal["gradient", "features"]


UNREADABLE = "(unreadable)"
"""Stands for a data set whose line has been complained of already."""


class From(BaseModel):
    """The run folder of a finished audit, its audit.yaml where that does not lie beside it, and which of its models."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: Name
    """The run folder of a finished audit."""
    audit: Name | None = None
    """Its audit.yaml; NAME.yaml beside NAME-run unless given."""
    model: Name | None = None
    """Which of its networks; needed where it has several."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value


class Query(Use):
    """A labelled data set, and which of its images of the rare classes are the query: the missed ones, all, or these `ids`."""

    choose: Literal["misclassified", "all"] = "misclassified"
    """The images of a class that the network misses, or all of it."""
    q_min: Annotated[int, Field(ge=1)] = 5
    """If fewer are missed, all of the class are the query, and that is said."""
    ids: tuple[Name, ...] = ()
    """The query by name instead; each counts for the classes that it shows."""


class MineConfig(Written):
    """What to choose: so many images of a pool, for these classes of this network, by this function."""

    kind: ClassVar[str] = "mine.yaml"

    title: Name
    """A name for people."""
    from_: Annotated[From | None, Field(alias="from")] = None
    """A finished audit that names the network and its weak classes; this or `model`."""
    model: Use | None = None
    """A network as in audit.yaml; this or `from`."""
    pool: Use
    """A data set plugin: what may be chosen. Its labels are not looked at."""
    query: Query
    """A labelled data set plugin; which of its images are the query is said beside its options."""
    classes: tuple[Name, ...] = ()
    """The rare classes; with `from`, those that the audit found rare or weak unless given."""
    budget: Annotated[int, Field(ge=1)]
    """How many images to choose."""
    function: FunctionName = "flqmi"
    """How they are chosen; docs/selection.md has the definitions."""
    kernel: KernelName = "gradient"
    """What images are compared by, for the first five functions."""
    eta: Positive = 1.0
    """Weight of relevance to the query against variety; at most 1 for logdetmi, not for gcmi."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of what is random."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images of a forward pass."""
    plugins: tuple[Name, ...] = ()
    """Loose .py files beside mine.yaml, or installed distributions; those of the audit come along."""
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.005
    """The share of the pool that may be unusable before the exit code is 3."""


class MinePlan(NamedTuple):
    """A good mine.yaml with everything that it names built; `place` is the line that names the network.

    `audited` is what a finished audit knows of the network, where it comes from one.
    """

    config: MineConfig
    registry: Registry
    loader: ModelLoader
    place: str
    pool: Dataset
    query: Dataset
    classes: tuple[str, ...]
    why: tuple[str, ...]
    audited: Audited | None


def read(path: Path | str) -> MinePlan:
    """Everything that mine.yaml names, built; raises one ConfigError with a line per mistake."""
    problems = Problems()
    data, places = mapping(path, MineConfig, problems)
    config = shaped(MineConfig, {"from": From}, data, places, problems) or _what_is_well_written(data, places)
    _check_one_model(data, config, problems)
    _check_twice(config, problems)
    _check_meaning(config, problems)
    audited = _audited(config, problems)
    registry = _registry(config, audited, problems)
    loader, place = _loader(config, audited, registry, problems)
    pool, query = (_dataset(config, registry, key, problems) for key in ("pool", "query"))
    classes, why = _classes(config, audited, "from" in data, query, problems)
    problems.stop()
    assert loader is not None
    assert pool is not None
    assert query is not None
    return MinePlan(config, registry, loader, place, pool, query, classes, why, audited)


def _what_is_well_written(data: dict[str, Any], places: Places) -> MineConfig:
    """The file without the keys that are wrong, so that mistakes further inside are told in the same breath."""
    kept: dict[str, Any] = {"title": "-", "pool": UNREADABLE, "query": UNREADABLE, "budget": 1}
    for key, value in data.items():
        if shaped(MineConfig, {}, {**kept, key: value}, places, Problems()) is not None:
            kept[key] = value
    found = shaped(MineConfig, {}, kept, places, Problems())
    assert found is not None
    return found


def _check_one_model(data: dict[str, Any], config: MineConfig, problems: Problems) -> None:
    if ("from" in data) == ("model" in data):
        found = "both from and model" if "from" in data else "neither from nor model"
        problems.add(f"{config.place('')}: found {found}; allowed: one of them, a network has to say what it misses")


def _check_twice(config: MineConfig, problems: Problems) -> None:
    for key, values in (("classes", config.classes), ("plugins", config.plugins), ("query.ids", config.query.ids)):
        for number, value in enumerate(values):
            if values.index(value) != number:
                problems.add(
                    f"{config.place(f'{key}[{number}]')}: found the same as {key}[{values.index(value)}]; allowed: once"
                )


def _check_meaning(config: MineConfig, problems: Problems) -> None:
    """Options that would change nothing are refused, so that nobody thinks they did."""
    name, told = config.function, config.model_fields_set
    for key in ("kernel", "eta"):
        if key in told and (name in BASELINES or (key, name) == ("eta", "gcmi")):
            problems.add(f"{config.key_place(key)}: found {key}, which changes nothing with {name}; leave it out")
    if name == "logdetmi" and config.eta > 1:
        problems.add(
            f"{config.place('eta')}: found {config.eta:g}; allowed with logdetmi: at most 1, or there is no determinant"
        )


def _audited(config: MineConfig, problems: Problems) -> Audited | None:
    if config.from_ is None:
        return None
    try:
        return find(config.from_.run, config.from_.audit, config.from_.model, config.base)
    except AuditError as error:
        problems.add(f"{config.place('from')}: {error}")
        problems.stop()
        raise


def _registry(config: MineConfig, audited: Audited | None, problems: Problems) -> Registry:
    """The plugins of the audit and our own, each once; a name stands for a file beside the YAML that lists it."""
    own = [_whole(name, config.base) for name in config.plugins]
    theirs = [_whole(name, audited.config.base) for name in audited.config.plugins] if audited else []
    listed = list(dict.fromkeys([*own, *theirs]))

    def place(path: str) -> str:
        number = int(path.removeprefix("plugins[").removesuffix("]"))
        return config.place(path) if number < len(own) else config.place("from")

    try:
        return Registry(listed, config.base, place)
    except AuditError as error:
        problems.add(str(error))
        problems.stop()
        raise


def _whole(name: str, base: Path) -> str:
    return str((base / name).resolve()) if name.endswith(".py") else name


def _loader(
    config: MineConfig, audited: Audited | None, registry: Registry, problems: Problems
) -> tuple[ModelLoader | None, str]:
    """The loader of the network, and the line that names it; the audit's is built from the audit's own words."""
    if audited is not None:
        within = Problems()
        loader = registry.build("models", audited.use, audited.path, audited.config, within)
        for line in within.lines():
            problems.add(f"{config.place('from')}: {line}")
        return _with_a_network(loader, config.place("from"), problems), config.place("from")
    if config.model is None:
        return None, ""
    loader = registry.build("models", config.model, "model", config, problems)
    if loader is not None:
        check_component(loader, "model", config, problems)
    return _with_a_network(loader, config.place("model"), problems), config.place("model")


def _with_a_network(loader: ModelLoader | None, place: str, problems: Problems) -> ModelLoader | None:
    if isinstance(loader, ScoreTable):
        problems.add(f"{place}: found a table of scores; allowed: a network, for images are compared by its features")
    return loader


def _dataset(config: MineConfig, registry: Registry, path: Literal["pool", "query"], problems: Problems) -> Dataset | None:
    said = config.pool if path == "pool" else config.query
    if said.use == UNREADABLE:
        return None
    use = Use.model_validate({"use": said.use, **said.options})
    dataset: Dataset | None = registry.build("datasets", use, path, config, problems)
    if dataset is not None:
        check_component(dataset, path, config, problems)
        if "split" in registry.options("datasets", dataset.name).fields and "split" not in use.options:
            problems.add(f"{config.place(path)}: split is missing; say which part of {dataset.name} is meant")
    return dataset


def _classes(
    config: MineConfig, audited: Audited | None, from_audit: bool, query: Dataset | None, problems: Problems
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes to choose for, and why they are, where the audit says it."""
    known = _known_classes(config, query, problems)
    for number, name in enumerate(config.classes):
        if known and name not in known:
            problems.add(f"{config.place(join('classes', number))}: no class is called {name!r}; allowed: {among(name, known)}")
    if config.classes:
        return config.classes, ()
    if audited is None:
        if not from_audit:
            allowed = "the rare classes, or `from` an audit that found weak ones"
            problems.add(f"{config.place('classes')}: is missing; allowed: {allowed}")
        return (), ()
    found = audited.weakest(known)
    if not found:
        problems.add(f"{config.place('from')}: the audit found neither rare nor weak classes; name some under classes")
    return tuple(found), tuple(f"chosen for {name}: {why}" for name, why in found.items())


def _known_classes(config: MineConfig, query: Dataset | None, problems: Problems) -> tuple[str, ...]:
    try:
        return tuple(query.classes()) if query is not None else ()
    except AuditError as error:
        if not problems.tells(": query."):  # what is wrong with its files is told already
            problems.add(placed(str(error), query, "query", config.place))
    except Exception as error:  # it may be a stranger's plugin
        problems.add(f"{config.place('query')}: the plugin failed: {type(error).__name__}: {error}")
    return ()
