"""Writes a working one-file plugin to start from: `auditor new attribution mine`."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from .errors import AuditError, OutputError

_DATASET = '''import csv
from dataclasses import dataclass
from pathlib import Path

from auditor import Dataset, Sample, hookimpl
from auditor.imaging import file_version, read_picture, safe_path


@dataclass(frozen=True)
class $Name(Dataset):
    """Pictures listed in labels.csv, whose columns are file, patient, abnormal (1 or 0)."""

    name = "$name"
    root: Path

    def classes(self):
        return ("abnormal",)

    def index(self):
        rows = list(csv.reader((self.root / "labels.csv").read_text(encoding="utf-8").splitlines()))[1:]
        return [Sample(name, patient, (int(label),), version=file_version(self.root / name)) for name, patient, label in rows]

    def read(self, sample):
        return read_picture(safe_path(self.root, sample.id))


@hookimpl
def register_datasets():
    return [$Name]
'''

_MODEL = '''from dataclasses import dataclass
from pathlib import Path

from auditor import Layers, ModelLoader, hookimpl
from auditor.checkpoint import file_digest, load_into, read_weights


@dataclass(frozen=True, kw_only=True)
class $Name(ModelLoader):
    """One convolution, pooling and a linear layer; audit.yaml names its outputs with `classes`."""

    name = "$name"
    checkpoint: Path
    layers: Layers = Layers(attribution="0", dissection="0")

    def load(self):
        from torch import nn

        maps = nn.Sequential(nn.Conv2d(self.preprocessing.channels, 8, 3, padding=1), nn.ReLU())
        network = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, len(self.classes)))
        load_into(network, read_weights(self.checkpoint), self.checkpoint)
        return network

    def digest(self):
        return file_digest(self.checkpoint)


@hookimpl
def register_models():
    return [$Name]
'''

_STRATEGY = '''from dataclasses import dataclass

from auditor import Strategy, hookimpl


@dataclass(frozen=True)
class $Name(Strategy):
    """Binary cross-entropy whose positives weigh (negatives / positives) ** power."""

    name = "$name"
    power: float = 0.5

    def loss(self, counts):
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        pairs = zip(counts.positives, counts.negatives, strict=True)
        weights = torch.tensor([(no / max(yes, 1)) ** self.power for yes, no in pairs])

        def criterion(logits, labels):
            per_class = weights.to(logits).reshape(-1, *[1] * (logits.ndim - 2))
            return binary_cross_entropy_with_logits(logits, labels, pos_weight=per_class, reduction="none")

        return criterion


@hookimpl
def register_strategies():
    return [$Name]
'''

_ATTRIBUTION = '''from dataclasses import dataclass

from auditor import Attribution, hookimpl


@dataclass(frozen=True)
class $Name(Attribution):
    """Sum over channels of gradient times activation; negative evidence is dropped unless `signed`."""

    name = "$name"
    signed: bool = False

    def explain(self, network, images, cases):
        maps = (network.gradients(images, cases) * network.features(images)[cases.image]).sum(1)
        return maps if self.signed else maps.relu()


@hookimpl
def register_attributions():
    return [$Name]
'''

_ANALYSIS = '''from dataclasses import dataclass

from auditor import Analysis, Metric, hookimpl


@dataclass(frozen=True)
class $Name(Analysis):
    """The distance of the stated probability from 0.5, for every image whose label is known."""

    name = "$name"
    needs = frozenset({"logits", "labels"})
    metrics = (Metric("${name}_sureness", says="How far the stated probability is from a coin toss.", low=0, high=0.5),)

    def measure(self, batch):
        return {"${name}_sureness": (batch.logits.sigmoid() - 0.5).abs()}


@hookimpl
def register_analyses():
    return [$Name]
'''

_SECTION = '''from auditor import Section, hookimpl


class $Name(Section):
    """How many numbers were found for each model, and how many are missing."""

    name = "$name"
    title = "What was measured"
    order = 135
    template = "{% for row in rows %}<p>{{ row.model }}: {{ row.found }} found, {{ row.missing }} missing</p>{% endfor %}"

    def context(self, evidence):
        rows = []
        for model in evidence.models:
            values = [summary.value for summary in evidence.summaries if summary.model == model["id"]]
            rows.append({"model": model["id"], "found": len(values) - values.count(None), "missing": values.count(None)})
        return {"rows": rows}


@hookimpl
def register_sections():
    return [$Name]
'''

_TEMPLATES = {
    "dataset": _DATASET,
    "model": _MODEL,
    "strategy": _STRATEGY,
    "attribution": _ATTRIBUTION,
    "analysis": _ANALYSIS,
    "section": _SECTION,
}
_LINES = {
    "dataset": "dataset: {use: $name, root: FOLDER}\n",
    "model": "models:\n  - {use: $name, checkpoint: FILE.safetensors, classes: [CLASS, ...], strategy: STRATEGY}\n",
    "strategy": "",
    "attribution": "attributions: [$name]\n",
    "analysis": "analyses: [$name]\n",
    "section": "",
}


def text(kind: str, name: str) -> str:
    """The source of a plugin; raises AuditError if it cannot be called that."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name) or keyword.iskeyword(name):
        raise AuditError(f"found the name {name!r}; allowed: small letters, digits and _, such as my_{kind}")
    spoken = "".join(part.capitalize() for part in name.split("_"))
    return Template(_TEMPLATES[kind]).substitute(name=name, Name=spoken)


def lines(kind: str, name: str) -> str:
    """What brings the plugin into an audit: lines for audit.yaml."""
    return Template(f"{_LINES[kind]}plugins: [$name.py]").substitute(name=name)


def write(kind: str, name: str, folder: Path) -> Path:
    """Write NAME.py; a file that is there already is left alone and raises OutputError."""
    path = folder / f"{name}.py"
    source = text(kind, name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(source)
    except FileExistsError:
        raise OutputError(f"{path} is there already; choose another name or move it away") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    return path
