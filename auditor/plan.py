"""The audit made concrete: what is measured on what, every unit of work named by a digest of what it depends on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property

from . import __version__, sample_record, trials
from .analysis import Analysis
from .attribution import Attribution
from .attribution import label as label
from .config import AuditConfig
from .dataset import Dataset, Sample
from .elsewhere import Elsewhere
from .identity import options
from .metric import Metric
from .model import PER_PIXEL, Layers, ModelLoader
from .registry import Registry

IMAGES_PER_CHUNK = 64


@dataclass(frozen=True)
class PlannedModel:
    """One network under audit: `outputs` are its output numbers in the audit's class order, `unused` its other outputs."""

    id: str
    loader: ModelLoader
    place: str
    family: str
    layers: Layers
    outputs: tuple[int, ...]
    declared: tuple[str, ...]
    unused: tuple[str, ...]
    digest: str
    identity: str

    @property
    def looked_into(self) -> bool:
        """Whether there is a network behind it, or only scores."""
        return "features" in self.provides

    @property
    def explained(self) -> bool:
        """Whether attributions can say where it looks: it answers for whole images, and there is a network behind it."""
        return "attribution" in self.provides

    @property
    def provides(self) -> frozenset[str]:
        """What analyses can have of it."""
        return PER_PIXEL if self.loader.output == "pixels" else self.loader.provides


@dataclass(frozen=True)
class Unit:
    """One analysis (on one attribution, if it reads maps) of one model. `analysis` None means: keep maps for pictures. With
    `trials` it is of these images only."""

    key: str
    model: str
    analysis: Analysis | None
    attribution: Attribution | None
    trials: trials.Trials | None = None

    @property
    def name(self) -> str:
        """The analysis in a word."""
        return self.analysis.name if self.analysis else "(pictures)"


@dataclass(frozen=True)
class BoxCount:
    """listed = used + quarantined; clipped ones are used."""

    listed: int
    used: int
    clipped: int
    quarantined: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Plan:
    """All of the audit, resolved; nothing after this reads the config.

    `data_digest` names samples, labels and boxes; `data_key` also the files they are read from, and keys what is stored.
    `training` is the same audit of the training images, as far as any analysis needs them.
    """

    config: AuditConfig
    registry: Registry
    dataset: Dataset
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    available: int
    data_digest: str
    data_key: str
    boxes: BoxCount
    models: tuple[PlannedModel, ...]
    attributions: tuple[Attribution, ...]
    analyses: tuple[Analysis, ...]
    units: tuple[Unit, ...]
    unmet: tuple[tuple[str, str, str], ...]
    gallery: frozenset[tuple[int, int]]
    device: str
    training: Plan | None = None

    @property
    def chunk(self) -> int:
        """Samples per chunk: the unit of reading, measuring and writing; whole batches."""
        return self.config.batch * -(-IMAGES_PER_CHUNK // self.config.batch)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-len(self.samples) // self.chunk)

    @cached_property
    def elsewhere(self) -> Elsewhere:
        """The boxed cases of every class, against which maps of other images are held."""
        return Elsewhere(self.samples, self.classes)

    def units_of(self, model: str) -> list[Unit]:
        """The units of work of one model."""
        return [unit for unit in self.units if unit.model == model]

    def scopes(self, model: PlannedModel) -> tuple[str, str]:
        """What an unreadable image, and an image without a usable answer, are recorded under in the ledger."""
        return f"pixels {self.data_key} {model.loader.preprocessing.recipe}", f"answers {self.data_key} {model.identity}"

    def metrics(self) -> dict[str, Metric]:
        """Every metric that an analysis of this audit declares, by name."""
        return declared(self.analyses)


def declared(analyses: Iterable[Analysis]) -> dict[str, Metric]:
    """Every metric that these analyses declare, by name."""
    return {metric.name: metric for analysis in analyses for metric in analysis.metrics}


def to_json(plan: Plan) -> str:
    """plan.json: what will be done, readable by a person."""
    content = {
        "title": plan.config.title,
        "tool": __version__,
        "dataset": {"use": plan.dataset.name, "options": options(plan.dataset), "digest": plan.data_digest, "classes": plan.classes},
        "samples": [sample.id for sample in plan.samples],
        "known": sample_record.written(plan.samples, plan.config.subgroups), "data_key": plan.data_key,
        "available": plan.available,
        "training_images": None if plan.training is None else {
            "options": options(plan.training.dataset), "digest": plan.training.data_digest, "available": plan.training.available,
            "samples": [sample.id for sample in plan.training.samples], "chunks": plan.training.chunks,
            "known": sample_record.written(plan.training.samples, plan.config.subgroups), "data_key": plan.training.data_key,
            "units": [{"key": u.key, "model": u.model, "analysis": u.name} for u in plan.training.units],
        },
        "boxes": asdict(plan.boxes),
        "models": [
            {
                "id": m.id, "use": m.loader.name, "options": options(m.loader), "layers": asdict(m.layers), "digest": m.digest,
                "outputs": m.outputs, "unused": m.unused, "identity": m.identity,
            }
            for m in plan.models
        ],
        "attributions": [{"use": a.name, "options": options(a)} for a in plan.attributions],
        "analyses": [{"use": a.name, "options": options(a), "needs": sorted(a.needs)} for a in plan.analyses],
        "units": [{"key": u.key, "model": u.model, "analysis": u.name, "attribution": label(u.attribution)} for u in plan.units],
        "unmet": plan.unmet,
        "controls": plan.config.controls,
        "chunks": plan.chunks,
        "device": plan.device,
    }  # fmt: skip
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
