"""Which networks an audit is of, and which of their outputs are the audit's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from .config import AuditConfig, Problems
from .errors import AuditError, PluginError
from .identity import digest, identity
from .model import Layers, ModelLoader, ScoreTable
from .outputs import nameless, unmatched
from .placing import placed
from .plan import PlannedModel
from .registry import Registry


def plan_models(
    loaders: Sequence[ModelLoader | None], classes: tuple[str, ...], config: AuditConfig, registry: Registry, problems: Problems
) -> tuple[PlannedModel, ...]:
    """Every network that can be planned; what is wrong with the others is added with the place that names them."""
    planned: list[PlannedModel] = []
    for number, loader in enumerate(loaders):
        if loader is None:
            continue
        place = config.place(f"models[{number}]")
        try:
            code = registry.code_digest("models", loader.name)
            model = plan_model(loader, place, code, classes, {p.id for p in planned})
        except AuditError as error:
            problems.add(placed(str(error), loader, f"models[{number}]", config.place))
        except Exception as error:  # a model plugin is a stranger's code
            problems.add(f"{place}: the model {loader.name} cannot be planned: {type(error).__name__}: {error}")
        else:
            planned.append(model)
    return tuple(planned)


def plan_model(loader: ModelLoader, place: str, code: str, classes: tuple[str, ...], taken: set[str]) -> PlannedModel:
    """A network with its outputs in the order of the classes, under a name that is not taken; raises PluginError if they do not fit."""
    declared = loader.declared_classes()
    if not declared:
        raise PluginError(nameless(classes))
    for wrong in unmatched(classes, declared):
        raise PluginError(f"{wrong.option}: {wrong.message}")
    if loader.output == "pixels":
        _check_per_pixel(loader)
    default = loader.default_layers() if loader.output == "image" else Layers()
    attribution = loader.layers.attribution or default.attribution
    layers = Layers(attribution, loader.layers.dissection or default.dissection or attribution)
    family = loader.family()
    name = f"{loader.strategy} · {family} · seed {loader.seed}"
    outputs, weights = tuple(declared.index(name) for name in classes), loader.digest()
    copies = sum(other == name or other.startswith(f"{name} #") for other in taken)
    return PlannedModel(
        id=f"{name} #{copies + 1}" if copies else name,
        loader=loader,
        place=place,
        family=family,
        layers=layers,
        outputs=outputs,
        declared=declared,
        unused=tuple(name for name in declared if name not in classes),
        digest=weights,
        identity=digest(weights, identity(loader), code, asdict(layers), outputs),
    )


def _check_per_pixel(loader: ModelLoader) -> None:
    if isinstance(loader, ScoreTable):
        raise PluginError("output: found pixels for a table of scores; allowed: image")
    if loader.layers.attribution:
        raise PluginError("layers.attribution: a network with output: pixels has no map per image; name layers.dissection only")
