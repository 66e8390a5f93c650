"""What the scores of the planted networks must come to, worked out by hand: ranking, outcomes, calibration, margins, features."""

from __future__ import annotations

import math
from collections.abc import Iterator

from . import self_test_truth as truth
from .self_test_check import Check, summary
from .self_test_truth import CLASSES, SHOWS
from .statistics.calibrated import HANGS_ON_ONE

IMAGES = 6
CLEAN = CLASSES[:2]
"""The classes that the network which takes one finding for the next gives two log-odds and no third."""


def checks() -> Iterator[Check]:
    """Everything that must hold of scores."""
    for part in (_accounting, _performance, _outcomes, _calibration, _logit_shift, _embeddings):
        yield from part()


def _accounting() -> Iterator[Check]:
    yield Check(
        "", "seven images are listed, six used, one quarantined",
        lambda e: (e.accounting["listed"], e.accounting["used"], len(e.accounting["quarantined"])), (7, 6, 1),
    )  # fmt: skip
    yield Check(
        "copies", "one audited image, which shows nothing, is among the training images pixel for pixel, and none is there twice",
        lambda e: (e.accounting["copies"]["counts"]["training"]["exact"], e.accounting["copies"]["counts"]["patients"]["groups"]), (1, 0),
    )  # fmt: skip
    yield Check("", "nothing fails on good input", lambda e: (sum(gap.reason.startswith("failed") for gap in e.gaps),), (0,))


def _performance() -> Iterator[Check]:
    everywhere = (*CLASSES, "(macro)")
    for strategy, auroc, precision in (("own", 1.0, 1.0), ("blind", 0.5, 0.5), ("averse", 0.0, 0.5)):
        words = {"own": "that knows every finding", "blind": "that sees nothing", "averse": "that is wrong every time"}[
            strategy
        ]
        yield Check("performance", f"AUROC of a network {words}", summary("auroc", strategy, *everywhere), (auroc,) * 4)
        yield Check(
            "performance", f"average precision of a network {words}, half of the images being positive",
            summary("average_precision", strategy, *everywhere), _precision(strategy, precision),
        )  # fmt: skip
    yield Check(
        "performance", "mean probability of every class, outputs being matched by name",
        summary("probability", "own", *CLASSES), tuple(_probability(name) for name in CLASSES),
    )  # fmt: skip


def _precision(strategy: str, value: float) -> tuple[float, ...]:
    """A network that is wrong every time ranks the brighter film of `first` last of all: 1/4 x 2/3 + ... see the comment."""
    if strategy != "averse":
        return (value,) * 4
    # first: two positives tie at -4 and come after three negatives (precision 2/5), the third lies below (precision 3/6)
    first = 2 / 3 * 2 / 5 + 1 / 3 * 3 / 6
    return first, value, value, (first + 2 * value) / 3


def _probability(name: str) -> float:
    """Mean over the six images of the sigmoid of the logits of the network that knows every finding."""
    return math.fsum(_sigmoid(_logit(name, number)) for number in range(IMAGES)) / IMAGES


def _logit(name: str, number: int, split: truth.Split = "test") -> float:
    """-2, plus 2 in proportion to the brightness of the finding."""
    if name not in SHOWS[number]:
        return -2.0
    return -2.0 + 2.0 * truth.brightness(name, number, split) / truth.brightness(name)


def _sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit))."""
    return 1 / (1 + math.exp(-logit))


def _outcomes() -> Iterator[Check]:
    everywhere = (*CLASSES, "(macro)")
    for strategy, found, words in (("own", 1.0, "that knows every finding"), ("averse", 0.0, "that is wrong every time")):
        yield Check(
            "outcomes", f"sensitivity of a network {words}", summary("sensitivity", strategy, *everywhere), (found,) * 4
        )
    yield Check(
        "outcomes",
        "specificity where the three images without a finding tie",
        summary("specificity", "own", *everywhere),
        (1.0,) * 4,
    )
    for metric, words in (
        ("sensitivity", "two of three with the finding above it"),
        ("specificity", "one of three without it above it"),
    ):
        yield Check(
            "outcomes", f"{metric} where the threshold is the second of three negatives, {words}", summary(metric, "next", *CLEAN), (2 / 3,) * 2
        )  # fmt: skip


def _calibration() -> Iterator[Check]:
    """Log-odds 1 for three images, two of them with the finding, and -2 for three, one of them with it."""
    high, low = _sigmoid(1), _sigmoid(-2)
    right = {
        "ece": ("ECE, the surest of all predictions counted", (high - 2 / 3) / 2 + (1 / 3 - low) / 2),
        "calibration_intercept": ("intercept", 0.5),  # 1 and -2 become 3/2 and -3/2, whose probabilities add up to 1
        "prevalence_gap": ("predicted minus observed prevalence", (high + low) / 2 - 1 / 2),
        "brier": ("Brier score", (2 * (1 - high) ** 2 + high**2 + (1 - low) ** 2 + 2 * low**2) / 6),
    }
    for metric, (words, value) in right.items():
        yield Check("calibration", words, summary(metric, "next", *CLEAN), (value,) * 2)
    yield Check(
        "calibration", "no slope is told that hangs on one patient",
        lambda e: (sum(row.missing == HANGS_ON_ONE for row in e.select("calibration_slope") if row.strategy == "next" and row.class_name in CLEAN),),
        (2,),
    )  # fmt: skip


def _logit_shift() -> Iterator[Check]:
    """Margins of the network that knows every finding, which all training images show more brightly."""
    shown = {name: [number for number, names in enumerate(SHOWS) if name in names] for name in CLASSES}
    audited = {name: math.fsum(_logit(name, n) for n in shown[name]) / 3 for name in CLASSES}
    learnt = {name: _logit(name, 0 if name == "first" else 3, "train") for name in CLASSES}
    shifts = tuple(audited[name] - learnt[name] for name in CLASSES)
    right = {
        "margin_mean_positive": ("mean margin with the finding", tuple(audited.values())),
        "margin_mean_negative": ("mean margin without it, on its own side of the boundary", (2.0,) * 3),
        "margin_shift_positive": ("shift of the margin, audited minus training images", shifts),
        "margin_shift_negative": ("shift of the margin without the finding", (0.0,) * 3),
        "margin_asymmetry": ("asymmetry of the shifts", shifts),
        "margin_retained_positive": ("share of the margin that is left", tuple(audited[name] / learnt[name] for name in CLASSES)),
        "margin_distance_positive": ("distance of two samples of which one lies below the other", tuple(-shift for shift in shifts)),
    }  # fmt: skip
    for metric, (words, values) in right.items():
        yield Check("logit_shift", words, summary(metric, "own", *CLASSES), values)


def _embeddings() -> Iterator[Check]:
    left = []
    for name in CLASSES:
        learnt = truth.brightness(name, 0, "train")
        now = [truth.brightness(name, number) for number, shown in enumerate(SHOWS) if name in shown]
        left.append(math.fsum(now) / (3 * learnt))
    yield Check(
        "embeddings", "one feature decides where it alone speaks for the finding", summary("features_needed", "own", *CLASSES), (1.0,) * 3,
    )  # fmt: skip
    yield Check(
        "embeddings", "two features decide where the stronger falls short of what speaks against it, one where it is enough",
        summary("features_needed", "next", *CLEAN), (2.0, 1.0),
    )  # fmt: skip
    yield Check(
        "embeddings", "no feature speaks against a finding that is missed for want of evidence",
        summary("features_needed_missed", "next", *CLEAN), (0.0,) * 2,
    )  # fmt: skip
    yield Check("embeddings", "recognised findings", summary("recognised", "next", *CLEAN), (2 / 3,) * 2)
    yield Check(
        "embeddings", "evidence left of that on training images", summary("magnitude_retained", "own", *CLASSES), tuple(left)
    )
