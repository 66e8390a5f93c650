"""Unit-level detectors: which single channels of a layer respond to a class, beyond what permuted boxes give?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auditor import Analysis, Conclusion, ConfigError, Detector, Metric, Number, Tally, hookimpl

if TYPE_CHECKING:
    from auditor import View
    from auditor.detecting import Judged

DISSECTION = "Bau et al., Network Dissection, CVPR 2017"
PERMUTED = "docs/methods.md A.16; max-T of Westfall and Young, 1993"
FEW = 20
NO_BOX = "no box of this class"
ONE_PATIENT = "boxes of fewer than 2 patients"


@dataclass(frozen=True)
class Detectors(Analysis):
    """Units whose active area overlaps the boxes of a class over the whole data set (docs/methods.md A.16).

    A unit is active where its map, at its own resolution, is above its (1 - quantile) quantile over the images with boxes. By the
    published rule it detects a class when the intersection of active area and boxes over their union, both summed over the
    images with a box of the class, is above `iou`. It is a controlled detector when its overlap is also larger than boxes
    permuted between the patients of the class explain, at 5 % for all units and classes of the network together. A unit counts
    for one class only, that of its largest IoU.
    """

    name = "detectors"
    needs = frozenset({"features", "box"})
    metrics = (
        Metric(
            "published_detectors", "Units that detect a class by the published rule, IoU above the iou option. Large boxes and anatomy lift "
            "unrelated units over it.",
            "neither", 0, chance="published_detectors_by_chance", unit="units", reference=DISSECTION, statistic="none",
            pitfall="Large boxes and common anatomy lift units over it that know nothing; read it against its chance level.",
        ),
        Metric(
            "published_detectors_by_chance", "The same count as published_detectors with the boxes permuted between the patients of each class, mean over permutations.",
            "neither", 0, chance="none", unit="units", reference=PERMUTED, statistic="none",
        ),
        Metric(
            "controlled_detectors", "Units that detect a class by the published rule and overlap their own patients' boxes more than boxes "
            "permuted between patients explain: a network without any detector shows one in at most 5 % of audits.",
            "higher", 0, chance="controlled_detectors_by_chance", unit="units", reference=PERMUTED, statistic="none",
            pitfall="Grows with the number of patients: a unit that is not found need not be blind.",
        ),
        Metric(
            "controlled_detectors_by_chance", "The same count as controlled_detectors with the boxes permuted, mean over permutations.",
            "neither", 0, chance="none", unit="units", reference=PERMUTED, statistic="none",
        ),
    )  # fmt: skip

    quantile: float = 0.01
    iou: float = 0.04
    permutations: int = 999
    resamples: int = 999

    def __post_init__(self) -> None:
        for option in ("quantile", "iou"):
            if not 0 < getattr(self, option) < 1:
                raise ConfigError(f"detectors: {option}: {getattr(self, option)} is not between 0 and 1")
        for option, least in (("permutations", 99), ("resamples", 99)):
            if getattr(self, option) < least:
                raise ConfigError(f"detectors: {option}: {getattr(self, option)} is not {least} or more")

    def tallies(self) -> Mapping[str, Tally]:
        from auditor.thresholds import ChannelTops

        return {"top": ChannelTops(self.quantile)}

    def observe(self, tallies: Mapping[str, Tally], batch: View) -> None:
        from auditor.thresholds import planes

        tallies["top"].add(planes(batch.features))

    def floor(self, tallies: Mapping[str, Tally]) -> Any:
        top: Any = tallies["top"]
        return top.floor() if top.images else None

    def look_back(self, tallies: Mapping[str, Tally], views: Iterable[View]) -> Conclusion:
        from auditor.detecting import Overlap, judge, overlap, permutations

        top: Any = tallies["top"]
        if not top.images:
            return Conclusion()
        seen = _Seen(top.thresholds())
        for view in views:
            seen.add(view)
        overlaps: dict[int, Overlap] = {}
        for target in sorted(seen.cases):
            masks, covered, patient = seen.of(target)
            if len(np.unique(patient)) > 1:
                overlaps[target] = overlap(masks, covered, patient, permutations(patient, self.permutations, seen.random))
        absent = [target for target in range(len(seen.classes)) if target not in overlaps]
        numbers = [_missing(metric, target, seen) for target in absent for metric in self.metrics]
        if not overlaps:
            return Conclusion((*numbers, *(_missing(metric, None, seen) for metric in self.metrics)))
        judged, classes = judge(list(overlaps.values()), self.iou, seen.random, self.resamples), list(overlaps)
        for place, target in enumerate(classes):
            numbers += _numbers(judged, [place], target, seen)
        numbers += _numbers(judged, list(range(len(classes))), None, seen)
        return Conclusion(tuple(numbers), _controlled(judged, classes))


_Case = tuple[int, str, npt.NDArray[np.float32]]
"""The number of its image, its patient, and the share of each node that its boxes cover."""


class _Seen:
    """The active nodes of every image, a bit each, and the boxes of every case by class."""

    def __init__(self, limits: npt.NDArray[np.float64]) -> None:
        self.limits = limits
        self.classes: tuple[str, ...] = ()
        self.cases: dict[int, list[_Case]] = {}
        self._masks: list[npt.NDArray[np.uint8]] = []

    def add(self, view: View) -> None:
        from auditor.detecting import coverage
        from auditor.thresholds import planes

        if not self._masks:
            self.random, self.classes = view.generator(0, "detectors"), view.classes
        maps = planes(view.features)
        images, channels, height, width = maps.shape
        active = maps.reshape(images, channels, -1) > self.limits[:, None]
        first = len(self._masks)
        self._masks += list(np.packbits(active, axis=2))
        for image, target, boxes in zip(view.cases.image.tolist(), view.cases.target.tolist(), view.boxes, strict=True):
            case = (first + image, view.samples[image].patient, coverage(boxes, height, width))
            self.cases.setdefault(target, []).append(case)

    def of(self, target: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Masks [n, C, bytes], boxes [n, nodes] and patients [n] of the cases of a class."""
        images, patients, covered = zip(*self.cases[target], strict=True)
        return np.stack([self._masks[image] for image in images]), np.stack(covered), self._codes(patients)

    def of_class(self, target: int | None) -> list[_Case]:
        """The cases of this class, or of all."""
        return [case for of, cases in self.cases.items() if target in (None, of) for case in cases]

    def _codes(self, patients: Iterable[str]) -> npt.NDArray[np.int64]:
        every = {name: code for code, name in enumerate(sorted({case[1] for case in self.of_class(None)}))}
        return np.array([every[name] for name in patients], np.int64)


def _missing(metric: Metric, target: int | None, seen: _Seen) -> Number:
    reason = ONE_PATIENT if target is None or target in seen.cases else NO_BOX
    return Number(metric.name, target, None, 0, 0, missing=reason)


def _numbers(judged: Judged, places: list[int], target: int | None, seen: _Seen) -> list[Number]:
    """The four numbers of one class, or of the network over the classes at these places."""
    cases = seen.of_class(target)
    n, patients = len(cases), len({case[1] for case in cases})
    found = float(np.isin(judged.controlled, places).sum())
    low, high = np.percentile(judged.drawn[:, places].sum(1), [2.5, 97.5], method="inverted_cdf")
    note = f"fewer than {FEW} patients: interval not reliable" if patients < FEW else None
    published = float(np.isin(judged.published, places).sum())
    chance = [float(counts[:, places].sum(1).mean()) for counts in (judged.chance_published, judged.chance_controlled)]
    return [
        Number("published_detectors", target, published, n, patients),
        Number("published_detectors_by_chance", target, chance[0], n, patients),
        Number("controlled_detectors", target, found, n, patients, min(float(low), found), max(float(high), found), note=note),
        Number("controlled_detectors_by_chance", target, chance[1], n, patients),
    ]


def _controlled(judged: Judged, classes: list[int]) -> tuple[Detector, ...]:
    """The controlled detectors class by class, those with the largest overlap first."""
    found = []
    for unit in np.flatnonzero(judged.controlled >= 0).tolist():
        place = judged.controlled[unit]
        found.append(Detector(unit, classes[place], float(judged.iou[place, unit]), float(judged.p[place, unit])))
    return tuple(sorted(found, key=lambda one: (one.target, -one.iou)))


@hookimpl
def register_analyses() -> list[type]:
    """The built-in."""
    return [Detectors]
