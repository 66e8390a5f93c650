"""The tables of the documentation, made from what is declared: `python -m auditor.reference docs/audit-yaml.md docs/metrics.md`.

A page says where a table goes: what stands between `<!-- made: NAME -->` and `<!-- end -->` is written anew.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from . import card
from .catalogue import show_default
from .claims import Claims
from .config import AuditConfig, Report, TrainingImages, Use
from .errors import ConfigError, among
from .gates import Gate
from .groups import Grouping
from .metric import Metric
from .model import ModelLoader
from .options import in_words
from .registry import Registry
from .selection.config import From, MineConfig, Query
from .selection.simulation_config import SimulationConfig
from .training.config import TrainConfig
from .training.recipe import RECIPES, Recipe

BLOCK = re.compile(r"(<!-- made: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
ELSEWHERE: Mapping[str, str] = {
    "Use": "a plugin: NAME, or {use: NAME, option: value ...}",
    "Architecture": "a model plugin: NAME, or {use: NAME, option: value ...}",
    "Combination": "a strategy plugin: NAME, or {use: NAME, option: value ..., with: [...], as: NAME}",
    **dict.fromkeys(
        ("Claims", "Gate", "Grouping", "Card", "Report", "TrainingImages", "From", "Query"), "a mapping, see below"
    ),
}
"""What stands for a mapping that has a table of its own, or whose options are the plugin's."""
SHAPES: Mapping[str, tuple[type[BaseModel], type[BaseModel] | None]] = {
    "audit": (AuditConfig, None), "claims": (Claims, None), "gates": (Gate, None), "subgroups": (Grouping, None), "report": (Report, None),
    "training_images": (TrainingImages, None), "train": (TrainConfig, None), "mine": (MineConfig, None), "from": (From, None),
    "query": (Query, Use), "simulate": (SimulationConfig, TrainConfig),
}  # fmt: skip
"""{table: the mapping, and the one whose keys it shares and does not repeat}."""


def filled(page: str) -> str:
    """The page with every table made anew; ConfigError where it asks for one that is not known."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{_made(found[2])}\n\n{found[3]}", page)


def _made(name: str) -> str:
    makers: dict[str, Callable[[], str]] = {key: (lambda key=key: keys(*SHAPES[key])) for key in SHAPES}  # type: ignore[misc]
    for kind in ("datasets", "models", "attributions", "analyses", "strategies"):
        makers[kind] = lambda kind=kind: components(Registry(), kind)  # type: ignore[misc]
    makers |= {"metrics": lambda: cards(Registry()), "recipes": recipes, "card": card_fields}
    if name not in makers:
        raise ConfigError(f"no table is called {name!r}; allowed: {among(name, makers)}")
    return makers[name]()


def keys(shape: type[BaseModel], shared: type[BaseModel] | None = None) -> str:
    """A row per key of a mapping: what it is, what it can be, what it is unless given."""
    schema = shape.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {}) | {name: {"const": words} for name, words in ELSEWHERE.items()}
    rows = []
    for name, field in shape.model_fields.items():
        if shared is not None and name in shared.model_fields:
            continue
        key = field.alias or name
        entry = schema["properties"][key]
        default = "must be given" if field.is_required() else _default(field.get_default(call_default_factory=True))
        rows.append(
            (f"`{key}`", str(field.description or ""), in_words(entry, definitions).removesuffix(" or nothing"), default)
        )
    return _table(("key", "is", "can be", "unless given"), rows)


def components(registry: Registry, kind: str) -> str:
    """Every shipped plugin of a kind: its own words, and a row per option."""
    parts: list[str] = []
    common: set[str] = set()
    if kind == "models":
        common = {field.name for field in fields(ModelLoader)}
        any_model = registry.options(kind, "scores")
        parts += ["Every model takes", _options(any_model, [name for name in any_model.fields if name in common])]
    for name, cls in registry.all(kind).items():
        options = registry.options(kind, name)
        own = [option for option in options.fields if option not in common]
        parts += [f"#### `{name}`", _paragraphs(cls), _options(options, own) if own else "Takes no options of its own."]
    return "\n\n".join(part for part in parts if part)


def card_fields() -> str:
    """A row per field of the card; each is a text of at most 2,000 characters, or a list of at most 20 short ones."""
    places = [(place.removeprefix("card").removeprefix("."), shape) for place, shape in card.groups().items()]
    rows = [
        (f"`{f'{place}.{name}' if place else name}`", str(field.description))
        for place, shape in places
        for name, field in shape.model_fields.items()
        if field.description
    ]
    return _table(("field", "says"), rows)


def recipes() -> str:
    """A row per value of a recipe, a column per recipe."""
    rows = [(f"`{f.name}`", *(show_default(getattr(recipe, f.name)) for recipe in RECIPES.values())) for f in fields(Recipe)]
    return _table(("value", *(f"`{name}`" for name in RECIPES)), rows)


def cards(registry: Registry) -> str:
    """A card per metric of every shipped analysis."""
    parts = []
    for name, cls in registry.all("analyses").items():
        parts += [f"## {name}", _paragraphs(cls), *(_card(metric) for metric in declared(cls) if metric.card)]
    return "\n\n".join(parts)


def declared(cls: type) -> tuple[Metric, ...]:
    """The metrics of an analysis, those that its options can change as they are by default."""
    found = cls.metrics if isinstance(getattr(cls, "metrics", None), tuple) else cls().metrics  # type: ignore[attr-defined]
    return tuple(found)


def _card(metric: Metric) -> str:
    direction = {"higher": "higher is better", "lower": "lower is better", "neither": "no direction is better in itself"}
    lines = [
        ("Reads", f"{direction[metric.better]}; {_range(metric)}; chance: {metric.chance or 'not declared'}"),
        ("Assumes", f"as `{metric.repeats}`, but {metric.assuming}" if metric.repeats else ""),
        ("Not estimable", "" if metric.undefined == "undefined" else metric.undefined),
        ("Misleads", metric.pitfall or "no pitfall declared"),
        ("Source", metric.reference or "not stated"),
    ]
    return "\n".join([f"### `{metric.name}`", "", metric.says, "", *(f"- {name}: {text}" for name, text in lines if text)])


def _range(metric: Metric) -> str:
    low, high = ("" if bound is None else f"{bound:g}" for bound in (metric.low, metric.high))
    words = f"{low} to {high}" if low and high else f"from {low} up" if low else f"up to {high}" if high else "unbounded"
    return f"{words}, {metric.unit}" if metric.unit else words


def _options(options: Any, names: Iterable[str]) -> str:
    kinds = options.kinds()
    rows = [
        (f"`{name}`", kinds[name], "must be given" if options.needed(name) else _default(options.default(name)))
        for name in names
    ]
    return _table(("option", "can be", "unless given"), rows)


def _default(value: Any) -> str:
    if isinstance(value, Use):
        return f"`{value.use}`"
    if isinstance(value, BaseModel):
        return "as in its table"
    if value is None or value in ("", (), {}):
        return "nothing"
    if isinstance(value, tuple) and all(isinstance(item, Use) for item in value):
        return f"`[{', '.join(item.use for item in value)}]`"
    return f"`{show_default(value)}`"


def _paragraphs(cls: type) -> str:
    """The docstring of a class without the line breaks of the source; lists keep theirs."""
    blocks = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    return "\n\n".join(block if re.search(r"^[-*] ", block, re.M) else " ".join(block.split()) for block in blocks)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    import sys

    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
