"""What single channels, groups of patients and outlines of the planted crowd must come to, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from . import self_test_crowd as crowd
from .evidence import Evidence
from .self_test_check import Check, Find, summary
from .self_test_crowd import LEARNT_BRIGHTNESS, LIFT, PATIENTS, SIDE, SQUARE, brightness, shows

FILMS = range(PATIENTS + 1)
OPTIONS = {
    "detectors": "{use: detectors, quantile: 0.1, permutations: 199, resamples: 99}",  # a square is 1/16 of an image
    "dissection": "{use: dissection, quantile: 0.1}",
    "pixel_logit_shift": "{use: pixel_logit_shift, pixels: 256}",  # all pixels
}
SUBGROUPS = "subgroups"
"""Not an analysis, but tried like one where an audit tells numbers by group."""


def written(analyses: Sequence[str]) -> str:
    """The audit.yaml of the crowd, for those of the analyses that need one."""
    wanted = [name for name in analyses if name != SUBGROUPS] or ["performance"]
    pixels = "pixel_logit_shift" in wanted
    models = ["{use: self_test_crowd, strategy: whole}", "{use: self_test_crowd, strategy: outlines, output: pixels}"][
        : 1 + pixels
    ]
    more = ("training_images: {split: train}\n" if pixels else "") + (
        "subgroups: [{by: group, metrics: [auroc]}]\n" if SUBGROUPS in analyses else ""
    )
    if SUBGROUPS in analyses and "performance" not in wanted:
        wanted.append("performance")
    return (
        f"title: self-test crowd\ndataset: self_test_crowd\nmodels: [{', '.join(models)}]\nreference: whole\n{more}"
        f"analyses: [{', '.join(OPTIONS.get(name, name) for name in wanted)}]\nplugins: ['{crowd.__file__}']\n"
        "batch: 32\ncontrols: false\nreport: {formats: [html], images: false}\n"
    )


def checks() -> Iterator[Check]:
    """Everything that must hold of the crowd."""
    for part in (_detectors, _gallery, _subgroups, _pixels):
        yield from part()


def _detectors() -> Iterator[Check]:
    """Channel 0 fills the boxes; the decoy meets one box in four, 16 pixels of 64 + 64 - 16, which the published rule takes for knowledge."""
    yield Check(
        "detectors",
        "two channels detect the finding by the published rule",
        summary("published_detectors", "whole", "square"),
        (2.0,),
    )
    yield Check(
        "detectors", "one of them beyond what boxes of other patients explain, the one that fills its boxes",
        lambda e: (x for row in e.detectors for x in (float(row.unit), row.iou)), (0.0, 1.0),
    )  # fmt: skip


def _gallery() -> Iterator[Check]:
    """The brightest films are 48 and 46, both of patient 46; then 44, 42 and 40."""

    def top(evidence: Evidence) -> Iterator[float]:
        for unit in evidence.units[:1]:
            yield from (float(unit.unit), unit.iou)
            for image in unit.images:
                yield from (float(image.id.partition("-")[2]), image.value)

    films = (48, 44, 42, 40)
    yield Check(
        "dissection", "the channel that fills its boxes comes first, with its highest images, one per patient", top,
        (0.0, 1.0, *(x for number in films for x in (float(number), LIFT + brightness(number)))),
    )  # fmt: skip


def _subgroups() -> Iterator[Check]:
    """Where it is misled, the network calls every image without the finding before any with it."""

    def of(group: str, against: str | None) -> Find:
        def find(evidence: Evidence) -> Iterator[float | None]:
            for row in evidence.subgroups:
                if (row.group, row.against, row.class_name) == (group, against, "square"):
                    yield from (row.value, float(row.n_patients))

        return find

    yield Check(SUBGROUPS, "AUROC of a group that the network knows every finding of", of("plain", None), (1.0, 20.0))
    yield Check(SUBGROUPS, "AUROC of a group in which it is misled every time", of("misled", None), (0.0, 20.0))

    def suppressed(evidence: Evidence) -> Iterator[float]:
        for row in evidence.subgroups:
            if row.group == "few" and row.against is None and row.class_name == "square":
                yield float(row.value is None and row.missing is not None)

    yield Check(SUBGROUPS, "a group of eight patients is not estimable", suppressed, (1.0,))


def _pixels() -> Iterator[Check]:
    """An outline of five columns from the second of the square's four: 12 pixels right, 8 wrong, 4 missed.

    Of brightness b, a row of the square has log-odds -2, 8 b - 2, 16 b - 2 and 16 b - 2, and beyond it follow 16 b - 2 and 8 b - 2.
    """
    hit, false, missed = 3 * SQUARE, 2 * SQUARE, SQUARE
    agreement = {
        "dice": 2 * hit / (2 * hit + false + missed), "pixel_sensitivity": hit / (hit + missed), "pixel_precision": hit / (hit + false),
    }  # fmt: skip
    for metric, right in agreement.items():
        yield Check(
            "pixel_logit_shift", f"{metric} of an outline beside its finding", summary(metric, "outlines", "square"), (right,)
        )
        change = summary(f"{metric}_change", "outlines", "square")
        yield Check("pixel_logit_shift", f"no change of {metric} between films of other brightness", change, (0.0,))
    inside = math.fsum(10 * brightness(n) - 2 for n in FILMS if shows(n)) / sum(map(shows, FILMS))
    learnt = 10 * LEARNT_BRIGHTNESS - 2
    around = SIDE**2 - SQUARE**2
    outside = math.fsum(_outside(n, around) for n in FILMS) / len(FILMS)
    margins = {
        "pixel_margin_mean_foreground": ("mean margin of the pixels of the finding", inside),
        "pixel_margin_mean_background": ("mean margin of the others, on their own side of the boundary", outside),
        "pixel_margin_shift_foreground": ("shift of the margin, audited minus training images", inside - learnt),
        "pixel_margin_retained_foreground": ("share of the margin that is left", inside / learnt),
    }
    for metric, (words, value) in margins.items():
        yield Check("pixel_logit_shift", f"{words} of a network that outlines", summary(metric, "outlines", "square"), (value,))


def _outside(number: int, around: int) -> float:
    """Two for a pixel where nothing is, and less in the two columns beyond the square."""
    if not shows(number):
        return 2.0
    wrong = SQUARE * (16 * brightness(number) - 2 + 8 * brightness(number) - 2)
    return (2 * (around - 2 * SQUARE) - wrong) / around
