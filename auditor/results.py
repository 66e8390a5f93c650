"""From the ledger to the evidence: numbers per class, strategies contrasted, what is missing, and the pictures."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import (
    __version__,
    accounts,
    by_heart,
    by_outcome,
    changed_pictures,
    chosen,
    contrasts,
    described,
    duplicates,
    gated,
    gates,
    levels,
    repeats,
    robustness,
    sanity,
    shortcut_findings,
    spread,
    subgroups,
    training_split,
    trial_pictures,
    unit_gallery,
)
from .analysis import OVERALL, Analysis
from .attribution import Attribution
from .boxes import within
from .config import AuditConfig
from .control_rows import Told
from .evidence import Evidence, Finding, Gap, Picture
from .findings import judge
from .identity import digest, options
from .last_layer import NOT_LINEAR
from .ledger import Ledger
from .observers import ask
from .origin import counted, met_before, told
from .pixels import PixelStore
from .plan import Plan, PlannedModel, Unit, label, to_json
from .profiles import Histogram, Overlap, Profile
from .sanity import stamped
from .statistics.between_splits import NO_TRAINING
from .statistics.columns import Columns
from .statistics.decide import Row, decide
from .statistics.rows import BASELINE, IMAGE, Curve, Repeat, Summary, UnitDetector

PACKAGES = (
    "torch",
    "torchvision",
    "captum",
    "monai",
    "pydicom",
    "numpy",
    "scipy",
    "numba",
    "pillow",
    "weasyprint",
    "jinja2",
    "pluggy",
)


DATE = "date"
"""What the ledger keeps the day under on which a run folder was begun."""


def today() -> str:
    """The date (UTC), or that of SOURCE_DATE_EPOCH, so that a run can be made again byte by byte."""
    return time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))


def size_of(model: PlannedModel) -> str:
    """What the ledger keeps a network's number of parameters under."""
    return f"parameters of {model.identity}"


class Known(NamedTuple):
    """What is taken as told and not made anew, where a finished audit is recomputed from its tables; None: it is made."""

    training: Sequence[Mapping[str, Any] | None] | None = None
    controls: Sequence[sanity.Control] | None = None
    gaps: Sequence[Gap] | None = None
    accounting: Mapping[str, Any] | None = None


def gather(
    plan: Plan,
    ledger: Ledger,
    store: PixelStore | None,
    self_test: Mapping[str, Any] | None = None,
    known: Known | None = None,
) -> Evidence:
    """Everything that results.json says; values are held for one analysis at a time. `self_test` is its record, if it was taken.

    Without a `store` of pixels there are no pictures.
    """
    known = known or Known()
    account = accounts.taken(plan, ledger)
    used = account.used(len(plan.samples))
    failures = accounts.failures(plan, ledger, account)
    second = training_split.of(plan, ledger)
    cohort = accounts.cohort(plan, used)
    summaries: list[Summary] = []
    rows: list[Row] = []
    curves: list[Curve] = []
    detectors: list[UnitDetector] = []
    repeated: list[Repeat] = []
    histograms: list[Histogram] = []
    profiles: list[Profile] = []
    overlaps: list[Overlap] = []
    by_group: list[subgroups.Row] = []
    gaps = [Gap(model, analysis, None, None, reason, 0) for model, analysis, reason in plan.unmet]
    for analysis, attribution, units in _by_work(plan.units):
        standing = {unit.model: unit for unit in units if unit.key not in failures}
        values = {model: levels.of_used(ledger.values(second.key(unit)), used) for model, unit in standing.items()}
        for unit in standing.values():
            summaries += levels.summaries(plan, ledger, unit, values[unit.model], cohort)
            detectors += levels.detectors(plan, ledger, unit)
        rows += contrasts.contrasts(plan, analysis, attribution, values, cohort, contrasts.contrasted(analysis))
        columns = {
            model: Columns(values[model], ledger.elsewhere(unit.key), ledger.summary(unit.key), second.values(unit))
            for model, unit in standing.items()
        }
        summaries += levels.estimated(plan, analysis, attribution, columns, cohort)
        if standing and attribution in plan.attributions[:1]:
            summaries += levels.of_blind_maps(plan, analysis, ledger, used, cohort)
        summaries += levels.of_untrained(plan, analysis, attribution, ledger, used, cohort)
        curves += levels.curves(plan, analysis, columns, cohort)
        histograms += spread.histograms(plan, analysis, columns)
        profiles += [row for unit in standing.values() for row in spread.profiles(plan, ledger, unit, second)]
        overlaps += spread.overlaps(plan, ledger, standing, profiles)
        rows += contrasts.estimated(plan, analysis, attribution, columns, cohort, contrasts.contrasted(analysis))
        repeated += repeats.gather(plan, analysis, attribution, columns, cohort)
        by_group += subgroups.gather(plan, analysis, attribution, columns, cohort, used)
        for unit in units:
            gaps += _gaps(plan, ledger, unit, failures.get(unit.key), used)
    gaps += [
        Gap(unit.model, unit.name, label(unit.attribution), None, f"failed: {failures[unit.key]}", 0)
        for unit in plan.units
        if unit.analysis is None and unit.key in failures
    ]
    told_apart = by_outcome.gather(plan, ledger, store, used, cohort, failures)
    gaps += told_apart.gaps
    gaps = list(known.gaps) if known.gaps is not None else gaps + second.gaps()
    tops = unit_gallery.gather(plan, ledger, store, used, failures)
    claims = plan.config.claims
    comparisons = decide(rows, claims.primary, claims.margins(), cohort.everyone, plan.config.seed)
    controls = list(Told(plan, ledger, used, cohort, failures).rows() if known.controls is None else known.controls)
    comparisons = contrasts.bounded(stamped(comparisons, controls), plan.metrics())
    accounting = known.accounting or _accounting(plan, account, used) | second.accounting() | duplicates.accounting(
        plan, ledger
    )
    models = tuple(_model(model, account, ledger.declared(size_of(model))) for model in plan.models)
    training = told(plan) if known.training is None else known.training
    models = tuple({**model, "training": known} for model, known in zip(models, training, strict=True))
    afterwards = ledger.declared(plan.data_key) not in (None, claims.text())
    of_networks = [row for row in summaries if row.strategy != BASELINE]
    of_both = {
        analysis.name for analysis in plan.analyses if "split:train" in analysis.needs
    }  # their gaps stand in their sections
    told_once = [row for row in of_networks if row.missing is None or row.analysis not in of_both]
    contrasted = [row for row in comparisons if row.missing != NO_TRAINING]
    findings = judge(
        contrasted, gaps, told_once, models, accounting, plan.metrics(), plan.config.max_quarantine, afterwards=afterwards
    )
    split = subgroups.decide(plan, by_group)
    split_later = ledger.declared(subgroups.scope(plan.data_key)) not in (None, subgroups.text(plan))
    findings = sanity.findings(controls, plan.config.controls) + findings + subgroups.findings(split, split_later)
    findings += by_outcome.cautions(told_apart.rows)
    more, stumbled = ask(plan.registry.hook, "judge", comparisons=list(comparisons), gaps=list(gaps))
    findings += [finding for several in more for finding in several]
    findings = [Finding("alarm", f"The self-test failed: {what}.") for what in (self_test or {}).get("failed", ())] + findings
    findings += by_heart.judge(of_networks)
    findings += robustness.judge(of_networks, plan.metrics(), claims.margins()["auroc"])
    findings = shortcut_findings.judge(of_networks, plan.metrics()) + findings
    findings = second.findings() + duplicates.findings(accounting) + met_before(models, cohort) + findings
    findings = [Finding("alarm", f"A plugin failed: {what}.") for what in stumbled] + findings
    evidence = Evidence(
        audit=_audit(plan.config, plan, afterwards)
        | {"gates": _gates(plan, ledger), "subgroups": subgroups.told(plan, used, split_later)},
        dataset=_dataset(plan, used),
        models=models,
        metrics={name: asdict(metric) for name, metric in plan.metrics().items()},
        summaries=tuple(summaries),
        comparisons=tuple(comparisons),
        findings=tuple(findings),
        gaps=tuple(gaps),
        accounting=accounting,
        environment=environment(plan.device) | {"date": ledger.declared(DATE)},
        self_test=self_test or {},
        controls=tuple(controls),
        curves=tuple(curves),
        detectors=tuple(detectors),
        repeated=tuple(repeated),
        operating=tuple(told_apart.points),
        by_outcome=tuple(told_apart.rows),
        histograms=tuple(histograms),
        profiles=tuple(profiles),
        overlaps=tuple(overlaps),
        subgroups=tuple(split),
        units=tuple(tops.units),
        pictures=(
            *_pictures(plan, ledger, store, failures),
            *told_apart.pictures,
            *tops.pictures,
            *changed_pictures.gather(plan, store),
            *trial_pictures.gather(plan, store, used, failures),
        )
        if store
        else (),
    )
    return replace(evidence, gates=gated.judge(plan.config.judged_gates, evidence))


def _by_work(units: Iterable[Unit]) -> Iterator[tuple[Analysis, Attribution | None, list[Unit]]]:
    groups: dict[tuple[str, str | None], list[Unit]] = {}
    for unit in units:
        groups.setdefault((unit.name, label(unit.attribution)), []).append(unit)
    for members in groups.values():
        if members[0].analysis is not None:
            yield members[0].analysis, members[0].attribution, members


def _gaps(plan: Plan, ledger: Ledger, unit: Unit, failure: str | None, used: npt.NDArray[np.bool_]) -> Iterator[Gap]:
    """What one unit could not use among the images that are used, or that it failed."""
    about = (unit.model, unit.name, label(unit.attribution))
    if failure is not None:
        yield Gap(*about, None, f"failed: {failure}", 0)
        return
    counts: dict[tuple[int, str], int] = {}
    for reason, cases in ledger.gaps(unit.key).items():
        if reason == NOT_LINEAR:  # it holds for the network, so it is said once
            yield Gap(*about, None, reason, 0)
            continue
        for target, n in zip(*np.unique(cases.target[used[cases.sample]], return_counts=True), strict=True):
            counts[int(target), reason] = int(n)
    for (target, reason), n in sorted(counts.items()):
        yield Gap(*about, IMAGE if target == OVERALL else plan.classes[target], reason, n)


def _accounting(plan: Plan, account: accounts.Account, used: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Images and boxes: listed = used + quarantined, for both."""
    lost = [(sample.id, box.label) for sample, fine in zip(plan.samples, used, strict=True) if not fine for box in sample.boxes]
    bad = [{"id": name, "class": label_, "reason": why} for name, label_, why in plan.boxes.quarantined]
    bad += [{"id": name, "class": label_, "reason": "image quarantined"} for name, label_ in lost]
    return {
        "listed": len(plan.samples),
        "used": int(used.sum()),
        "quarantined": [
            {"id": plan.samples[item.sample].id, "reason": item.reason, "detail": item.detail} for item in account.quarantined
        ],
        "max_quarantine": plan.config.max_quarantine,
        "boxes": {
            "listed": plan.boxes.listed, "used": plan.boxes.used - len(lost), "clipped": plan.boxes.clipped, "quarantined": bad,
        },
    }  # fmt: skip


def _model(model: PlannedModel, account: accounts.Account, parameters: str | None) -> dict[str, Any]:
    return {
        "parameters": None if parameters is None else int(parameters),
        "id": model.id, "strategy": model.loader.strategy, "seed": model.loader.seed, "family": model.family,
        "use": model.loader.name, "options": options(model.loader), "layers": asdict(model.layers),
        "outputs": list(model.declared), "unused": list(model.unused), "digest": model.digest, "head": model.loader.head,
        "preprocessing": options(model.loader.preprocessing), "inside": model.looked_into,
        "status": "failed" if model.id in account.failed else "ok", "error": account.failed.get(model.id),
    }  # fmt: skip


def _audit(config: AuditConfig, plan: Plan, afterwards: bool) -> dict[str, Any]:
    return {
        "title": config.title, "plan": digest(to_json(plan)), "reference": config.reference, "seed": config.seed, "batch": config.batch, "device": plan.device, "controls": config.controls,
        "attributions": [{"use": label(a), "options": options(a)} for a in plan.attributions],
        "analyses": [{"use": a.name, "options": options(a)} for a in plan.analyses],
        "claims": {
            "primary": list(config.claims.primary), "margin": {name: size for name, size in config.claims.margins().items() if name in plan.metrics()},
            "by_default": sorted(set(plan.metrics()) & set(config.claims.margins()) - set(config.claims.margin)), "afterwards": afterwards,
        },
        "limited": None if len(plan.samples) == plan.available else {"used": len(plan.samples), "available": plan.available},
        "report": {"formats": list(config.report.formats), "images": config.report.images},
        "chosen_by": chosen.RULE, "card": config.card.model_dump(mode="json"),
        "plugins": [os.path.basename(name) for name in config.plugins],
        "tool": __version__,
    }  # fmt: skip


def _gates(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """The gates in full, and whether they were written or changed after these data had been measured."""
    written = plan.config.judged_gates
    afterwards = ledger.declared(gates.scope(plan.data_key)) not in (None, gates.text(written))
    return {"written": [gate.written() for gate in written], "afterwards": afterwards}


def _dataset(plan: Plan, used: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """What the numbers rest on: everything is counted on the images that are used."""
    samples = [sample for sample, fine in zip(plan.samples, used, strict=True) if fine]
    counts = {
        name: {
            "positive": sum(s.labels[k] == 1 for s in samples),
            "negative": sum(s.labels[k] == 0 for s in samples),
            "unknown": sum(s.labels[k] is None for s in samples),
            "boxes": sum(box.label == name for s in samples for box in s.boxes),
        }
        for k, name in enumerate(plan.classes)
    }
    train = plan.dataset.train_counts() or counted(plan)
    return {
        "use": plan.dataset.name, "options": options(plan.dataset), "classes": list(plan.classes), "counts": counts,
        "images": len(samples), "patients": len({s.patient for s in samples}), "digest": plan.data_digest,
        "boxed_images": sum(bool(s.boxes) for s in samples), "described": described.both(plan, samples),
        "train": None if train is None else {"images": train[0], "positives": dict(train[1])},
        "notes": list(plan.dataset.notes()),
    }  # fmt: skip


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware kind; no host, user or path."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", "device": device, "packages": versions,
            "implementation": sys.implementation.name}  # fmt: skip


def _pictures(plan: Plan, ledger: Ledger, store: PixelStore, failures: dict[str, str]) -> Iterator[Picture]:
    """The cases chosen by the plan's rule, with the raw maps of every model that sees the same part of the image."""
    inside = [model for model in plan.models if model.explained]
    if not plan.gallery or not inside:
        return
    lens = inside[0].loader.preprocessing
    alike = {m.id for m in inside if (m.loader.preprocessing.fit, m.loader.preprocessing.resize) == (lens.fit, lens.resize)}
    maps: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
    for unit in plan.units:
        if unit.analysis is None and unit.model in alike and unit.key not in failures:
            for case, raw in ledger.pictures(unit.key).items():
                maps.setdefault(case, {}).setdefault(str(label(unit.attribution)), {})[unit.model] = raw
    for number, target in sorted(maps, key=lambda case: (case[1], case[0])):
        pixels = store.get(lens, number // plan.chunk)
        (row,) = np.nonzero(pixels.rows == number)[0]
        sample, name = plan.samples[number], plan.classes[target]
        boxes = [within(box, pixels.frames[row]) for box in sample.boxes if box.label == name]
        yield Picture(
            case=f"case {number + 1}",
            class_name=name,
            boxes=tuple((b.left, b.top, b.right, b.bottom) for b in boxes if b is not None),
            pixels=(pixels.stored[row].mean(0) / 257).round().astype(np.uint8),
            maps=maps[number, target],
        )
