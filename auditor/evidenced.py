"""Facts that a report can evidence by itself, by name: what checklist items may ask of the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evidence import Evidence


def _measured(evidence: Evidence, statistic: str) -> bool:
    names = {name for name, metric in evidence.metrics.items() if metric.get("statistic") == statistic}
    return any(row.metric in names and row.value is not None for row in evidence.summaries)


def _has_interval(evidence: Evidence) -> bool:
    return any(row.low is not None and row.high is not None for row in evidence.comparisons)


def _checked(evidence: Evidence, *checks: str) -> bool:
    decided = {control.check for control in evidence.controls if control.outcome in ("passed", "failed")}
    return decided.issuperset(checks)


def _all_models(evidence: Evidence, *fields: str) -> bool:
    return bool(evidence.models) and all(model.get(field) for model in evidence.models for field in fields)


def _seeds(evidence: Evidence) -> bool:
    counts = Counter((model.get("family"), model["strategy"]) for model in evidence.models)
    return bool(counts) and min(counts.values()) > 1


def _met(evidence: Evidence) -> bool:
    return bool(evidence.models) and all((model.get("training") or {}).get("met") is not None for model in evidence.models)


def _described(evidence: Evidence, partition: str) -> bool:
    return bool((evidence.dataset.get("described") or {}).get(partition))


def _compared_with_training(evidence: Evidence) -> bool:
    compared = (evidence.accounting.get("copies") or {}).get("compared") or {}
    return compared.get("training") is not None


FACTS: Mapping[str, tuple[str, Callable[[Evidence], bool]]] = {
    "data_options": ("how the data set was opened", lambda e: bool(e.dataset.get("use"))),
    "image_flow": ("images listed, used and set aside, with reasons", lambda e: "listed" in e.accounting),
    "patients": ("the number of patients", lambda e: isinstance(e.dataset.get("patients"), int)),
    "label_counts": ("labels per class, unknown ones among them", lambda e: bool(e.dataset.get("counts"))),
    "data_notes": ("what the data set says of itself", lambda e: bool(e.dataset.get("notes"))),
    "boxes": ("reference boxes", lambda e: bool(e.dataset.get("boxed_images"))),
    "demographics": ("who is on the audited images", lambda e: _described(e, "audited")),
    "demographics_of_both": ("who is on audited and on training images", lambda e: _described(e, "audited") and _described(e, "training")),
    "train_counts": ("images and positives per class in training", lambda e: bool(e.dataset.get("train"))),
    "patient_overlap": ("whether audited patients were trained on", _met),
    "copies": ("whether an image is there twice, under two patients or on both sides of the split", lambda e: "counts" in (e.accounting.get("copies") or {})),
    "copies_in_training": ("audited images compared with the training images, pixel for pixel and by what they look like", _compared_with_training),
    "networks": ("architecture, weights digest and layers of every network", lambda e: _all_models(e, "family", "digest")),
    "preprocessing": ("how images are prepared for every network", lambda e: _all_models(e, "preprocessing")),
    "training_record": ("how every network was trained, by its own record", lambda e: _all_models(e, "training")),
    "strategies": ("the strategies, each by name", lambda e: _all_models(e, "strategy")),
    "several_seeds": ("several trainings of every strategy", _seeds),
    "metric_definitions": ("a card per metric", lambda e: bool(e.metrics)),
    "discrimination": ("discrimination per class", lambda e: _measured(e, "auroc")),
    "operating_points": ("outcomes at a fixed specificity", lambda e: any(point.missing is None for point in e.operating)),
    "intervals": ("differences with intervals over patients", _has_interval),
    "verdicts": ("verdicts adjusted for how many were looked at", lambda e: any(row.verdict for row in e.comparisons)),
    "claims": ("claims that were declared beforehand", lambda e: bool((e.audit.get("claims") or {}).get("primary")) and not e.audit["claims"].get("afterwards")),
    "subgroups": ("performance by groups of patients", lambda e: any(row.value is not None for row in e.subgroups)),
    "calibration": ("calibration as trained", lambda e: _measured(e, "ece")),
    "recalibration": ("calibration after recalibration on other patients", lambda e: any(curve.after and curve.n for curve in e.curves)),
    "attribution_parameters": ("every explanation method with its parameters", lambda e: bool(e.audit.get("attributions"))),
    "localisation": ("agreement of maps with boxes", lambda e: any(row.attribution and row.value is not None and row.analysis != "shortcut_maps" for row in e.summaries)),
    "sanity_checks": ("maps against randomised weights and wrong classes", lambda e: _checked(e, "model_randomisation", "wrong_class")),
    "repeatability": ("maps of the same batch twice", lambda e: _checked(e, "repeat")),
    "repeats": ("contrasts repeated under other assumptions", lambda e: bool(e.repeated)),
    "by_outcome": ("maps by right and wrong", lambda e: any(row.value is not None for row in e.by_outcome)),
    "wrong_cases": ("wrong cases chosen by a written rule", lambda e: any(picture.kind not in ("", "unit", "changed", "trial") for picture in e.pictures)),
    "learnt_by_heart": ("new images against images trained on", lambda e: bool(e.histograms or e.overlaps)),
    "changed_pictures": ("answers to pictures changed as happens in a clinic", lambda e: _measured(e, "ranking_change")),
    "shortcuts": ("what scores lose and gain when objects that are no finding are taken out and put in", lambda e: _measured(e, "standardised")),
    "findings": ("what was found, failed and could not be told", lambda e: bool(e.findings)),
    "gaps": ("what could not be measured, and why", lambda e: "listed" in e.accounting),
    "gates": ("what had to hold, and whether it does", lambda e: bool(e.gates)),
    "self_test": ("the audit tried on planted truth", lambda e: bool(e.self_test)),
    "environment": ("versions and hardware", lambda e: bool(e.environment.get("packages"))),
    "fingerprints": ("digests of data, weights and plan", lambda e: bool(e.dataset.get("digest") and e.audit.get("plan"))),
    "earlier_audit": ("what changed since an earlier audit", lambda e: bool(e.earlier)),
    "date": ("when the audit was begun", lambda e: bool(e.environment.get("date"))),
}  # fmt: skip
"""{name: (what it is in words, whether this evidence has it)}."""


def holds(name: str, evidence: Any) -> bool:
    """Whether the evidence has the fact of this name; raises KeyError for a name that is none."""
    return FACTS[name][1](evidence)
