"""What an audit was made of, as it may be said: options and audit.yaml with words only where they are names shared on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from ..errors import PluginError
from ..evidence import Evidence
from ..registry import Registry
from .record import Record
from .texts import Texts

PATH, TEXT = "(path)", "(text)"
KINDS = {
    "dataset": "datasets",
    "training_images": "datasets",
    "models": "models",
    "attributions": "attributions",
    "analyses": "analyses",
}
OF_FILES = ("from", "root", "folder", "file", "table", "checkpoint", "boxes", "pretrained", "earlier")
"""Options that name a file or a folder."""
TOP_WORDS = ("formats", "claim", "tier", "metric", "strategy", "reference", "class", "attribution", "primary", "use")
HEAD = (
    "# What was asked, as far as it can be said: comments, paths and words that could name somebody are left out.\n"
    "# The file itself has the sha256 that stands in manifest.json.\n"
)
_PATH_LIKE = re.compile(r"[/\\~]|\.[A-Za-z0-9]{2,12}$")


def names(evidence: Evidence) -> set[str]:
    """The names that are shared on purpose: of classes, outputs, layers, strategies, architectures, networks, metrics, plugins, and of
    objects that are looked for: metrics are called by them."""
    found = {*evidence.dataset["classes"], str(evidence.dataset["use"]), str(evidence.audit["reference"]), *evidence.metrics}
    for model in evidence.models:
        found |= {str(model[name]) for name in ("id", "strategy", "family", "use", "head")}
        found |= {*model["outputs"], *model["unused"], *filter(None, model["layers"].values())}
    for use in (*evidence.audit["attributions"], *evidence.audit["analyses"]):
        found |= {use["use"], *use["use"].split(":"), *(use.get("options") or {}).get("objects", ())}
    return found | {told["by"] for told in evidence.audit.get("subgroups") or ()}


class Said:
    """Options as they may be said; `registry` holds the built-in components, whose choices of words are known."""

    def __init__(self, texts: Texts, registry: Registry, dataset: str) -> None:
        self._texts, self._registry, self._dataset = texts, registry, dataset

    def options(self, kind: str, use: str, values: Any) -> Any:
        """The options of a component: numbers, and words that are choices of ours or names shared on purpose."""
        return self._value(values, self._choices(kind, use))

    def known(self, kind: str, use: str) -> bool:
        """Whether this is a component that came with auditor."""
        return use in self._registry.all(kind)

    def recipe(self, values: Mapping[str, Any]) -> Any:
        """How a network was trained."""
        return self._value(values, frozenset(_choices_of_a_recipe()))

    def audit(self, record: Record) -> bytes:
        """audit.yaml as a statement of what was asked."""
        data = yaml.safe_load(record.audit)
        said = {str(key): self._top(str(key), value) for key, value in data.items()}
        return (HEAD + yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=120)).encode("utf-8")

    def card(self, value: Any) -> Any:
        """The authors' own words, shared on purpose like the title; names of patients, images and places in them are replaced."""
        if isinstance(value, Mapping):
            return {str(key): self.card(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.card(item) for item in value]
        return self._texts.title(value) if isinstance(value, str) else value

    def _top(self, key: str, value: Any) -> Any:
        if key == "title":
            return self._texts.title(str(value))
        if key == "plugins":
            return ["(file)" if str(name).endswith(".py") else name for name in value or ()]
        if key == "training_images":
            return self._value(value, self._choices("datasets", self._dataset))
        if key == "card":
            return self.card(value)
        if key in KINDS:
            return self._uses(KINDS[key], value)
        return self._value(value, frozenset(_words(value, TOP_WORDS)) & frozenset(_choices_of_auditor()))

    def _uses(self, kind: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._uses(kind, item) for item in value]
        if isinstance(value, dict):
            return self._value(value, self._choices(kind, str(value.get("use", ""))))
        return self._value(value, frozenset())

    def _choices(self, kind: str, use: str) -> frozenset[str]:
        """The words that the options of a built-in component can be."""
        try:
            hints = get_type_hints(self._registry.get(kind, use.partition(":")[0]))
        except (PluginError, NameError, TypeError):  # a plugin that is not here, or one whose hints cannot be read
            return frozenset()
        return frozenset(word for hint in hints.values() for word in _literals(hint)) | {"stretch", "crop", use}

    def _value(self, value: Any, choices: frozenset[str], under: str = "") -> Any:
        if isinstance(value, Mapping):
            return {self._word(str(key)): self._value(item, choices, str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(item, choices, under) for item in value]
        if isinstance(value, str):
            if value in choices or self._texts.may_be_said(value) or not value:
                return value
            return PATH if under in OF_FILES or _PATH_LIKE.search(value) else TEXT
        return value if isinstance(value, bool | int | float | type(None)) else TEXT

    def _word(self, key: str) -> str:
        return key if key.isidentifier() or self._texts.may_be_said(key) else TEXT


def _choices_of_a_recipe() -> Iterator[str]:
    from ..training.recipe import RECIPES, Recipe

    yield from RECIPES
    for hint in get_type_hints(Recipe).values():
        yield from _literals(hint)


def _literals(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from (word for word in get_args(hint) if isinstance(word, str))
    for inner in get_args(hint):
        if not isinstance(inner, str | int | float | type(None)):
            yield from _literals(inner)


def _words(value: Any, keys: tuple[str, ...], under: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _words(item, keys, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _words(item, keys, under)
    elif isinstance(value, str) and under in keys:
        yield value


def _choices_of_auditor() -> Iterator[str]:
    """The words of claims, gates and the report."""
    from ..gates import CLAIMS, PSEUDO_CLASSES

    yield from (*CLAIMS, *PSEUDO_CLASSES, "html", "pdf", "blocking", "advisory")
