"""Network dissection: how many concepts do the channels of a layer hold in the annotated regions?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from auditor import Analysis, Conclusion, ConfigError, Edges, Metric, Tally, hookimpl

if TYPE_CHECKING:
    from auditor import View
    from auditor.elsewhere import Others

PAPER = "Analyzing the Effects of Handling Data Imbalance on Learned Features from Medical Images, arXiv 2204.01729"
DISSECTION = "Bau et al., Network Dissection, CVPR 2017"
PERMUTED = "docs/methods.md A.15"
LEAST_ACTIVE = 0.001
"""A channel with a smaller share of active values is inactive; a tenth of the quantile where that is less."""


def _against_others(kind: str, of: str, what: str) -> tuple[Metric, ...]:
    """What is said of a count beside the same count in the boxes of other patients."""
    common: dict[str, Any] = {"reference": PERMUTED, "of": of, "against": f"{kind}_elsewhere"}
    return (
        Metric(
            f"{kind}_others", f"{what} in the boxes of other patients with the same finding: what the boxes collect by where this "
            "finding usually sits and how large it is.",
            "neither", 0, chance="none", unit=f"{what.lower()} per case", statistic="others", **common,
        ),
        Metric(
            f"{kind}_excess", f"{what} in the patient's own boxes minus those in the boxes of other patients with the same finding.",
            "higher", chance="0", unit=f"{what.lower()} per case", statistic="excess", **common,
        ),
        Metric(
            f"{kind}_lift", f"The natural logarithm of {what.lower()} in the patient's own boxes over those in the boxes of other patients with the "
            "same finding: 0 is chance, 0.7 twice as many. It does not grow with the width of the layer.",
            "higher", chance="0", unit="log ratio", statistic="lift",
            pitfall="A ratio of small counts is unsteady: read it beside the excess, and not where hardly anything is counted.", **common,
        ),
        Metric(
            f"{kind}_excess_per_channel", f"{kind}_excess divided by the number of active channels, so that layers of different "
            "width can be compared.",
            "higher", chance="0", unit=f"{what.lower()} per case and active channel", statistic="excess", per="active_channels", **common,
        ),
        Metric(
            f"{kind}_elsewhere", f"{what} of the case in the boxes of a few other patients; kept for excess and lift.",
            unit=what.lower(), reference=PERMUTED, statistic="elsewhere",
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Dissection(Analysis):
    """Concepts per image and per class in the annotated boxes (docs/methods.md A.6).

    A channel is active where its map, upsampled to the network's input, is above the channel's threshold: the (1 - quantile)
    quantile of its values over the whole reference set. A concept is an 8-connected component of active pixels, labelled on
    the whole map, that has at least one pixel in the region. The image as a whole has all its boxes as region, a class its
    own. Chance is the same count with boxes of the same sizes at `draws` random places; and, for a class, the count in the
    boxes of `others` other patients with it, which knows where the class usually sits (docs/methods.md A.15; 0 leaves it out).

    A channel is inactive where its threshold is not above 0 or hardly any of its values are active. Such channels are told;
    with `inactive: excluded` they hold no concept.

    The other options exist to reproduce published numbers (docs/methods.md A.7); `preset: imba-explain` sets those that the
    repository of the paper differs in: rows 1 to 4, 6, 7 and 11, with thresholds per `batch` images (it used 64 for
    ResNet-50, 128 for T-DenseNet). `quantile_on: upsampled` and `tau_scope: batch` keep every map in memory and are slow.
    With `unit: label` an image counts once per class that has a box in it: its value is multiplied by its number of such
    classes over their mean, so that the mean over images is the mean over (image, class) pairs.
    """

    name = "dissection"
    needs = frozenset({"features", "box", "overall"})
    metrics = (
        Metric(
            "disjoint_concepts", "Concepts in the boxes, every component of every channel counted.",
            "neither", 0, chance="disjoint_chance", unit="concepts per image", reference=PAPER,
        ),
        Metric(
            "unique_concepts", "Channels with at least one concept in the boxes.",
            "neither", 0, chance="unique_chance", unit="channels per image", reference=PAPER,
        ),
        Metric(
            "disjoint_chance", "The same count as disjoint_concepts with boxes of the same sizes at random places.",
            "neither", 0, unit="concepts per image", reference="arXiv 2204.01729 section 3.2; docs/methods.md A.6",
        ),
        Metric(
            "unique_chance", "The same count as unique_concepts with boxes of the same sizes at random places.",
            "neither", 0, unit="channels per image", reference="arXiv 2204.01729 section 3.2; docs/methods.md A.6",
        ),
        *_against_others("disjoint", "disjoint_concepts", "Concepts"),
        *_against_others("unique", "unique_concepts", "Channels with a concept"),
        Metric(
            "active_channels", "Channels of the layer that are not inactive.",
            "neither", 0, chance="none", unit="channels", reference=PERMUTED, statistic="none",
        ),
        Metric(
            "inactive_channels", "Channels of the layer whose threshold is not above 0 or of whose values fewer than 0.1 % are active: "
            "what is counted of them says little. Dead channels are among them.",
            "lower", 0, chance="none", unit="channels", reference=PERMUTED, statistic="none",
        ),
        Metric(
            "dead_channels", "Channels of the layer whose value never changes over the reference set.",
            "lower", 0, unit="channels", reference=DISSECTION, statistic="none",
        ),
        Metric(
            "active_fraction", "Share of a channel's values above its threshold, mean over channels; near the quantile.",
            "neither", 0, 1, chance="the quantile option", reference="arXiv 2204.01729 section 3.2; docs/methods.md A.6", statistic="none",
        ),
    )  # fmt: skip

    quantile: float = 0.01
    quantile_on: Literal["native", "upsampled"] = "native"
    quantile_reference: Literal["annotated", "all"] = "annotated"
    tau_scope: Literal["dataset", "batch"] = "dataset"
    batch: int = 64
    crop_before_label: bool = False
    count_holes: bool = False
    ties: Literal["strict", "ge"] = "strict"
    per_class_region: Literal["own", "union"] = "own"
    unit: Literal["image", "label"] = "image"
    box_rounding: Literal["outward", "trunc"] = "outward"
    preset: Literal["paper", "imba-explain"] = "paper"
    draws: int = 1
    others: int = 8
    inactive: Literal["counted", "excluded"] = "counted"

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ConfigError(
                f"dissection: quantile: {self.quantile} is not between 0 and 1; it is the active share, such as 0.01"
            )
        for option in ("batch", "draws"):
            if getattr(self, option) < 1:
                raise ConfigError(f"dissection: {option}: {getattr(self, option)} is not 1 or more")
        if self.others < 0:
            raise ConfigError(f"dissection: others: {self.others} is not 0 or more")
        if self.resolved().per_class_region == "union" and self.resolved().others:
            raise ConfigError("dissection: others: counts boxes of one class only; with per_class_region: union add others: 0")
        self._check_options_that_would_do_nothing()
        if self.resolved().unit == "label" and self.quantile_reference == "all":
            raise ConfigError("dissection: unit: label counts the boxes of annotated images; use quantile_reference: annotated")

    def _check_options_that_would_do_nothing(self) -> None:
        if self.preset != "paper":
            for option in fields(self):
                given, preset = getattr(self, option.name), getattr(self.resolved(), option.name)
                if given not in (option.default, preset) and option.name != "preset":
                    raise ConfigError(
                        f"dissection: preset {self.preset} sets {option.name}: {preset}, and {given!r} is asked for; leave one out"
                    )
        elif self.batch != 64 and self.tau_scope == "dataset":
            raise ConfigError(f"dissection: batch: {self.batch} does nothing while tau_scope is dataset; add tau_scope: batch")

    def resolved(self) -> Dissection:
        """The same analysis with its preset written out as options."""
        if self.preset == "paper":
            return self
        return replace(
            self, preset="paper", tau_scope="batch", quantile_on="upsampled", crop_before_label=True, count_holes=True, ties="ge",
            per_class_region="union", unit="label", box_rounding="trunc", others=0,
        )  # fmt: skip

    @property
    def observes(self) -> frozenset[str]:
        return frozenset({"features"}) if self.quantile_reference == "all" else self.needs

    def tallies(self) -> Mapping[str, Tally]:
        from auditor.thresholds import ChannelTops
        from auditor.upsampled import KeptMaps

        options = self.resolved()
        top: Tally = ChannelTops(options.quantile)
        if options.quantile_on == "upsampled" or options.tau_scope == "batch":
            batch = options.batch if options.tau_scope == "batch" else 0
            top = KeptMaps(options.quantile, options.quantile_on == "upsampled", batch)
        return {"top": top, "labels": BoxLabels()} if options.unit == "label" else {"top": top}

    def observe(self, tallies: Mapping[str, Tally], batch: View) -> None:
        from auditor.thresholds import ChannelTops, planes

        maps, top = planes(batch.features), tallies["top"]
        top.add(maps if isinstance(top, ChannelTops) else ([sample.id for sample in batch.samples], maps, batch.size))
        if "labels" in tallies:
            tallies["labels"].add(_labels_per_image(batch))

    def floor(self, tallies: Mapping[str, Tally]) -> Any:
        from auditor.thresholds import ChannelTops

        top = tallies["top"]
        return top.floor() if isinstance(top, ChannelTops) and top.images and self.resolved().ties == "strict" else None

    def measure(self, batch: View) -> Mapping[str, Any]:
        from auditor.boxes import union_masks
        from auditor.concepts import count_concepts
        from auditor.thresholds import planes

        options = self.resolved()
        regions, others = options._regions(batch), batch.others(options.others, options.box_rounding)
        asked = [[*own, *met.edges] for own, met in zip(regions, others, strict=True)]
        lengths = [len(of_case) for of_case in asked]
        counts = count_concepts(
            planes(batch.features),
            options._limits(batch),
            np.repeat(batch.cases.image.numpy(), lengths),
            union_masks([region for of_case in asked for region in of_case], *batch.size),
            crop=options.crop_before_label,
            holes=options.count_holes,
        )
        weight, values = options._weights(batch), {}
        for kind, found in counts._asdict().items():
            per_case = np.split(found.astype(np.float64), np.cumsum(lengths)[:-1])
            values[f"{kind}_concepts"] = weight * [one[0] for one in per_case]
            values[f"{kind}_chance"] = weight * [one[1 : 1 + self.draws].mean() for one in per_case]
            if options.others:
                rows = [_row(met, one[1 + self.draws :]) for met, one in zip(others, per_case, strict=True)]
                values[f"{kind}_elsewhere"] = rows
        return values

    def summarise(self, tallies: Mapping[str, Tally]) -> Mapping[str, float]:
        top: Any = tallies["top"]
        if not top.images:
            return {}
        active = top.active_fraction(self.resolved().ties == "ge")
        inactive = self._inactive(top)
        return {
            "active_channels": float((~inactive).sum()),
            "inactive_channels": float(inactive.sum()),
            "dead_channels": float(top.dead().sum()),
            "active_fraction": float(active.mean()),
        }

    def look_back(self, tallies: Mapping[str, Tally], views: Iterable[View]) -> Conclusion:
        from auditor.unit_tops import UnitTops

        top: Any = tallies["top"]
        seen = UnitTops()
        for view in views:
            seen.add(view, self.resolved()._limits(view))
        return Conclusion(units=seen.chosen(~self._inactive(top))) if top.images else Conclusion()

    def _inactive(self, top: Any) -> npt.NDArray[np.bool_]:
        """Channels [C] whose threshold is not above 0, in any group of images, or that are hardly ever above it."""
        thresholds = top.thresholds().reshape(-1, len(top.dead()))
        return np.asarray((thresholds.max(0) <= 0) | (top.active_fraction() < min(LEAST_ACTIVE, self.quantile / 10)))

    def _limits(self, batch: View) -> npt.NDArray[np.float64]:
        """What a pixel must exceed: thresholds [C], or [n, C] where they differ by image."""
        from auditor.thresholds import ChannelTops

        top: Any = batch.tallies["top"]
        limits = top.thresholds() if isinstance(top, ChannelTops) else top.thresholds_of([s.id for s in batch.samples])
        if self.inactive == "excluded":
            limits = np.where(self._inactive(top), np.inf, limits)
        return np.nextafter(limits, -np.inf) if self.ties == "ge" else limits

    def _regions(self, batch: View) -> list[list[list[Edges]]]:
        """For every case its region and then its random ones."""
        edges, rows = batch.edges(self.box_rounding), batch.cases.image.tolist()
        if self.per_class_region == "union":
            edges = [[box for other, row in zip(edges, rows, strict=True) if row == mine for box in other] for mine in rows]
        regions = []
        for case, boxes in enumerate(edges):
            random = batch.generator(case, "chance")
            regions.append([boxes, *([_moved(box, batch.size, random) for box in boxes] for _ in range(self.draws))])
        return regions

    def _weights(self, batch: View) -> npt.NDArray[np.float64]:
        """What each case's value is multiplied by."""
        weight = np.ones(len(batch))
        if self.unit == "label":
            labels: Any = batch.tallies["labels"]
            whole = batch.cases.target.numpy() < 0
            own = _labels_per_image(batch)[batch.cases.image.numpy()]
            weight[whole] = own[whole] / (labels.labels / labels.images)
        return weight


class BoxLabels(Tally):
    """Number of images and, over all of them, of the classes that have a box in the image."""

    def __init__(self) -> None:
        self.images, self.labels = 0, 0

    def add(self, values: Any) -> None:
        """Take in the number of such classes of each image [n]."""
        self.images += len(values)
        self.labels += int(np.sum(values))

    def merge(self, other: BoxLabels) -> None:
        self.images += other.images
        self.labels += other.labels


def _labels_per_image(batch: View) -> npt.NDArray[np.int64]:
    """How many classes have a box in each image of the view [n]."""
    return np.bincount(batch.cases.image.numpy()[batch.cases.target.numpy() >= 0], minlength=len(batch.samples))


def _row(met: Others, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The counts in the boxes of those who were met, at their places among all [J]; NaN for the others."""
    row = np.full(met.of, np.nan)
    row[met.places] = counts
    return row


def _moved(box: Edges, size: tuple[int, int], random: np.random.Generator) -> Edges:
    """A box of the same size anywhere on a grid of height x width."""
    width, height = box.right - box.left, box.bottom - box.top
    left, top = int(random.integers(size[1] - width + 1)), int(random.integers(size[0] - height + 1))
    return Edges(left, top, left + width, top + height)


@hookimpl
def register_analyses() -> list[type]:
    return [Dissection]
