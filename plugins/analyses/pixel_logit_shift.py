"""The logit shift of networks that answer for every pixel: what of the margins inside and outside findings is left on unseen images?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import Analysis, ConfigError, Metric, hookimpl

from ._boundary import log_odds

if TYPE_CHECKING:
    import numpy.typing as npt

    from auditor import View

FINDING = "Li, Kamnitsas and Glocker, MICCAI 2019 and TMI 2021 (arXiv 2102.10365); the numbers are ours, docs/methods.md D.5"
SIDES = {"foreground": (1, "inside the finding", "missed"), "background": (0, "outside it", "called falsely")}
"""The value of a side's pixels in the mask, where they lie, and what they are beyond their boundary."""
NO_PIXEL = {"foreground": "no pixel of the finding", "background": "no pixel outside the finding"}


def _metrics(side: str) -> tuple[Metric, ...]:
    """The numbers of one label value; an image and a class are one case, whatever the number of pixels."""
    _, where, wrong = SIDES[side]
    margin, share = f"pixel_margin_{side}", f"pixel_errors_{side}"
    known: dict[str, Any] = {"of": margin, "reference": FINDING, "undefined": "answer not finite"}
    return (
        Metric(
            margin, f"How far an image's pixels {where} lie on their own side of the decision boundary, the mean of the pixels sampled.",
            "higher", unit="log-odds", reference=FINDING, statistic="none", undefined=NO_PIXEL[side],
        ),
        Metric(
            share, f"The share of an image's sampled pixels {where} that are {wrong}.", "lower", 0, 1, chance="none", reference=FINDING,
            undefined=NO_PIXEL[side],
        ),
        Metric(
            f"pixel_margin_mean_{side}", f"How far pixels {where} lie on their own side of the decision boundary, the mean over images.",
            "higher", unit="log-odds", chance="none", statistic="level", **known,
        ),
        Metric(
            f"pixel_margin_shift_{side}", f"The mean margin of the pixels {where} on audited images minus that on training images: below 0 "
            "those of unseen images lie closer to the boundary.",
            unit="log-odds", chance="0", statistic="shift", **known,
        ),
        Metric(
            f"pixel_margin_shift_{side}_standardised", f"The same for pixels {where} in standard deviations between images, so that losses "
            "with other scales of log-odds compare.",
            unit="standard deviations", chance="0", statistic="standardised_shift", **known,
        ),
        Metric(
            f"pixel_margin_retained_{side}", f"The share of the training images' margin {where} that is left on audited images; 1 less it is "
            "consumed.",
            chance="1", statistic="retained", **known,
        ),
        Metric(
            f"pixel_crossing_{side}", f"How much larger the share of pixels {where} that are {wrong} is on audited images than on training "
            "images.",
            "lower", -1, 1, chance="0", statistic="change", **(known | {"of": share}),
        ),
        Metric(
            f"pixel_margin_median_{side}", f"The margin {where} of the middle one of the audited images: below 0 most of them are {wrong} by and large.",
            "higher", unit="log-odds", chance="none", statistic="median", **known,
        ),
        Metric(
            f"pixel_margin_distance_{side}", f"How far the images' margins {where} on the two splits lie apart: the area between their "
            "distribution functions (Wasserstein). It cannot be negative, so even equal ones show a little.",
            low=0, unit="log-odds", chance="none", statistic="wasserstein", **known,
        ),
        Metric(
            f"pixel_margin_gap_{side}", f"The largest difference of the two distribution functions of the images' margins {where} (Kolmogorov "
            "and Smirnov); it cannot be negative either.",
            low=0, high=1, chance="none", statistic="kolmogorov_smirnov", **known,
        ),
    )  # fmt: skip


def _outlines() -> tuple[Metric, ...]:
    """How the outline agrees with the mask, and by how much less on unseen images: the reading aid of the paper."""
    says = {
        "dice": ("Twice the overlap of outline and mask over the sum of both (Dice), on images with the finding.", "Dice"),
        "pixel_sensitivity": ("The share of the finding's pixels that the outline covers; falls where it is outlined too small.", "sensitivity"),
        "pixel_precision": ("The share of the outline that lies in the finding.", "precision"),
    }  # fmt: skip
    none = {"dice": NO_PIXEL["foreground"], "pixel_sensitivity": NO_PIXEL["foreground"], "pixel_precision": "nothing outlined"}
    found = []
    for name, (words, short) in says.items():
        found += [
            Metric(name, words, "higher", 0, 1, chance="none", reference=FINDING, undefined=none[name]),
            Metric(
                f"{name}_change", f"The mean {short} on audited images minus that on training images.", "higher", -1, 1, chance="0",
                reference=FINDING, statistic="change", of=name, undefined=none[name],
            ),
        ]  # fmt: skip
    return tuple(found)


@dataclass(frozen=True)
class PixelLogitShift(Analysis):
    """Signed margins of pixels on training and on audited images, per class and label value (docs/methods.md D.5).

    Of each image and class `pixels` pixels inside the finding and as many outside it are drawn by a key of the audit's seed, the
    image and the class; all where there are fewer. The margin is the log-odds minus those of `threshold`, with its sign turned
    outside the finding; with a softmax head it is the class's output minus the largest other one, whatever the threshold. A case
    is an image: its margin is the mean of its pixels, so that pixels never count as independent. Dice, sensitivity and precision
    are of all pixels. Without `training_images` in audit.yaml only what the audited images say is told.
    """

    name = "pixel_logit_shift"
    needs = frozenset({"pixels", "mask", "split:train"})
    metrics = (
        Metric(
            "pixel_margin_asymmetry", "How much more the pixels inside the finding moved towards the boundary than those outside it: clearly "
            "below 0 is the mark of a class that was learnt by heart because it is rare.",
            "higher", unit="log-odds", chance="0", reference=FINDING, statistic="asymmetry", of="pixel_margin_foreground",
            against="pixel_margin_background", undefined="answer not finite",
        ),
        Metric(
            "pixel_margin_asymmetry_standardised", "The same in standard deviations between images, so that losses with other scales of "
            "log-odds compare.",
            "higher", unit="standard deviations", chance="0", reference=FINDING, statistic="standardised_asymmetry",
            of="pixel_margin_foreground", against="pixel_margin_background", undefined="answer not finite",
        ),
        Metric(
            "pixel_margin_asymmetry_on_rarity", "By how much the asymmetry changes per tenfold frequency of the class among the training "
            "images: above 0 rare classes moved more towards the boundary than common ones.",
            unit="log-odds per factor of 10", chance="0", reference=FINDING, statistic="asymmetry_on_rarity",
            of="pixel_margin_foreground", against="pixel_margin_background",
        ),
        *_metrics("foreground"),
        *_metrics("background"),
        *_outlines(),
    )  # fmt: skip

    pixels: int = 64
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.pixels < 1:
            raise ConfigError(f"pixel_logit_shift: pixels: found {self.pixels}; allowed: 1 or more for each label value")
        log_odds(self.threshold, self.name)

    def measure(self, batch: View) -> Mapping[str, Any]:
        """A value per case [P] of every per-case metric, NaN where its pixels are not there."""
        boundary = 0.0 if batch.head == "softmax" else log_odds(self.threshold, self.name)
        beyond, truth = batch.pixel_logits.numpy().astype(np.float64) - boundary, batch.pixel_truth
        found: dict[str, list[float]] = {metric.name: [] for metric in self.metrics if metric.per_case}
        for case in range(len(batch)):
            for side, (value, _, _) in SIDES.items():
                places = np.flatnonzero(truth[case] == value)
                if len(places) > self.pixels:
                    places = batch.generator(case, f"{side} pixels").choice(places, self.pixels, replace=False)
                margins = beyond[case].ravel()[places] * (1 if value else -1)
                found[f"pixel_margin_{side}"].append(margins.mean() if len(places) else math.nan)
                found[f"pixel_errors_{side}"].append((margins < 0).mean() if len(places) else math.nan)
            for name, number in outline(beyond[case] > 0, truth[case]).items():
                found[name].append(number)
        return found


def outline(called: npt.NDArray[np.bool_], truth: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Dice, sensitivity and precision of an outline [h, w] against a mask [h, w] with 1, 0, and anything else for not known.

    All NaN where the finding has no pixel; NaN precision where nothing known is outlined.
    """
    inside = int((truth == 1).sum())
    hit, false = int((called & (truth == 1)).sum()), int((called & (truth == 0)).sum())
    if not inside:
        return dict.fromkeys(("dice", "pixel_sensitivity", "pixel_precision"), math.nan)
    return {
        "dice": 2 * hit / (hit + false + inside),
        "pixel_sensitivity": hit / inside,
        "pixel_precision": hit / (hit + false) if hit + false else math.nan,
    }


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [PixelLogitShift]
