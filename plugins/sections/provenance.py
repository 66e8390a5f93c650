"""What it takes to make this report again: versions, digests, options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl

from ._compact import compact
from ._reading import plain


class Provenance(Section):
    """Environment, digests and options, as recorded."""

    name = "provenance"
    title = "Provenance"
    template = "provenance.html"
    order = 170

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """Lists of name and value; what all networks share is told once."""
        dataset = {
            name: value for name, value in evidence.dataset.items() if name not in ("counts", "notes", "train", "described")
        }
        each = [dict(flat({name: value for name, value in model.items() if name != "id"})) for model in evidence.models]
        shared = {
            name: text
            for name, text in (each[0] if len(each) > 1 else {}).items()
            if all(row.get(name) == text for row in each)
        }
        models = [
            (str(model["id"]), [(name, text) for name, text in row.items() if name not in shared])
            for model, row in zip(evidence.models, each, strict=True)
        ]
        return {
            "audit": list(flat({name: value for name, value in evidence.audit.items() if name != "card"})),
            "dataset": list(flat(dataset)),
            "environment": list(flat(evidence.environment)),
            "shared": list(shared.items()),
            "models": models,
            "compact": [
                *compact(evidence.audit),
                ("data", _data(dataset)),
                *compact({name: value for name, value in evidence.environment.items() if name != "device"}),
            ],
        }


def _data(dataset: Mapping[str, Any]) -> str:
    """The data set in a line."""
    told = compact(
        {"data": {"use": dataset.get("use"), "options": dataset.get("options") or {}}, "digest": dataset.get("digest")}
    )
    return "; ".join(line if name == "data" else f"{name} {line}" for name, line in told)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (dotted name, text); what is not set says so."""
    for name, value in values.items():
        place = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{place}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from flat({str(number): item for number, item in enumerate(value)}, f"{place}.")
        else:
            yield place, plain(value)


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Provenance]
