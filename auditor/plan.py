"""The audit made concrete: components built, samples listed, every unit of work named by a digest of what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from . import __version__, claims, gates, groups, sample_record, trials
from .analysis import NEEDS, Analysis
from .attribution import Attribution
from .attribution import label as label
from .boxes import usable
from .config import AuditConfig, Problems
from .dataset import Box, Dataset, Sample
from .elsewhere import Elsewhere
from .errors import AuditError, PluginError, among, nearest
from .identity import digest, identity, options
from .metric import Metric
from .model import PER_PIXEL, Layers, ModelLoader, ScoreTable
from .outputs import nameless, unmatched
from .placing import placed
from .registry import Registry

if TYPE_CHECKING:
    from .config import Use

PICTURES_PER_CLASS = 2
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

    @cached_property
    def lot(self) -> tuple[int, ...]:
        """The place of every sample in a fixed random order, by a keyed hash: whoever needs only some takes the first."""
        hashes = [hashlib.sha256(f"{self.config.seed}|lot|{sample.id}".encode()).digest() for sample in self.samples]
        place = {sample: number for number, sample in enumerate(sorted(range(len(hashes)), key=hashes.__getitem__))}
        return tuple(place[number] for number in range(len(hashes)))

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


def make(
    config: AuditConfig, registry: Registry, limit: int | None = None, problems: Problems | None = None, device: str = "cpu"
) -> Plan:
    """Build and check everything that can be checked without reading an image; all mistakes are raised together."""
    problems = problems or Problems()
    dataset = registry.build("datasets", config.dataset, "dataset", config, problems)
    training = _training_set(registry, config, problems) if dataset is not None else None
    attributions = _built(registry, "attributions", config.attributions, config, problems)
    analyses = _built(registry, "analyses", config.analyses, config, problems)
    loaders = [registry.build("models", use, f"models[{i}]", config, problems) for i, use in enumerate(config.models)]
    for number, analysis in enumerate(analyses):
        _check_analysis(analysis, config.place(f"analyses[{number}]"), problems)
    _check_metric_names(analyses, problems, config.place("analyses"))
    if len(analyses) == len(config.analyses):
        claims.check(config, declared(analyses), problems)
    names = [label(attribution) for attribution in attributions]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        problems.add(f"{config.place('attributions')}: {name} is listed twice; list an attribution once")
    problems.stop()
    classes, listed = listed_samples(dataset, config.place("dataset"))
    check_samples(listed, classes, config.place("dataset"), problems)
    _check_objects(analyses, listed, config, problems)
    gates.check(config, gates.measured(analyses, attributions, config.strategies, config.reference, classes), problems)
    groups.check(config, declared(analyses), listed, problems)
    groups.check_asked(config, analyses, problems)
    models = _plan_models(loaders, classes, config, registry, problems)
    problems.stop()
    samples, boxes = _with_usable_boxes(_limited(listed, limit), classes)
    data_digest, data_key = _data_keys(dataset, classes, samples, registry)
    gallery = _choose_pictures(samples, classes, config) if config.report.images and attributions else frozenset()
    told = {analysis.name: groups.fingerprint(config, analysis, samples) for analysis in analyses}
    units, unmet = _units(
        models, attributions, analyses, registry, (data_key, config.batch, config.seed, device), gallery, told
    )
    units = _with_trials(units, analyses, samples, config.seed)
    audit = Plan(
        config=config, registry=registry, dataset=dataset, classes=classes, samples=samples, available=len(listed),
        data_digest=data_digest, data_key=data_key, boxes=boxes, models=models, attributions=attributions, analyses=analyses, units=units,
        unmet=unmet, gallery=gallery, device=device,
    )  # fmt: skip
    return audit if training is None else replace(audit, training=_second_split(audit, listed, training, limit, problems))


def _training_set(registry: Registry, config: AuditConfig, problems: Problems) -> Dataset | None:
    """The data set of the training images, where audit.yaml names them."""
    if config.training_images is None:
        return None
    use = config.training_images.instead_of(config.dataset)
    built: Dataset | None = registry.build("datasets", use, "training_images", config, problems)
    return built


def _second_split(
    audit: Plan, audited: Sequence[Sample], dataset: Dataset, limit: int | None, problems: Problems
) -> Plan | None:
    """The plan of the training images: the same models, and the analyses that need both splits; None where none does."""
    analyses = tuple(analysis for analysis in audit.analyses if "split:train" in analysis.needs)
    if not analyses:
        return None
    config, registry, place = audit.config, audit.registry, audit.config.place("training_images")
    classes, listed = listed_samples(dataset, place)
    check_samples(listed, classes, place, problems)
    if classes != audit.classes:
        problems.add(f"{place}: its classes are {', '.join(classes)}; allowed: those of the audited images, in the same order")
    both = {sample.id for sample in audited} & {sample.id for sample in listed}
    if both:
        problems.add(f"{place}: {len(both)} images are audited too, the first is {min(both)!r}; name another split")
    problems.stop()
    assert config.training_images is not None
    limits = [size for size in (limit, config.training_images.limit) if size is not None]
    samples = _limited([replace(sample, boxes=(), objects=()) for sample in listed], min(limits, default=None))
    data_digest, data_key = _data_keys(dataset, classes, samples, registry)
    shared = (data_key, config.batch, config.seed, audit.device)
    units, _ = _units(audit.models, audit.attributions, analyses, registry, shared, frozenset())
    return replace(
        audit, dataset=dataset, samples=tuple(samples), available=len(listed), data_digest=data_digest, data_key=data_key,
        boxes=BoxCount(0, 0, 0, ()), analyses=analyses, units=units, unmet=(), gallery=frozenset(),
    )  # fmt: skip


def _data_keys(dataset: Dataset, classes: tuple[str, ...], samples: Sequence[Sample], registry: Registry) -> tuple[str, str]:
    """`data_digest` and `data_key` of a `Plan`."""
    data_digest = digest(dataset.name, options(dataset), classes, [_facts(sample) for sample in samples])
    versions = [(sample.version, sample.problem, sample.source) for sample in samples]
    code = registry.code_digest("datasets", dataset.name)
    return data_digest, digest(data_digest, identity(dataset), code, versions, __version__)


def _built(registry: Registry, kind: str, uses: Sequence[Use], config: AuditConfig, problems: Problems) -> tuple[Any, ...]:
    built = [registry.build(kind, use, f"{kind}[{number}]", config, problems) for number, use in enumerate(uses)]
    return tuple(component for component in built if component is not None)


def listed_samples(dataset: Dataset, place: str) -> tuple[tuple[str, ...], list[Sample]]:
    """Class names, and samples in order of id; what a data set plugin raises is told with the place that named it."""
    try:
        return tuple(dataset.classes()), sorted(dataset.index(), key=lambda sample: sample.id)
    except AuditError as error:
        raise type(error)(f"{place}: {error}") from error
    except Exception as error:
        raise PluginError(f"{place}: the data set {dataset.name} cannot be listed: {type(error).__name__}: {error}") from error


def _facts(sample: Sample) -> tuple[Any, ...]:
    """What is known of a sample apart from its file."""
    boxes = [(box.label, box.left, box.top, box.right, box.bottom) for box in sample.boxes]
    objects = [(box.label, box.left, box.top, box.right, box.bottom) for box in sample.objects]
    return sample.id, sample.patient, sample.labels, boxes, *([objects] if objects else [])


def _check_analysis(analysis: Analysis, place: str, problems: Problems) -> None:
    observes = getattr(analysis, "observes", analysis.needs)
    for need in sorted((analysis.needs | observes) - NEEDS):
        problems.add(f"{place}: analysis {analysis.name} needs {need!r}; there is {among(need, sorted(NEEDS))}")
    if "overall" in analysis.needs | observes and (analysis.needs | observes) & {"logits", "attribution"}:
        problems.add(f"{place}: analysis {analysis.name} needs overall, and an image as a whole has no logit and no map")
    if analysis.tallies() and (analysis.needs | observes) & {
        "attribution",
        "image",
        "logits",
        "embeddings",
        "split:train",
        "pixels",
        "mask",
    }:
        problems.add(
            f"{place}: analysis {analysis.name} looks twice, so it can need features, box, positive, labels, overall only"
        )


def _check_metric_names(analyses: Sequence[Analysis], problems: Problems, place: str) -> None:
    owner: dict[str, str] = {}
    for analysis in analyses:
        for metric in analysis.metrics:
            if owner.setdefault(metric.name, analysis.name) != analysis.name:
                problems.add(f"{place}: {owner[metric.name]} and {analysis.name} both declare the metric {metric.name!r}")
    names = [analysis.name for analysis in analyses]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(f"{place}: {name} is listed {names.count(name)} times; list an analysis once")


def check_samples(samples: Sequence[Sample], classes: Sequence[str], place: str, problems: Problems) -> None:
    """Add what is wrong with the list of a data set: nothing in it, an id twice, labels or boxes that fit no class."""
    if not samples:
        problems.add(f"{place}: no sample is listed; check split, limit and folder")
    twice = [a.id for a, b in pairwise(samples) if a.id == b.id]
    if twice:
        problems.add(f"{place}: {len(twice)} ids are listed twice, the first is {twice[0]!r}; ids must be unique")
    wrong = [sample.id for sample in samples if len(sample.labels) != len(classes)]
    if wrong:
        problems.add(f"{place}: {len(wrong)} samples do not have {len(classes)} labels, the first is {wrong[0]!r}")
    strange = sorted({box.label for sample in samples for box in sample.boxes} - set(classes))
    for name in strange[:5]:
        problems.add(f"{place}: a box is labelled {name!r}, which is not a class{nearest(name, classes)}")
    for name in sorted({box.label for sample in samples for box in sample.objects} & set(classes)):
        problems.add(f"{place}: an object is labelled {name!r}, which is a class; its boxes belong to the findings")


def _check_objects(analyses: Sequence[Analysis], samples: Sequence[Sample], config: AuditConfig, problems: Problems) -> None:
    """Add the objects that an analysis looks for and no image has."""
    known = sorted({box.label for sample in samples for box in sample.objects})
    for number, analysis in enumerate(analyses):
        for place, name in enumerate(analysis.objects):
            if name not in known:
                there = f"the data set has boxes of {', '.join(known)}" if known else "the data set has boxes of findings only"
                problems.add(
                    f"{config.place(f'analyses[{number}].objects[{place}]')}: no image has an object {name!r}; {there}{nearest(name, known)}"
                )


def _plan_models(
    loaders: Sequence[ModelLoader | None], classes: tuple[str, ...], config: AuditConfig, registry: Registry, problems: Problems
) -> tuple[PlannedModel, ...]:
    planned: list[PlannedModel] = []
    for number, loader in enumerate(loaders):
        if loader is None:
            continue
        place = config.place(f"models[{number}]")
        try:
            code = registry.code_digest("models", loader.name)
            model = plan_model(loader, place, code, classes, {p.id for p in planned})
        except AuditError as error:
            problems.add(placed(str(error), loader, f"models[{number}]", config.place))
        except Exception as error:  # a model plugin is a stranger's code
            problems.add(f"{place}: the model {loader.name} cannot be planned: {type(error).__name__}: {error}")
        else:
            planned.append(model)
    return tuple(planned)


def plan_model(loader: ModelLoader, place: str, code: str, classes: tuple[str, ...], taken: set[str]) -> PlannedModel:
    """A network with its outputs in the order of the classes, under a name that is not taken; raises PluginError if they do not fit."""
    declared = loader.declared_classes()
    if not declared:
        raise PluginError(nameless(classes))
    for wrong in unmatched(classes, declared):
        raise PluginError(f"{wrong.option}: {wrong.message}")
    if loader.output == "pixels":
        _check_per_pixel(loader)
    default = loader.default_layers() if loader.output == "image" else Layers()
    attribution = loader.layers.attribution or default.attribution
    layers = Layers(attribution, loader.layers.dissection or default.dissection or attribution)
    family = loader.family()
    name = f"{loader.strategy} · {family} · seed {loader.seed}"
    outputs, weights = tuple(declared.index(name) for name in classes), loader.digest()
    copies = sum(other == name or other.startswith(f"{name} #") for other in taken)
    return PlannedModel(
        id=f"{name} #{copies + 1}" if copies else name,
        loader=loader,
        place=place,
        family=family,
        layers=layers,
        outputs=outputs,
        declared=declared,
        unused=tuple(name for name in declared if name not in classes),
        digest=weights,
        identity=digest(weights, identity(loader), code, asdict(layers), outputs),
    )


def _check_per_pixel(loader: ModelLoader) -> None:
    if isinstance(loader, ScoreTable):
        raise PluginError("output: found pixels for a table of scores; allowed: image")
    if loader.layers.attribution:
        raise PluginError("layers.attribution: a network with output: pixels has no map per image; name layers.dissection only")


def _limited(samples: list[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` samples, those with boxes first, otherwise spread over the list by a hash of the id."""
    if limit is None or limit >= len(samples):
        return samples
    order = sorted(samples, key=lambda s: (bool(s.problem), hashlib.sha256(s.id.encode()).digest()))
    boxed = [sample for sample in order if sample.boxes][: -(-limit // 2)]
    kept = {sample.id for sample in boxed}
    rest = [sample for sample in order if sample.id not in kept][: limit - len(boxed)]
    return sorted(boxed + rest, key=lambda sample: sample.id)


def _with_usable_boxes(samples: Iterable[Sample], classes: Sequence[str]) -> tuple[tuple[Sample, ...], BoxCount]:
    kept: list[Sample] = []
    listed = used = clipped = 0
    bad: list[tuple[str, str, str]] = []
    for sample in samples:
        boxes: list[Box] = []
        for box in sample.boxes:
            listed += 1
            found = usable(box)
            if isinstance(found, str):
                bad.append((sample.id, box.label, found))
                continue
            used += 1
            clipped += found != box
            boxes.append(found)
        kept.append(replace(sample, boxes=tuple(boxes)))
    return tuple(kept), BoxCount(listed, used, clipped, tuple(bad))


def _choose_pictures(samples: Sequence[Sample], classes: Sequence[str], config: AuditConfig) -> frozenset[tuple[int, int]]:
    """The cases shown in the report, by a written rule: per class the readable boxed positives with the lowest hash."""
    chosen: set[tuple[int, int]] = set()
    for target, name in enumerate(classes):
        cases = [
            (digest(config.seed, sample.id, name), number)
            for number, sample in enumerate(samples)
            if not sample.problem and any(box.label == name for box in sample.boxes)
        ]
        chosen.update((number, target) for _, number in sorted(cases)[:PICTURES_PER_CLASS])
    return frozenset(chosen)


def _units(
    models: Sequence[PlannedModel],
    attributions: Sequence[Attribution],
    analyses: Sequence[Analysis],
    registry: Registry,
    shared: tuple[Any, ...],
    gallery: frozenset[tuple[int, int]],
    told: Mapping[str, Any] | None = None,
) -> tuple[tuple[Unit, ...], tuple[tuple[str, str, str], ...]]:
    """Units of work, and what could not become one: (model, analysis, reason). `told` are the groups that analyses ask for, by name."""
    units: list[Unit] = []
    unmet: list[tuple[str, str, str]] = []
    looks = [(attribution, component_identity("attributions", attribution, registry)) for attribution in attributions]
    for model in models:
        for analysis in analyses:
            reason = _unmet(model, analysis, attributions)
            if reason:
                unmet.append((model.id, analysis.name, reason))
                continue
            what = component_identity("analyses", analysis, registry)
            if by_group := (told or {}).get(analysis.name):
                what = (*what, by_group)
            for attribution, look in looks if "attribution" in analysis.needs else [(None, None)]:
                units.append(Unit(digest(model.id, model.identity, shared, what, look), model.id, analysis, attribution))
        for attribution, look in looks if gallery and model.explained else ():
            key = digest(model.id, model.identity, shared, "(pictures)", sorted(gallery), look)
            units.append(Unit(key, model.id, None, attribution))
    return tuple(units), tuple(unmet)


def _with_trials(units: Sequence[Unit], analyses: Sequence[Analysis], samples: Sequence[Sample], seed: int) -> tuple[Unit, ...]:
    """The same units, each with what its analysis tries on which image; their keys tell all that this depends on."""
    chosen = {id(analysis): trials.planned(analysis, samples, seed) for analysis in analyses}
    return tuple(replace(unit, trials=chosen[id(unit.analysis)]) if unit.analysis is not None else unit for unit in units)


def _unmet(model: PlannedModel, analysis: Analysis, attributions: Sequence[Attribution]) -> str | None:
    """Why an analysis cannot be run on a model at all."""
    lacking = (analysis.needs - {"labels", "positive", "box", "overall", "split:train", "mask"}) - model.provides
    if lacking == {"pixels"}:
        return f"not applicable: the model answers for whole images; {analysis.name} needs an answer for every pixel"
    if lacking and model.looked_into:
        return f"not applicable: the network answers for every pixel, not for the image; {analysis.name} needs {', '.join(sorted(lacking))}"
    if lacking:
        return f"the model gives scores only; {analysis.name} needs {', '.join(sorted(lacking))}"
    if "attribution" in analysis.needs and not attributions:
        return f"{analysis.name} needs an attribution, and audit.yaml lists none"
    if "features" in analysis.needs and not model.layers.dissection:
        return f"{analysis.name} needs layers.dissection, and neither audit.yaml nor the model names it"
    return None


def component_identity(kind: str, component: Any, registry: Registry) -> tuple[Any, ...]:
    """Everything of a component that its results depend on: name, options, code."""
    return component.name, identity(component), registry.code_digest(kind, component.name)


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
