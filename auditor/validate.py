"""All that can be known to be wrong with an audit without reading an image or a weight, reported together.

Tables and the headers of checkpoints are read. PyTorch is imported only where a component needs it to say what is wrong with
itself, as a network does whose weights are held against the architecture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from . import claims, finished, gates, groups
from .config import ANALYSES, ATTRIBUTIONS, AuditConfig, Draft, Use, draft
from .errors import AuditError, nearest
from .outputs import nameless, unmatched
from .placing import ask, placed
from .problems import Problems
from .registry import Placed, Registry


class Validated(NamedTuple):
    """A good audit, and the plugins that it lists."""

    config: AuditConfig
    registry: Registry


class _Written(NamedTuple):
    """What `Registry.build` asks of a config, for an audit.yaml that may be wrong elsewhere."""

    found: Draft

    @property
    def base(self) -> Path:
        return Path(self.found.places.file).absolute().parent

    def place(self, path: str) -> str:
        return self.found.places.place(path)

    def key_place(self, path: str) -> str:
        return self.found.places.key_place(path)


def validate(path: Path | str) -> Validated:
    """Read an audit, load the plugins that it lists, check every option; raises one ConfigError with every mistake."""
    found = draft(path)
    problems, written = found.problems, _Written(found)
    registry = _registry(found, written)
    if registry is None:
        problems.stop()
        raise AssertionError("no registry, and no problem")
    components = {
        where: registry.build(kind, use, where, written, problems) for kind, where, use in _uses(found.data) if use is not None
    }
    if found.config is not None and found.config.training_images is not None and components["dataset"] is not None:
        use = found.config.training_images.instead_of(found.config.dataset)
        components["training_images"] = registry.build("datasets", use, "training_images", written, problems)
    asked = {
        where: check_component(component, where, written, problems)
        for where, component in components.items()
        if component is not None and where.startswith(("models", "dataset"))
    }
    dataset, training = components.get("dataset"), components.get("training_images")
    if training is not None and not asked["dataset"]:  # or what both say would be told twice
        check_component(training, "training_images", written, problems)
    if found.config is not None:
        check_earlier(found.config, problems)
    classes = None if dataset is None else _classes(dataset, asked["dataset"], written, problems)
    if classes is not None:
        _check_outputs(components, asked, classes, written, problems)
    analyses = [component for where, component in components.items() if where.startswith("analyses")]
    if found.config is not None and None not in analyses:
        metrics = {m.name: m for analysis in analyses for m in analysis.metrics}
        claims.check(found.config, metrics, problems)
        groups.check_metrics(found.config, metrics, problems)
        if dataset is not None and not asked["dataset"]:
            groups.check_names(found.config, dataset.attributes(), problems)
        maps = [
            component for where, component in components.items() if where.startswith("attributions") and component is not None
        ]
        about = gates.measured(analyses, maps, found.config.strategies, found.config.reference, classes)
        gates.check(found.config, about, problems)
    problems.stop()
    assert found.config is not None
    return Validated(found.config, registry)


def _registry(found: Draft, written: _Written) -> Registry | None:
    listed = found.data.get("plugins", [])
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        return None
    try:
        return Registry(list(dict.fromkeys(listed)), written.base, written.place)
    except AuditError as error:
        found.problems.add(str(error))
        return None


def _uses(data: dict[str, Any]) -> Iterator[tuple[str, str, Use | None]]:
    """(kind, path, use) for whatever is written well enough to be a component."""
    yield "datasets", "dataset", _use(data.get("dataset"))
    defaults: dict[str, Any] = {"attributions": [u.use for u in ATTRIBUTIONS], "analyses": [u.use for u in ANALYSES]}
    for kind in ("models", "attributions", "analyses"):
        values = data.get(kind, defaults.get(kind))
        for number, value in enumerate(values if isinstance(values, list) else []):
            yield kind, f"{kind}[{number}]", _use(value)


def _use(value: Any) -> Use | None:
    try:
        return Use.model_validate(value, strict=True)
    except ValidationError:
        return None


def check_files(component: Any, where: str, written: Placed, problems: Problems) -> None:
    """Every path that was given among the options leads somewhere."""
    for field in fields(component) if is_dataclass(component) else ():
        path = getattr(component, field.name)
        if isinstance(path, Path) and not path.exists():
            siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            problems.add(f"{written.place(f'{where}.{field.name}')}: found no file {path}{nearest(path.name, siblings)}")


def check_earlier(config: AuditConfig, problems: Problems) -> None:
    """The earlier audit that the report is to be compared with can be read."""
    if config.earlier is not None:
        try:
            finished.check(config.earlier)
        except AuditError as error:
            problems.add(f"{config.place('report.earlier')}: {error}")


def check_component(component: Any, where: str, written: Placed, problems: Problems) -> bool:
    """Add what is wrong with the files of a data set or a model, and what it finds wrong itself; whether there was anything."""
    before = len(problems)
    check_files(component, where, written, problems)
    ask(component, where, written.place, problems)
    return len(problems) > before


def _classes(dataset: Any, wrong: bool, written: _Written, problems: Problems) -> tuple[str, ...] | None:
    """The data set's classes; None where they cannot be known, which is told unless something is known to be wrong already."""
    try:
        return tuple(dataset.classes())
    except AuditError as error:
        message = placed(str(error), dataset, "dataset", written.place)
    except Exception as error:  # it may be a stranger's plugin
        message = f"{written.place('dataset')}: the plugin {dataset.name} failed: {type(error).__name__}: {error}"
    if not wrong:
        problems.add(message)
    return None


def _check_outputs(
    components: dict[str, Any], asked: dict[str, bool], classes: tuple[str, ...], written: _Written, problems: Problems
) -> None:
    """Every class of the data set is an output of every model, by name."""
    for where, model in components.items():
        if not where.startswith("models") or model is None:
            continue
        try:
            named = model.declared_classes()
        except Exception as error:  # it may be a stranger's plugin
            if not asked[where]:
                problems.add(placed(str(error), model, where, written.place))
            continue
        for wrong in unmatched(classes, named) if named else ():
            problems.add(placed(f"{wrong.option}: {wrong.message}", model, where, written.place))
        if not named and not asked[where]:
            problems.add(placed(nameless(classes), model, where, written.place))
