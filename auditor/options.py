"""The options of a component class: its dataclass fields, checked strictly, with a message for each mistake."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, Required

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from .errors import AuditError, PluginError, among
from .problems import from_pydantic, plain_path


class Options:
    """What a component class can be told; a class that is no dataclass takes no options."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._word = f"option of {getattr(cls, 'name', cls.__name__)}"
        self.fields = {f.name: f for f in dataclasses.fields(cls) if f.init} if dataclasses.is_dataclass(cls) else {}
        try:
            hints = typing.get_type_hints(cls, include_extras=True) if self.fields else {}
            self._types = {name: hints[name] for name in self.fields}
            shape = {name: (Required if self.needed(name) else NotRequired)[hint] for name, hint in self._types.items()}
            strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
            self._adapter: TypeAdapter[Any] = TypeAdapter(with_config(strict)(TypedDict(cls.__name__, shape)))  # type: ignore[operator]
        except (PydanticUserError, NameError, TypeError) as error:
            why = str(error).splitlines()[0]
            raise PluginError(f"{cls.__qualname__}: the type of an option is not understood: {why}") from error

    def needed(self, name: str) -> bool:
        """Whether the option has no default."""
        field = self.fields[name]
        return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING

    def default(self, name: str) -> Any:
        """The default of an option that has one."""
        field = self.fields[name]
        return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default

    def kinds(self) -> dict[str, str]:
        """What each option can be, in words."""
        found = self._adapter.json_schema()
        definitions = found.get("$defs", {})
        return {name: in_words(entry, definitions) for name, entry in found.get("properties", {}).items()}

    def make(self, given: Mapping[str, Any], base: Path) -> Any:
        """The component; relative paths start from `base`. Raises Refused with a message per option."""
        data = dict(given)
        try:
            values = self._adapter.validate_json(json.dumps(data), strict=True)
        except ValidationError as error:
            raise Refused(self._explain(error, data)) from None
        try:
            return self.cls(**{name: _rooted(value, base) for name, value in values.items()})
        except (ValueError, TypeError, AuditError) as error:
            option, _, rest = str(error).partition(": ")
            raise Refused({option: rest} if rest and option in self.fields else {"": str(error)}) from error

    def schema(self, name: str, prefix: str = "") -> dict[str, Any]:
        """JSON schema of `{use: name, option: value ...}`; definitions of nested options are under `$defs`, prefixed."""
        found = self._adapter.json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
        properties = found.get("properties", {})
        for option, entry in properties.items():
            if not self.needed(option):
                entry["default"] = _plain(self.default(option))
        needed = ["use", *(option for option in self.fields if self.needed(option))]
        entry = {
            "type": "object",
            "title": name,
            "description": first_sentence(self.cls),
            "properties": {"use": {"const": name}, **properties},
            "required": needed,
            "additionalProperties": False,
        }
        return {**entry, "$defs": {prefix + inner: shape for inner, shape in found.get("$defs", {}).items()}}

    def _explain(self, error: ValidationError, data: dict[str, Any]) -> dict[str, str]:
        messages = from_pydantic(error.errors(include_url=False), data, list(self.fields), self._word)
        for path, message in messages.items():
            if message.endswith("allowed: "):
                messages[path] = f"unknown {self._word}; allowed: none"
            elif message == f"unknown {self._word}":
                holder, _, name = path.rpartition(".")
                known = [f.name for f in dataclasses.fields(inner)] if (inner := self._nested(holder)) else []
                messages[path] = f"unknown {self._word}; allowed: {among(name, known)}"
        return messages

    def _nested(self, path: str) -> Any:
        hint: Any = self._types.get(path)
        return next((t for t in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(t)), None)


class Refused(Exception):
    """Options that a component cannot take: {path below the component: message}."""

    def __init__(self, messages: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in messages.items()))
        self.messages = dict(messages)


def first_sentence(cls: type) -> str:
    """The first sentence of a class's own docstring, on one line."""
    text = " ".join((cls.__doc__ or "").split())
    if dataclasses.is_dataclass(cls) and text.startswith(f"{cls.__name__}("):
        return ""
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def in_words(shape: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in a few words.

    >>> in_words({"type": "array", "items": {"type": "integer", "minimum": 1}}, {})
    'list of whole number >= 1'
    """
    if "$ref" in shape:
        inner = definitions[shape["$ref"].rpartition("/")[2]]
        parts = (f"{name}: {in_words(entry, definitions)}" for name, entry in inner.get("properties", {}).items())
        return f"{{{', '.join(parts)}}}" if "properties" in inner else in_words(inner, definitions)
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(in_words(entry, definitions) for entry in shape["anyOf"]))
    if "enum" in shape or "const" in shape:
        return " or ".join(str(value) for value in shape.get("enum", [shape.get("const")]))
    if "prefixItems" in shape:
        return f"[{', '.join(in_words(entry, definitions) for entry in shape['prefixItems'])}]"
    if shape.get("type") == "array":
        return f"list of {in_words(shape.get('items', {}), definitions)}"
    bounds = [f"{sign} {shape[key]}" for key, sign in _SIGNS.items() if key in shape]
    word = "path" if shape.get("format") == "path" else _WORDS.get(str(shape.get("type")), "anything")
    return " ".join([word, ", ".join(bounds)]).strip()


_SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
_WORDS = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "nothing",
    "object": "mapping",
}  # fmt: skip


def _rooted(value: Any, base: Path) -> Any:
    """The value with every relative path in it made to start from the base."""
    if isinstance(value, Path):
        return plain_path(base / value)
    if isinstance(value, tuple | list | set | frozenset):
        return type(value)(_rooted(item, base) for item in value)
    if isinstance(value, dict):
        return {key: _rooted(item, base) for key, item in value.items()}
    if _is_value(value):
        changed = {f.name: _rooted(getattr(value, f.name), base) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **changed)
    return value


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda v: dataclasses.asdict(v) if _is_value(v) else _listed(v)))


def _is_value(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _listed(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
