"""The shape of an audit.yaml as JSON schema, for editors: completion, descriptions and red lines while typing."""

from __future__ import annotations

from typing import Any

from .config import AuditConfig
from .registry import Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FROM_TRAINING = {
    "type": "object",
    "description": "The networks that `auditor train` has written in a folder; other keys are options that hold for all.",
    "properties": {"from": {"type": "string", "minLength": 1}},
    "required": ["from"],
}
USES = {"dataset": "datasets", "models": "models", "attributions": "attributions", "analyses": "analyses"}


def schema(registry: Registry | None = None) -> dict[str, Any]:
    """JSON schema of audit.yaml; with a registry each component's options are described, told apart by `use`."""
    found: dict[str, Any] = AuditConfig.model_json_schema()
    found["$schema"] = DIALECT
    definitions = found.setdefault("$defs", {})
    short_form = {"type": "string", "minLength": 1}
    definitions["Use"] = {"anyOf": [short_form, {"type": "object", "properties": {"use": short_form}, "required": ["use"]}]}
    for key, kind in USES.items() if registry else ():
        assert registry is not None
        definitions[kind] = choices(registry, kind, definitions)
        entry = found["properties"][key]
        target = entry if key == "dataset" else entry["items"]
        target["$ref"] = f"#/$defs/{kind}"
    found["properties"]["models"] = {"anyOf": [found["properties"]["models"], FROM_TRAINING]}
    for key in ("attributions", "analyses"):
        found["properties"][key]["default"] = [use["use"] for use in found["properties"][key]["default"]]
    return found


def choices(registry: Registry, kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """Either the bare name of a component that needs no option, or a mapping whose `use` says which options there are."""
    bare: list[str] = []
    full: list[dict[str, Any]] = []
    for name in registry.all(kind):
        options = registry.options(kind, name)
        entry = options.schema(name, f"{kind}.{name}.")
        definitions.update(entry.pop("$defs"))
        full.append(entry)
        if not any(options.needed(option) for option in options.fields):
            bare.append(name)
    return {"anyOf": [*([{"enum": bare}] if bare else []), *full]}
