"""Finds plugins, and builds the components that an audit names."""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from . import hookspecs
from .errors import PluginError, among
from .loading import Source, code_files, import_distribution, import_file, where
from .options import Options, Refused
from .problems import Problems, join, show

if TYPE_CHECKING:
    from .config import Use

BASES = MappingProxyType(
    {
        "datasets": ("dataset", "Dataset"),
        "models": ("model", "ModelLoader"),
        "strategies": ("strategy", "Strategy"),
        "attributions": ("attribution", "Attribution"),
        "analyses": ("analysis", "Analysis"),
        "sections": ("section", "Section"),
    }
)
KINDS = tuple(BASES)
BUILT_IN = "auditor_plugins"


class Placed(Protocol):
    """What a config can say about where things were written."""

    @property
    def base(self) -> Path:
        """The folder that relative paths start from."""

    def place(self, path: str) -> str:
        """File, line, column and path of a value."""

    def key_place(self, path: str) -> str:
        """File, line, column and path of a key."""


class Registry:
    """The plugins of one audit, by kind and name.

    Built-ins come first, then what `plugins` lists: .py files (relative to `base`) and installed distributions that offer
    an entry point in the group `auditor`. Nothing else is loaded. `place` turns "plugins[0]" into the opening of a message.
    """

    def __init__(self, plugins: Sequence[str] = (), base: Path | None = None, place: Callable[[str], str] = str) -> None:
        self._manager = pluggy.PluginManager("auditor")
        self._manager.add_hookspecs(hookspecs)
        self.hook = self._manager.hook
        sources = _built_in()
        for number, name in enumerate(plugins):
            try:
                sources.append(import_file(name, base or Path.cwd()) if name.endswith(".py") else import_distribution(name))
            except PluginError as error:
                raise PluginError(f"{place(f'plugins[{number}]')}: {error}") from error.__cause__
        for source in sources:
            self._register(source)
        self._manager.check_pending()
        self._found: dict[str, dict[str, type]] = {kind: {} for kind in KINDS}
        for source in sources:
            for kind in KINDS:
                self._collect(kind, source)
        self._options: dict[type, Options] = {}

    def all(self, kind: str) -> dict[str, type]:
        """Every class of a kind by name, in order of name."""
        return dict(sorted(self._found[kind].items()))

    def get(self, kind: str, name: str) -> type:
        """The class of this name; raises PluginError with the nearest name."""
        found = self._found[kind]
        if name not in found:
            raise PluginError(f"no {singular(kind)} is called {show(name)}; allowed: {among(name, sorted(found)) or 'none'}")
        return found[name]

    def options(self, kind: str, name: str) -> Options:
        """What can be told to a component of this name."""
        cls = self.get(kind, name)
        if cls not in self._options:
            try:
                self._options[cls] = Options(cls)
            except PluginError as error:
                raise PluginError(f"{self.source(kind, name)}: {error}") from error.__cause__
        return self._options[cls]

    def build(self, kind: str, use: Use, path: str, config: Placed, problems: Problems) -> Any:
        """The component that `use` describes at `path`, or None after adding what is wrong with it to the problems."""
        if use.use not in self._found[kind]:
            try:
                self.get(kind, use.use)
            except PluginError as error:
                at = join(path, "use")
                problems.add(f"{config.place(at) if use.options else config.place(path)}: {error}")
            return None
        try:
            return self.options(kind, use.use).make(use.options, config.base)
        except Refused as refused:
            for at, message in refused.messages.items():
                whole = join(path, at) if at else path
                place = config.key_place(whole) if message.startswith("unknown option") else config.place(whole)
                problems.add(f"{place}: {message}")
            return None

    def source(self, kind: str, name: str) -> Path:
        """The file that a component's class is written in."""
        return _file(self.get(kind, name))

    def code_digest(self, kind: str, name: str) -> str:
        """sha256 over the class's module and the sibling modules it imports relatively; a change of code changes it."""
        digest = hashlib.sha256()
        for file in code_files(self.source(kind, name)):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def _register(self, source: Source) -> None:
        known = {name for name in vars(hookspecs) if getattr(getattr(hookspecs, name), "auditor_spec", None) is not None}
        for name in vars(source.module) if hasattr(source.module, "__dict__") else ():
            if self._manager.parse_hookimpl_opts(source.module, name) is not None and name not in known:
                raise PluginError(f"{source.file}: {name} is not a hook of auditor; allowed: {among(name, sorted(known))}")
        try:
            self._manager.register(source.module, name=str(source.file))
        except ValueError as error:
            raise PluginError(f"{source.file} is listed twice under plugins") from error
        except pluggy.PluginValidationError as error:
            raise PluginError(f"{source.file}: {' '.join(str(error).split())}") from error

    def _collect(self, kind: str, source: Source) -> None:
        offer = getattr(source.module, f"register_{kind}", None)
        if offer is None or self._manager.parse_hookimpl_opts(source.module, f"register_{kind}") is None:
            return
        try:
            classes = offer()
        except Exception as error:
            raise PluginError(where(error, source.file)) from error
        if not isinstance(classes, list | tuple):
            raise PluginError(f"{source.file}: register_{kind} gave {type(classes).__name__}; allowed: a list of classes")
        for cls in classes:
            self._take(kind, cls, source)

    def _take(self, kind: str, cls: Any, source: Source) -> None:
        module, base = BASES[kind]
        base_class = getattr(importlib.import_module(f".{module}", __package__), base)
        if not (isinstance(cls, type) and issubclass(cls, base_class)):
            raise PluginError(f"{source.file}: register_{kind} gave {cls!r}; allowed: classes made from auditor.{base}")
        name = getattr(cls, "name", None)
        if not isinstance(name, str) or not name:
            raise PluginError(f"{source.file}: {cls.__name__} has no name; give it one: name = {cls.__name__.lower()!r}")
        if name in self._found[kind]:
            first, second = _file(self._found[kind][name]), _file(cls)
            raise PluginError(f"two {kind} are called {name!r}: {first} and {second}; rename one")
        self._found[kind][name] = cls


def singular(kind: str) -> str:
    """One of a kind: `analysis` for `analyses`.

    >>> [singular(kind) for kind in KINDS]
    ['dataset', 'model', 'strategy', 'attribution', 'analysis', 'section']
    """
    return BASES[kind][0]


def _built_in() -> list[Source]:
    package = importlib.import_module(BUILT_IN)
    found = []
    for info in sorted(pkgutil.walk_packages(package.__path__, f"{BUILT_IN}."), key=lambda info: info.name):
        if not info.ispkg and not info.name.rpartition(".")[2].startswith("_"):
            module = importlib.import_module(info.name)
            found.append(Source(module, Path(str(module.__file__))))
    return found


def _file(cls: type) -> Path:
    return Path(str(sys.modules[cls.__module__].__file__))
