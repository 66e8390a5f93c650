"""The shape of a train.yaml as JSON schema, for editors."""

from __future__ import annotations

from typing import Any

from ..options import Options
from ..registry import Registry
from ..schema import DIALECT, choices
from .config import SET_BY_TRAINING, TrainConfig
from .recipe import RECIPES, Recipe

PRETRAINED = {"type": "string", "minLength": 1, "description": "A checkpoint file, or imagenet."}


def schema(registry: Registry) -> dict[str, Any]:
    """JSON schema of train.yaml: every component with its options, told apart by `use`."""
    found: dict[str, Any] = TrainConfig.model_json_schema(by_alias=True)
    found["$schema"] = DIALECT
    definitions = found["$defs"]
    for kind in ("datasets", "models", "strategies"):
        definitions[kind] = choices(registry, kind, definitions)
    for entry in definitions["models"]["anyOf"]:
        _without_what_training_sets(entry)
    definitions["Architecture"] = {"$ref": "#/$defs/models"}
    definitions["Combination"] = _combinations(definitions["strategies"])
    found["properties"]["dataset"] = {"$ref": "#/$defs/datasets"}
    definitions["recipe"] = _recipe()
    found["properties"]["recipe"] = {"$ref": "#/$defs/recipe", "default": "paper2022"}
    definitions.pop("Use", None)
    return found


def _without_what_training_sets(entry: dict[str, Any]) -> None:
    if "properties" not in entry:
        return
    for name in SET_BY_TRAINING:
        entry["properties"].pop(name, None)
    entry["properties"]["pretrained"] = PRETRAINED
    entry["required"] = [name for name in entry["required"] if name not in SET_BY_TRAINING]


def _combinations(strategies: dict[str, Any]) -> dict[str, Any]:
    """A strategy, whose mapping may also say `with` and `as`."""
    more = {
        "with": {"type": "array", "items": {"$ref": "#/$defs/strategies"}},
        "as": {"type": "string", "minLength": 1},
    }
    full = [
        {**entry, "properties": {**entry["properties"], **more}} if "properties" in entry else entry
        for entry in strategies["anyOf"]
    ]
    return {"anyOf": full}


def _recipe() -> dict[str, Any]:
    """A recipe by name, or with what differs from it."""
    entry = Options(Recipe).schema("recipe")
    entry.pop("$defs")
    properties = {"use": {"enum": list(RECIPES)}, **{k: v for k, v in entry["properties"].items() if k != "use"}}
    for shape in properties.values():
        shape.pop("default", None)  # each recipe has its own
    return {"anyOf": [{"enum": list(RECIPES)}, {**entry, "properties": properties, "required": ["use"]}]}
