"""The kinds of YAML file that auditor reads: which one a file is by its keys, what each needs, and the command it is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from . import yaml_marks
from .problems import Problems, show


class Kind(NamedTuple):
    """A kind of file: what it describes, the command that takes it, its keys as words, and the least that can be written."""

    what: str
    command: str
    words: str
    smallest: str

    @property
    def keys(self) -> frozenset[str]:
        """What can stand on its top level."""
        return frozenset(self.words.split())


_FOLDER = "dataset: {use: image_folder, table: labels.csv, folder: images"
_TRAINED = (
    f"title: My networks, {_FOLDER}, split: train}}, models: [{{use: torchvision, architecture: resnet18}}], strategies: [bce]"
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "audit.yaml": Kind(
            "an audit",
            "auditor run",
            "title dataset training_images models reference attributions analyses claims gates subgroups report card plugins"
            " seed batch max_quarantine controls",
            f"{{title: My audit, {_FOLDER}}}, models: [{{use: torchvision, architecture: resnet18, checkpoint: bce.pt,"
            " classes: [Effusion], strategy: bce}], reference: bce}",
        ),
        "train.yaml": Kind(
            "a training",
            "auditor train",
            "title dataset validation models strategies seeds recipe plugins shared_patients max_quarantine",
            f"{{{_TRAINED}}}",
        ),
        "mine.yaml": Kind(
            "a selection",
            "auditor mine",
            "title from model pool query classes budget function kernel eta seed batch plugins max_quarantine",
            "{title: What to label next, from: audit-run, pool: {use: image_folder, table: pool.csv, folder: images, split: pool},"
            " query: {use: image_folder, table: labels.csv, folder: images, split: test}, budget: 100}",
        ),
        "simulate.yaml": Kind(
            "a simulation",
            "auditor mine --simulate",
            "title dataset validation models strategies seeds recipe plugins shared_patients max_quarantine test classes"
            " imbalance ratio labelled pool query functions budget rounds kernel eta choose q_min",
            f"{{{_TRAINED}, test: {{split: test}}, classes: [Effusion], budget: 10}}",
        ),
    }
)


def kind_of(path: Path | str) -> str:
    """The kind that a file is; "audit.yaml" where its keys do not decide."""
    data, _ = yaml_marks.read(Path(path), Problems())
    return likely(data if isinstance(data, dict) else {}, "audit.yaml")


def likely(data: Mapping[str, Any], expected: str) -> str:
    """The kind that knows most of the keys; where others know as many, the one that is expected.

    >>> likely({"title": "t", "models": [], "seeds": [0]}, "audit.yaml"), likely({"title": "t"}, "mine.yaml")
    ('train.yaml', 'mine.yaml')
    """
    order = [expected, *(name for name in KINDS if name != expected)]
    return max(order, key=lambda name: len(data.keys() & KINDS[name].keys))


def refusal(data: Any, expected: str, path: Path | str) -> str | None:
    """Why a file is not of the expected kind at all: it is no mapping, or another kind of file; None where it may be."""
    kind = KINDS[expected]
    if not isinstance(data, dict):
        found = "an empty file" if data is None else show(data)
        return f"found {found}; allowed: what {kind.what} needs; the least is {kind.smallest}"
    found = likely(data, expected)
    if found == expected:
        return None
    own = [key for key in data if key in KINDS[found].keys - kind.keys]
    return f"found {', '.join(own)}: this looks like {'an' if found[0] == 'a' else 'a'} {found}; use {KINDS[found].command} {path}, or write {kind.what}"
