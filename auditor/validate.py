"""All that can be known to be wrong with an audit without importing torch or reading an image, reported together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from . import claims, finished, gates, groups
from .config import ANALYSES, ATTRIBUTIONS, AuditConfig, Draft, Use, draft
from .errors import AuditError, nearest
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
        training = found.config.training_images.instead_of(found.config.dataset)
        registry.build("datasets", training, "training_images", written, problems)
    for where, component in components.items():
        if component is not None and where.startswith(("models", "dataset")):
            check_files(component, where, written, problems)
    if found.config is not None:
        check_earlier(found.config, problems)
    classes = _checked_classes(components, written, problems)
    analyses = [component for where, component in components.items() if where.startswith("analyses")]
    if found.config is not None and None not in analyses:
        metrics = {m.name: m for analysis in analyses for m in analysis.metrics}
        claims.check(found.config, metrics, problems)
        groups.check_metrics(found.config, metrics, problems)
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


def _checked_classes(components: dict[str, Any], written: _Written, problems: Problems) -> tuple[str, ...] | None:
    """The data set's classes, which the outputs that audit.yaml names are by name; None where they cannot be known yet."""
    dataset = components.get("dataset")
    if dataset is None or len(problems):
        return None
    try:
        classes = tuple(dataset.classes())
    except AuditError as error:
        problems.add(f"{written.place('dataset')}: {error}")
        return None
    except Exception as error:  # it may be a stranger's plugin
        problems.add(f"{written.place('dataset')}: the plugin {dataset.name} failed: {type(error).__name__}: {error}")
        return None
    for where, model in components.items():
        if not where.startswith("models") or not (named := getattr(model, "classes", ())):
            continue
        place = written.place(f"{where}.classes")
        for name in sorted({name for name in named if named.count(name) > 1}):
            problems.add(f"{place}: found {name!r} more than once; allowed: each output once")
        outputs = ", ".join(named)
        for name in classes:
            if name not in named:
                problems.add(f"{place}: found no output called {name!r}; the outputs are {outputs}{nearest(name, named)}")
    return classes
