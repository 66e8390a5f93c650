"""An audit of 4 strategies x 2 seeds x 6 classes with failures, gaps and quarantined images; the numbers are invented.

Tests read it from the file that example.py has made of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, get_args

import numpy as np
from auditor_plugins.analyses.alignment import Alignment
from auditor_plugins.analyses.detectors import Detectors
from auditor_plugins.analyses.dissection import Dissection
from auditor_plugins.analyses.outcomes import Outcomes
from auditor_plugins.analyses.performance import Performance

from auditor import gated
from auditor.card import Card
from auditor.chosen import RULE
from auditor.evidence import Evidence, Finding, Gap
from auditor.findings import judge
from auditor.gates import Gate
from auditor.metric import Metric
from auditor.sanity import Check, Control, stamped
from auditor.sanity import findings as sanity_findings
from auditor.shown_units import ShownUnit, UnitClass, UnitImage
from auditor.statistics.by_outcome import OutcomeRow
from auditor.statistics.decide import decide
from auditor.statistics.effect import Linear
from auditor.statistics.operating import OperatingPoint
from auditor.statistics.rows import IMAGE, MACRO, MODEL, Comparison, Repeat, Summary, UnitDetector

CLASSES = ("Effusion", "Atelectasis", "Cardiomegaly", "Mass", "Pneumonia", "Hernia")
POSITIVE = dict(zip(CLASSES, (1207, 880, 256, 310, 131, 6), strict=True))
BOXES = dict(zip(CLASSES, (153, 180, 146, 85, 120, 0), strict=True))
STRATEGIES = ("bce", "wbce", "focal", "cb_focal")
SHIFT = dict(zip(STRATEGIES, (0.0, 0.05, -0.015, 0.03), strict=True))
CLAIMS: dict[str, Any] = {
    "primary": ["auroc", "iobb"],
    "margin": {"auroc": 0.02, "iobb": 0.03},
    "by_default": ["auroc"],
    "afterwards": False,
}
GATES = (
    Gate(metric="auroc", claim="noninferior", margin=0.02),
    Gate(metric="auroc", claim="at_least", value=0.81, tier="advisory"),
    Gate(metric="kappa_loc", claim="not_shown_worse", attribution="gradcam"),
    Gate.model_validate({"metric": "auroc", "claim": "noninferior", "class": "Hernia", "strategy": "focal", "margin": 0.05}),
)
CARD = Card.model_validate(
    {
        "system": {"name": "Chest finder", "version": "2.1", "users": ["radiologists", "their residents"]},
        "data": {"source": "one hospital's archive"},
        "reference_standard": {"annotators": "one radiologist"},
        "risk": {"unintended_outcomes": "A rare finding is missed."},
    }
)
IMAGES, PATIENTS = 2797, 1204
SCORED = ("performance", "outcomes")


def models() -> Iterator[dict[str, Any]]:
    for strategy in STRATEGIES:
        for seed in (0, 1):
            yield {
                "id": f"{strategy}-{seed}", "strategy": strategy, "seed": seed, "family": "resnet50", "use": "torchvision",
                "options": {"arch": "resnet50"}, "layers": {"attribution": "layer4.2", "dissection": "layer3.5"},
                "outputs": list(CLASSES), "unused": [], "digest": f"{strategy}{seed}".encode().hex().ljust(20, "0"), "head": "sigmoid",
                "preprocessing": {"size": 224, "channels": 3, "fit": "stretch", "resize": None, "mean": [0.485, 0.456, 0.406],
                                  "std": [0.229, 0.224, 0.225]},
                "inside": True, "status": "ok", "error": None, "parameters": 23520326,
            }  # fmt: skip


def level(metric: str, name: str, strategy: str, noise: float) -> float:
    rare = 1 - math.log(POSITIVE.get(name, 400)) / 8
    base = {
        "probability": POSITIVE.get(name, 465) / IMAGES * (1 + 12 * max(SHIFT[strategy], 0)) + 0.01, "auroc": 0.86 - 0.15 * rare,
        "average_precision": 0.45 - 0.4 * rare, "iobb": 0.31 - 0.1 * rare, "ior": 0.26 - 0.05 * rare, "iou": 0.17 - 0.03 * rare,
        "pointing_game": 0.48 - 0.1 * rare, "empty_map": 0.02, "disjoint_concepts": 562 - 90 * rare, "unique_concepts": 328 - 60 * rare,
        "kappa_loc": 0.34 - 0.2 * rare, "kappa_auc": 0.3 - 0.2 * rare, "kappa_pointing": 0.28 - 0.2 * rare, "cbl_excess": 0.2 - 0.1 * rare,
        "cbl": 0.45 - 0.1 * rare, "pixel_auc": 0.8 - 0.1 * rare, "map_mass": 0.2, "box_share": 0.06, "effective_support": 0.3,
        "sensitivity": 0.6 - 0.2 * rare, "specificity": 0.9,
        **{f"{name}_{size}_boxes": value + by for name, value in {"kappa_loc": 0.34 - 0.2 * rare, "cbl": 0.45 - 0.1 * rare}.items()
           for size, by in (("larger", 0.02), ("smaller", -0.02))},
        "disjoint_chance": 410 - 60 * rare, "unique_chance": 255 - 40 * rare, "active_fraction": 0.0391, "dead_channels": 7,
        "active_channels": 1003, "inactive_channels": 21, "disjoint_others": 470 - 80 * rare, "unique_others": 290 - 50 * rare,
        "disjoint_excess": 92 - 10 * rare, "unique_excess": 38 - 10 * rare, "disjoint_lift": 0.18, "unique_lift": 0.12,
        "disjoint_excess_per_channel": 0.09, "unique_excess_per_channel": 0.04, "published_detectors": 58,
        "published_detectors_by_chance": 49.3, "controlled_detectors": 9, "controlled_detectors_by_chance": 0.04,
    }[metric]  # fmt: skip
    chance = metric.endswith("_chance")
    return float(base * (1 + (0 if chance else 2 * SHIFT[strategy]) + 0.02 * noise))


def summaries(random: np.random.Generator) -> Iterator[Summary]:
    for analysis, attribution, metrics in work():
        for model in models():
            if failed(model["id"], attribution):
                continue
            about = (attribution, model["id"], model["strategy"])
            for metric in metrics:
                if metric.statistic in ("none", "elsewhere"):
                    if metric.statistic == "none" and analysis in ("dissection", "detectors"):
                        value = level(metric.name, MODEL, model["strategy"], 0.1)
                        whole = round(value) if metric.unit in ("channels", "units") and "chance" not in metric.name else value
                        within = (whole - 2, whole + 1) if metric.name == "controlled_detectors" else (None, None)
                        yield Summary(metric.name, analysis, *about, MODEL, whole, None, 1, *within)
                    continue
                for name in wholes(analysis, metric) + CLASSES:
                    n = (BOXES if analysis not in SCORED else {}).get(name, IMAGES if analysis in SCORED else 684)
                    if name == MACRO:
                        n = sum(not reason(metric, each, 684 if analysis in SCORED else BOXES[each]) for each in CLASSES)
                    missing = reason(metric, name, n)
                    value = None if missing else level(metric.name, name, model["strategy"], float(random.normal()))
                    sure = metric.statistic in ("excess", "lift", "others") and value is not None
                    ends = (value - abs(value) / 4, value + abs(value) / 4) if sure and value is not None else (None, None)
                    yield Summary(metric.name, analysis, *about, name, value, missing, n, *ends)


def units() -> Iterator[ShownUnit]:
    """Two channels of every network: one that fires on its finding, one that fires on whatever it likes."""
    for model in models():
        for place, (name, shown) in enumerate((("Effusion", 17), ("Mass", 2))):
            images = tuple(
                UnitImage(
                    f"case {100 * place + number}", f"{100 * place + number:08d}_000.png", 9.5 - number, 2.1, place == 0 or None
                )
                for number in range(1, 5)
            )
            fires = tuple(UnitClass(one, shown if one == name else 3, 20, POSITIVE[one] // 4, 684) for one in CLASSES)
            yield ShownUnit(
                "dissection",
                model["id"],
                model["strategy"],
                5 + 37 * place,
                name,
                0.21 - 0.1 * place,
                BOXES[name],
                80,
                20,
                images,
                fires,
            )


def detectors() -> Iterator[UnitDetector]:
    """Nine units of every network, most of them for the most common finding with boxes."""
    for model in models():
        for place in range(round(level("controlled_detectors", MODEL, model["strategy"], 0.1))):
            name, iou = CLASSES[place // 6], 0.21 - 0.01 * place
            yield UnitDetector("detectors", model["id"], model["strategy"], 37 * place + 5, name, iou, 0.001 * (place + 1))


def effect(row: Comparison) -> Linear | None:
    """A difference to which all patients contribute alike, with the row's interval; none where its note says so."""
    if row.difference is None or row.high is None or row.note:
        return None
    share = (row.high - row.difference) / 1.962 / math.sqrt(PATIENTS)
    return Linear(row.difference, np.arange(PATIENTS), np.tile([share, -share], PATIENTS // 2))


def comparisons(random: np.random.Generator) -> tuple[Comparison, ...]:
    rows = [(row, effect(row)) for row in contrasts(random)]
    return tuple(decide(rows, ("auroc", "iobb"), CLAIMS["margin"], np.arange(PATIENTS), 0))


def contrasts(random: np.random.Generator) -> Iterator[Comparison]:
    for analysis, attribution, metrics in work():
        for strategy in STRATEGIES[1:]:
            for metric in metrics:
                if (
                    metric.statistic in ("none", "elsewhere", "specificity")
                    or metric.repeats
                    or metric.name.endswith(("_chance", "_others"))
                ):
                    continue
                for name in wholes(analysis, metric) + CLASSES:
                    n = (BOXES if analysis not in SCORED else {}).get(name, IMAGES if analysis in SCORED else 684)
                    missing = reason(metric, name, n)
                    width = (
                        0.06
                        * level(metric.name, name, "bce", 0)
                        * (1 if name in (MACRO, IMAGE) else 40 / math.sqrt(max(n, 1) + 200))
                    )
                    middle = 2 * SHIFT[strategy] * level(metric.name, name, "bce", 0) + width * float(random.normal()) / 3
                    note = (
                        "fewer than 20 positive patients: interval not reliable"
                        if name == "Pneumonia" and metric.name == "auroc"
                        else None
                    )
                    numbers = (None, None, None) if missing else (middle, middle - width, middle + width)
                    yield Comparison(
                        metric.name,
                        analysis,
                        attribution,
                        name,
                        "resnet50",
                        strategy,
                        "bce",
                        *numbers,
                        n,
                        round(n * 0.72),
                        missing,
                        note,
                        "strategies",
                    )


def repeated(found: tuple[Comparison, ...]) -> Iterator[Repeat]:
    for row in found:
        if row.metric == "kappa_loc":
            about = (row.metric, row.analysis, row.attribution, row.class_name, row.family, row.strategy, row.reference)
            for assuming in ("boxes 10 % larger", "boxes 10 % smaller", "one image per patient"):
                yield Repeat(
                    *about, assuming, row.difference, row.low, row.high, row.n_cases, row.n_patients, row.missing, row.note
                )


def operating() -> Iterator[OperatingPoint]:
    for model in models():
        for name, positive in POSITIVE.items():
            found, negative = round(positive * level("sensitivity", name, model["strategy"], 0)), IMAGES - positive
            wrong = round(0.1 * negative)
            counts = (found, positive - found, wrong, negative - wrong, 0, 0, negative, PATIENTS - 300)
            yield OperatingPoint(model["id"], model["strategy"], name, 0.9, -2.0, None, *counts)


def by_outcome() -> Iterator[OutcomeRow]:
    for model in models():
        for outcome, names in (
            ("TP", MAPS),
            ("FN", MAPS),
            ("FP", MAPS[2:]),
            ("TN", MAPS[2:]),
            ("confident TP", ("off_target",)),
        ):
            for metric in names:
                for name in (MACRO, *CLASSES):
                    n = sum(map(bool, BOXES.values())) if name == MACRO else 40 if outcome in ("FP", "TN") else BOXES[name] // 2
                    value = {"TP": 0.4, "FN": 0.3}.get(outcome, 0.1) + SHIFT[model["strategy"]]
                    about = (metric, "cam", model["id"], model["strategy"], name, outcome)
                    if n:
                        yield OutcomeRow(*about, value, None, n, value - 0.05, value + 0.05, n)
                    else:
                        yield OutcomeRow(*about, None, "not estimable (n = 0)", 0)


MAPS = ("kappa_loc", "cbl", "map_mass", "abstained", "usual_place")


def work() -> list[tuple[str, str | None, tuple[Metric, ...]]]:
    return [
        ("performance", None, Performance.metrics), ("outcomes", None, Outcomes().metrics), ("alignment", "cam", Alignment.metrics), ("alignment", "gradcam", Alignment.metrics),
        ("dissection", None, Dissection.metrics), ("detectors", None, Detectors.metrics),
    ]  # fmt: skip


def wholes(analysis: str, metric: Metric) -> tuple[str, ...]:
    return (IMAGE,) if analysis == "dissection" and metric.per_case else (MACRO,)


def controls() -> Iterator[Control]:
    """Grad-CAM fails one check on one network and decides nothing on another; CAM passes."""
    for model in models():
        for attribution in ("cam", "gradcam"):
            about = (model["id"], model["strategy"], "resnet50", attribution)
            if failed(model["id"], attribution):
                yield from (
                    Control(*about, check, "not estimable", "alignment failed with it, see there.") for check in get_args(Check)
                )
                continue
            yield Control(*about, "model_randomisation", "passed", "Without training less than a third is left: 0.01 (-0.03 to 0.05) untrained, 0.31 (0.27 to 0.35) trained.",
                          {"trained": 0.31, "trained_low": 0.27, "trained_high": 0.35, "untrained": 0.01, "untrained_low": -0.03,
                           "untrained_high": 0.05, "rank_correlation": 0.08}, 432)  # fmt: skip
            if about[0] == "cb_focal-0":
                yield Control(*about, "wrong_class", "inconclusive", "the trained network's own localisation is not shown to be above 0.05, which is negligible: 0.04 (-0.01 to 0.09).",
                              {"trained": 0.04, "trained_low": -0.01, "trained_high": 0.09, "other_class": 0.02, "other_class_low": -0.03, "other_class_high": 0.07}, 431)  # fmt: skip
            else:
                yield Control(*about, "wrong_class", "passed", "The map of an absent finding lies less well on the box: 0.31 (0.27 to 0.35) for the finding, 0.06 (0.02 to 0.1) for another; the fall is 0.25 (0.21 to 0.29).",
                              {"trained": 0.31, "trained_low": 0.27, "trained_high": 0.35, "other_class": 0.06, "other_class_low": 0.02, "other_class_high": 0.1,
                               "fall": 0.25, "fall_low": 0.21, "fall_high": 0.29}, 431)  # fmt: skip
            coupled = about[0] == "wbce-1" and attribution == "gradcam"
            yield Control(*about, "batch_independence", "failed" if coupled else "passed",
                          "exchanging one image changes the maps of others by up to 8.14 %." if coupled
                          else "Exchanging one image of a batch leaves the maps of the others as they are.",
                          {"difference": 0.0814 if coupled else 0.0}, 16)  # fmt: skip
            yield Control(*about, "repeat", "passed", "The same batch gives the same maps again.", {"difference": 0.0}, 16)
            yield Control(*about, "constant_input", "passed", "100 % of the maps differ from those of an even grey image.",
                          {"finite": 1.0, "differs": 1.0}, 16)  # fmt: skip


def failed(model: str, attribution: str | None) -> bool:
    return model == "focal-1" and attribution == "gradcam"


def reason(metric: Metric, name: str, n: int) -> str | None:
    if n == 0:
        return "no case could be measured"
    return (
        "fewer than 10 positive patients" if name == "Hernia" and metric.statistic in ("auroc", "average_precision") else None
    )


def evidence() -> Evidence:
    random = np.random.default_rng(11)
    checked = tuple(controls())
    found = tuple(stamped(comparisons(random), checked))
    wrong = "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn"
    return Evidence(
        audit={
            "title": "Class imbalance and learned features in chest radiographs", "reference": "bce", "seed": 0, "batch": 16, "device": "cpu", "controls": True,
            "attributions": [{"use": "cam", "options": {}}, {"use": "gradcam", "options": {}}],
            "analyses": [{"use": "performance", "options": {}}, {"use": "outcomes", "options": {"specificity": 0.9, "fit": None}}, {"use": "alignment", "options": {"hard": None}},
                         {"use": "dissection", "options": {"quantile": 0.04}}, {"use": "detectors", "options": {"quantile": 0.01}}],
            "claims": CLAIMS, "gates": {"written": [gate.written() for gate in GATES], "afterwards": False}, "chosen_by": RULE,
            "limited": {"used": 2803, "available": 25596}, "report": {"formats": ["html", "pdf"], "images": True}, "plugins": [], "tool": "0.1.0", "plan": "7a41c0ffee5511d0b1e5",
            "card": CARD.model_dump(mode="json"),
        },
        dataset={
            "use": "chestxray14", "options": {"split": "test"}, "classes": list(CLASSES),
            "counts": {name: {"positive": n, "negative": IMAGES - n, "unknown": 0, "boxes": BOXES[name]} for name, n in POSITIVE.items()},
            "described": {"audited": {"sex": {"known": 2790, "counts": {"F": 1249, "M": 1541}}, "age": {"known": IMAGES, "median": 49.0, "low": 3.0, "high": 93.0}}},
            "images": 2803, "patients": PATIENTS, "digest": "5f0e41c2a9d3b7e6f812", "boxed_images": 684,
            "train": {"images": 86524, "positives": dict(zip(CLASSES, (8659, 8280, 1707, 4034, 876, 141), strict=True))},
            "notes": ["The labels were mined from radiology reports by text rules and are wrong for some images.",
                      "Boxes were drawn by one board-certified radiologist and exist for few images."],
        },
        models=tuple(models()),
        metrics={metric.name: asdict(metric) for _, _, metrics in work() for metric in metrics},
        summaries=tuple(summaries(random)),
        comparisons=found,
        detectors=tuple(detectors()),
        units=tuple(units()),
        repeated=tuple(repeated(found)),
        operating=tuple(operating()),
        by_outcome=tuple(by_outcome()),
        findings=(
            Finding("alarm", f"The analysis alignment with gradcam failed for focal-1: {wrong}."),
            *sanity_findings(checked, True),
            *(results(found)),
            Finding("note", "The intervals cover other patients and other seeds. 5 or more networks per strategy would make them narrower."),
            Finding("note", "6 of 2,803 images (0.214 %) could not be used: decode:truncated 4, missing 2."),
        ),
        gaps=(
            Gap("focal-1", "alignment", "gradcam", None, f"failed: {wrong}", 0),
            *(Gap(model["id"], "alignment", "cam", name, "no box", POSITIVE[name] - BOXES[name]) for model in models() for name in CLASSES
              if POSITIVE[name] > BOXES[name]),
        ),
        accounting={
            "listed": 2803, "used": IMAGES, "max_quarantine": 0.01,
            "quarantined": [{"id": f"0000{1040 + 7 * n}_00{n}.png", "reason": "missing" if n > 3 else "decode:truncated",
                             "detail": "no such file" if n > 3 else "image file is truncated (13 bytes not processed)"} for n in range(6)],
            "boxes": {"listed": 690, "used": 684, "clipped": 3, "quarantined": [
                {"id": f"0000{1300 + n}_000.png", "class": "Mass", "reason": "box has no area"} for n in range(6)]},
            "copies": {
                "compared": {"audited": IMAGES, "training": None}, "alike": 0.87, "groups": [],
                "counts": {name: {"groups": 0, "exact": 0, "near": 0, "patients": 0} for name in ("training", "patients", "nothing")},
            },
        },
        controls=checked,
        self_test={"passed": 26, "of": 26, "failed": []},
        environment={"date": "2026-11-27", "python": "3.11.7", "system": "Linux x86_64", "device": "cpu", "implementation": "cpython",
                     "packages": {"torch": "2.13.0", "captum": "0.9.0", "numpy": "2.4.6", "weasyprint": "70.0"}},
    )  # fmt: skip


def judged() -> Evidence:
    found = evidence()
    return replace(found, gates=gated.judge(GATES, found))


def results(found: tuple[Comparison, ...]) -> Iterator[Finding]:
    declared = {metric.name: metric for _, _, metrics in work() for metric in metrics}
    yield from (finding for finding in judge(found, (), (), list(models()), {}, declared) if finding.kind == "result")


def text() -> str:
    """The example as a compact results.json."""
    return json.dumps(json.loads(judged().to_json()), ensure_ascii=False, separators=(",", ":")) + "\n"
