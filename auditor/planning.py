"""audit.yaml to plan: components built, samples listed, units of work named; every mistake is told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import claims, gates, groups
from .attribution import label
from .config import AuditConfig, Problems
from .dataset import Dataset, Sample
from .plan import BoxCount, Plan, declared
from .planned_models import plan_models
from .planned_samples import (
    check_objects,
    check_samples,
    choose_pictures,
    data_keys,
    limited,
    listed_samples,
    with_usable_boxes,
)
from .planned_units import check_analysis, check_metric_names, units_of_work, with_trials
from .registry import Registry

if TYPE_CHECKING:
    from .config import Use


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
        check_analysis(analysis, config.place(f"analyses[{number}]"), problems)
    check_metric_names(analyses, problems, config.place("analyses"))
    if len(analyses) == len(config.analyses):
        claims.check(config, declared(analyses), problems)
    names = [label(attribution) for attribution in attributions]
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        problems.add(f"{config.place('attributions')}: {name} is listed twice; list an attribution once")
    problems.stop()
    classes, listed = listed_samples(dataset, config.place("dataset"))
    check_samples(listed, classes, config.place("dataset"), problems)
    check_objects(analyses, listed, config, problems)
    gates.check(config, gates.measured(analyses, attributions, config.strategies, config.reference, classes), problems)
    groups.check(config, declared(analyses), listed, problems)
    groups.check_asked(config, analyses, problems)
    models = plan_models(loaders, classes, config, registry, problems)
    problems.stop()
    samples, boxes = with_usable_boxes(limited(listed, limit), classes)
    data_digest, data_key = data_keys(dataset, classes, samples, registry)
    gallery = choose_pictures(samples, classes, config) if config.report.images and attributions else frozenset()
    told = {analysis.name: groups.fingerprint(config, analysis, samples) for analysis in analyses}
    units, unmet = units_of_work(
        models, attributions, analyses, registry, (data_key, config.batch, config.seed, device), gallery, told
    )
    units = with_trials(units, analyses, samples, config.seed)
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
    samples = limited([replace(sample, boxes=(), objects=()) for sample in listed], min(limits, default=None))
    data_digest, data_key = data_keys(dataset, classes, samples, registry)
    shared = (data_key, config.batch, config.seed, audit.device)
    units, _ = units_of_work(audit.models, audit.attributions, analyses, registry, shared, frozenset())
    return replace(
        audit, dataset=dataset, samples=tuple(samples), available=len(listed), data_digest=data_digest, data_key=data_key,
        boxes=BoxCount(0, 0, 0, ()), analyses=analyses, units=units, unmet=(), gallery=frozenset(),
    )  # fmt: skip


def _built(registry: Registry, kind: str, uses: Sequence[Use], config: AuditConfig, problems: Problems) -> tuple[Any, ...]:
    built = [registry.build(kind, use, f"{kind}[{number}]", config, problems) for number, use in enumerate(uses)]
    return tuple(component for component in built if component is not None)
