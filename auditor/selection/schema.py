"""The shape of a mine.yaml as JSON schema, for editors."""

from __future__ import annotations

from typing import Any

from ..registry import Registry
from ..schema import DIALECT, choices
from .config import MineConfig, Query

TEXT = {"type": "string", "minLength": 1}


def schema(registry: Registry) -> dict[str, Any]:
    """JSON schema of mine.yaml: every component with its options, told apart by `use`."""
    found: dict[str, Any] = MineConfig.model_json_schema(by_alias=True)
    found["$schema"] = DIALECT
    definitions = found["$defs"]
    own = {
        key: shape
        for key, shape in definitions["Query"]["properties"].items()
        if key in Query.model_fields.keys() - {"use", "options"}
    }
    for kind in ("datasets", "models"):
        definitions[kind] = choices(registry, kind, definitions)
    definitions["Query"] = {"anyOf": [_with(entry, own) for entry in definitions["datasets"]["anyOf"]]}
    definitions["From"] = {"anyOf": [TEXT, definitions["From"]]}
    found["properties"]["pool"] = {"$ref": "#/$defs/datasets"}
    found["properties"]["model"] = {"$ref": "#/$defs/models"}
    found["properties"]["from"] = {"$ref": "#/$defs/From"}
    found["anyOf"] = [{"required": ["from"]}, {"required": ["model"]}]
    definitions.pop("Use", None)
    return found


def _with(entry: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """A data set as the query, whose mapping may also say which images are."""
    return {**entry, "properties": {**entry["properties"], **more}} if "properties" in entry else entry
