"""Does the map fall on the annotated finding?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import Analysis, ConfigError, Metric, hookimpl
from auditor.evidence_maps import SMALL, unit_range, upsample
from auditor.placement import Array, Placed, Regions, effective_support, joined, placed, regions, sizes, sums

if TYPE_CHECKING:
    from auditor import View

PAPER = "Analyzing the Effects of Handling Data Imbalance on Learned Features from Medical Images, arXiv 2204.01729"
SHUFFLED = "docs/methods.md A.13; the shuffled AUC of Borji et al., ICCV 2013, made for boxes"
POINTING = "Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016"
CHANCE = "docs/methods.md A.12"
CROSSED = ("cbl", "pixel_auc", "pointing_game")
SIZES = {"larger": 1.1, "smaller": 0.9}
"""How much longer or shorter the sides of all boxes are made, to see whether a result hangs on where the reader drew them."""
NO_MAP = "no finite map, or the box is the whole image"


def _resized(size: str, scale: float) -> tuple[Metric, ...]:
    """CBL and kappa_loc with all boxes larger or smaller."""
    words = f"boxes {abs(scale - 1):.0%} {size}".replace("%", " %")
    common: dict[str, Any] = {"better": "higher", "high": 1, "chance": "0", "assuming": words, "undefined": NO_MAP}
    return (
        Metric(
            f"kappa_loc_{size}_boxes", f"kappa_loc with all {words}, this patient's and the others', about their centres.",
            reference=SHUFFLED, statistic="kappa", of=f"cbl_{size}_boxes", against=f"cbl_{size}_boxes_elsewhere", repeats="kappa_loc",
            **common,
        ),
        Metric(f"cbl_{size}_boxes", f"CBL with all {words}, about their centres.", reference=CHANCE, repeats="cbl", **common),
        Metric(
            f"cbl_{size}_boxes_elsewhere", f"CBL of the case's map with the boxes of other images of the class, {words}.",
            reference=SHUFFLED, statistic="elsewhere", undefined=NO_MAP,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Alignment(Analysis):
    """Agreement of a map with the boxes of its image and class (docs/methods.md A.4, A.5, A.12).

    A map is clipped at 0, scaled to 0..1 at its own resolution and upsampled bilinearly to the grid of the network's
    input; the region is the union of the boxes, rounded outward to whole pixels. With `hard` the scaled map is replaced by
    1 where it is at least that high and 0 elsewhere, for IoBB, IoR and IoU. A map with a NaN or an infinity has no value.
    """

    name = "alignment"
    needs = frozenset({"attribution", "box"})
    metrics = (
        Metric(
            "kappa_loc", "How much better the map agrees with this patient's box than with the boxes of other patients with the same "
            "finding (CBL): 0 knows no more than where this finding usually sits, 1 is ideal.",
            "higher", None, 1, chance="0", reference=SHUFFLED, statistic="kappa", of="cbl", against="cbl_elsewhere",
            pitfall="Boxes are not the pathology, and with NIH boxes a class's interval is about 0.1 to 0.2 wide on each side: read the mean over classes.",
        ),
        Metric(
            "kappa_auc", "The same as kappa_loc for pixel AUC, which only the order of the pixels decides.",
            "higher", None, 1, chance="0", reference=SHUFFLED, statistic="kappa", of="pixel_auc", against="pixel_auc_elsewhere",
        ),
        Metric(
            "kappa_pointing", "The same as kappa_loc for the pointing game, which only the map's peak decides.",
            "higher", None, 1, chance="0", reference=SHUFFLED, statistic="kappa", of="pointing_game",
            against="pointing_game_elsewhere",
        ),
        Metric(
            "cbl_excess", "CBL with the patient's own box minus CBL with the boxes of other patients with the same finding.",
            "higher", None, None, chance="0", reference=SHUFFLED, statistic="excess", of="cbl", against="cbl_elsewhere",
        ),
        Metric(
            "cbl", "How much of the map's evidence lies in the box beyond what a box of that size would hold anywhere, as a "
            "share of the most that it could: 0 is a map that ignores the box, 1 all the strongest evidence inside it. "
            "Where a class usually sits is still in it; kappa_loc takes that out.",
            "higher", None, 1, chance="0", reference=CHANCE, undefined=NO_MAP,
            pitfall="Zero is a map that ignores the image; a map that always shows where the class usually sits scores above it.",
        ),
        Metric(
            "pixel_auc", "The chance that a pixel inside the box carries more evidence than one outside it; ties count half.",
            "higher", 0, 1, chance="0.5", reference=CHANCE, undefined=NO_MAP,
            pitfall="Blind to how strong the evidence is: a faint rim around the box counts as much as a bright centre inside it.",
        ),
        Metric(
            "pointing_game", "Whether the map's peak lies in the box; tied peaks count by their share in it, so a map that "
            "points nowhere scores the box's area.",
            "higher", 0, 1, chance="box_share", reference=POINTING, undefined=NO_MAP,
            pitfall="Only the brightest place counts; a large box is easy to hit.",
        ),
        Metric(
            "iobb", "How much of the box the map fills: its mean over the box. A map bright everywhere scores high for free.",
            "neither", 0, 1, chance="map_mass", reference=PAPER, undefined=NO_MAP,
            pitfall="A map that is bright everywhere scores high for nothing; read it with IoR.",
        ),
        Metric(
            "ior", "How much of the map lies in the box: its sum in the box over its sum. A single bright pixel can score 1.",
            "neither", 0, 1, chance="box_share", reference=PAPER, undefined=NO_MAP,
            pitfall="A map that is bright in one spot scores high while missing most of the box; read it with IoBB.",
        ),
        Metric(
            "iou", "Overlap of map and box over what either covers.",
            "higher", 0, 1, chance="the same map with boxes of other images", reference="imba-explain, not in its paper",
            undefined=NO_MAP,
            pitfall="Boxes are larger than most findings, so a perfect map of the finding does not reach 1.",
        ),
        Metric(
            "map_mass", "How bright the map is on average, its brightest place being 1: what IoBB would be for a box anywhere.",
            "neither", 0, 1, chance="none", reference=CHANCE, undefined=NO_MAP,
            pitfall="Depends on the scaling of the map; it explains IoBB and is no merit.",
        ),
        Metric(
            "box_share", "The share of the image that the box covers: what IoR and the pointing game would be for a map that "
            "knows nothing.", "neither", 0, 1, chance="none", reference=CHANCE, undefined=NO_MAP,
        ),
        Metric(
            "effective_support", "The share of the image over which the map's evidence is spread, if it were spread evenly; "
            "empty maps have none.",
            "neither", 0, 1, chance="none", reference=CHANCE, undefined="every map is empty",
        ),
        Metric(
            "empty_map", "Maps that point nowhere: no evidence for the class anywhere, or the same everywhere.",
            "lower", 0, 1, chance="none", reference="arXiv 2204.01729 section 3.2; docs/methods.md A.4", undefined=NO_MAP,
        ),
        *(
            Metric(
                f"{name}_elsewhere", f"{name} of the case's map with the boxes of other images of the class; kept for the kappas.",
                reference=SHUFFLED, statistic="elsewhere", undefined=NO_MAP,
            )
            for name in CROSSED
        ),
        *(metric for size, scale in SIZES.items() for metric in _resized(size, scale)),
    )  # fmt: skip

    hard: float | None = None

    def __post_init__(self) -> None:
        if self.hard is not None and not 0 < self.hard <= 1:
            raise ConfigError(f"alignment: hard: {self.hard} is not above 0 and at most 1")

    def measure(self, batch: View) -> Mapping[str, Any]:
        raw = batch.maps.double().cpu().numpy()
        held = [[(regions([edges]), others) for edges, others in zip(batch.edges(), batch.elsewhere, strict=True)]]
        held += [batch.resized(scale) for scale in SIZES.values()]
        found = [self._case(map_, list(of), *batch.size) for map_, *of in zip(raw, *held, strict=True)]
        return {metric.name: [case[metric.name] for case in found] for metric in self.metrics if not metric.of}

    def _case(self, raw: Array, held: list[tuple[Regions, Regions]], height: int, width: int) -> dict[str, Any]:
        """Every number of one map [h, w]; `held` are its own region and those of the class elsewhere, as drawn and resized."""
        own, others = held[0]
        if not np.isfinite(raw).all():
            rows = {metric.name: np.full(others.length, np.nan) for metric in self.metrics if metric.statistic == "elsewhere"}
            return {metric.name: np.nan for metric in self.metrics} | rows
        scaled = unit_range(np.maximum(raw, 0))
        pixels = upsample(scaled, height, width)
        scores = placed(pixels, reduce(joined, (part for pair in held for part in pair)))
        return {
            **_scores(scores, others.length),
            **overlaps(pixels if self.hard is None else (pixels >= self.hard).astype(np.float64), own),
            "map_mass": float(pixels.mean()),
            "box_share": sizes(own)[0] / pixels.size,
            "effective_support": effective_support(pixels),
            "empty_map": float(not scaled.any()),
        }


def _scores(found: Placed, others: int) -> dict[str, Any]:
    """What `placed` found for own box and other boxes, as drawn, larger and smaller, by the names of the metrics."""
    named = dict(zip(CROSSED, found, strict=True))
    scores: dict[str, Any] = {}
    for name, score in named.items():
        scores |= {name: score[0], f"{name}_elsewhere": score[1 : others + 1]}
    for number, size in enumerate(SIZES, start=1):
        first = number * (others + 1)
        part = found.cbl[first : first + others + 1]
        scores |= {f"cbl_{size}_boxes": part[0], f"cbl_{size}_boxes_elsewhere": part[1:]}
    return scores


def overlaps(pixels: Array, own: Regions) -> dict[str, float]:
    """IoBB, IoR and IoU of a map in 0..1 with its region (docs/methods.md A.5)."""
    inside, total, region = sums(pixels, own)[0], pixels.sum(), sizes(own)[0]
    return {
        "iobb": inside / (region + SMALL),
        "ior": inside / (total + SMALL),
        "iou": inside / (region + total - inside + SMALL),
    }


@hookimpl
def register_analyses() -> list[type]:
    return [Alignment]
