"""How far do the answers to unseen images lie from the answers to the images that the network was trained on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import Analysis, Metric, hookimpl

from ._boundary import log_odds

if TYPE_CHECKING:
    import numpy.typing as npt

    from auditor import View

FINDING = "Li, Kamnitsas and Glocker, MICCAI 2019 and TMI 2021 (arXiv 2102.10365); the numbers are ours, docs/methods.md D.3"
SIDES = {
    "positive": ("images with the finding", "missed findings"),
    "negative": ("images without the finding", "false alarms"),
}
"""What the cases of a label value are called, and what lies beyond their boundary."""


def _metrics(side: str) -> tuple[Metric, ...]:
    """The numbers of one label value."""
    cases, errors = SIDES[side]
    margin = f"margin_{side}"
    known: dict[str, Any] = {"of": margin, "reference": FINDING, "undefined": "score not finite"}
    return (
        Metric(
            margin, f"How far one of the {cases} lies on its own side of the decision boundary; below 0 lie the {errors}.",
            "higher", unit="log-odds", reference=FINDING, statistic="none", undefined=f"no {cases}",
        ),
        Metric(
            f"margin_mean_{side}", f"How far the {cases} lie on their own side of the decision boundary on average.",
            "higher", unit="log-odds", chance="none", statistic="level", **known,
        ),
        Metric(
            f"margin_shift_{side}", f"The mean margin of the {cases} that are audited minus that of the training images: below 0 unseen "
            "images lie closer to the boundary, which is what learning by heart looks like.",
            unit="log-odds", chance="0", statistic="shift", **known,
        ),
        Metric(
            f"margin_shift_{side}_standardised", f"The same for the {cases} in standard deviations, so that losses with other scales of "
            "log-odds compare.",
            unit="standard deviations", chance="0", statistic="standardised_shift", **known,
        ),
        Metric(
            f"margin_retained_{side}", f"The share of the training images' margin that is left on the audited {cases}; 1 less it is consumed.",
            chance="1", statistic="retained", **known,
        ),
        Metric(
            f"crossing_{side}", f"How many more {errors} among the audited {cases} than among those trained on, as a share.",
            "lower", -1, 1, chance="0", statistic="crossing", **known,
        ),
        Metric(
            f"margin_median_{side}", f"The median margin of the audited {cases}: below 0 most of them are {errors}.",
            "higher", unit="log-odds", chance="none", statistic="median", **known,
        ),
        Metric(
            f"margin_distance_{side}", f"How far the two distributions of margins of the {cases} lie apart: the area between their "
            "distribution functions (Wasserstein). It cannot be negative, so even equal ones show a little.",
            low=0, unit="log-odds", chance="none", statistic="wasserstein", **known,
        ),
        Metric(
            f"margin_gap_{side}", f"The largest difference of the two distribution functions of the {cases} (Kolmogorov and Smirnov); "
            "it cannot be negative either.",
            low=0, high=1, chance="none", statistic="kolmogorov_smirnov", **known,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class LogitShift(Analysis):
    """Signed margins on training and on audited images, per class and label value (docs/methods.md D.3; the numbers are ours).

    The margin is the log-odds minus those of `threshold`, with its sign turned for images without the finding: above 0 is right.
    With a softmax head it is the class's output minus the largest other audited one, whatever the threshold. Without `training_images` in audit.yaml only what the
    audited images say is told.
    """

    name = "logit_shift"
    needs = frozenset({"logits", "labels", "split:train"})
    metrics = (
        Metric(
            "margin_asymmetry", "How much more the images with the finding moved towards the boundary than those without it: clearly "
            "below 0 is the mark of a class that was learnt by heart because it is rare.",
            "higher", unit="log-odds", chance="0", reference=FINDING, statistic="asymmetry", of="margin_positive",
            against="margin_negative", undefined="score not finite",
        ),
        Metric(
            "margin_asymmetry_standardised", "The same in standard deviations, so that losses with other scales of log-odds compare.",
            "higher", unit="standard deviations", chance="0", reference=FINDING, statistic="standardised_asymmetry",
            of="margin_positive", against="margin_negative", undefined="score not finite",
        ),
        Metric(
            "margin_asymmetry_on_rarity", "By how much the asymmetry changes per tenfold frequency in training: above 0 rare classes moved "
            "more towards the boundary than common ones.",
            unit="log-odds per factor of 10", chance="0", reference=FINDING, statistic="asymmetry_on_rarity", of="margin_positive",
            against="margin_negative",
        ),
        *_metrics("positive"),
        *_metrics("negative"),
    )  # fmt: skip

    threshold: float = 0.5

    def __post_init__(self) -> None:
        log_odds(self.threshold, self.name)

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"margin_positive", "margin_negative"}: float64 [P] each, NaN for the cases of the other label."""
        softmax = batch.head == "softmax"
        beyond = _rivals(batch) if softmax else batch.logits.numpy() - log_odds(self.threshold, self.name)
        present = batch.labels == 1
        return {"margin_positive": np.where(present, beyond, np.nan), "margin_negative": np.where(present, np.nan, -beyond)}


def _rivals(batch: View) -> npt.NDArray[np.float64]:
    """Each case's raw output minus the largest other output of its image [P], from log-odds of one class against all others."""
    log_p = np.minimum(batch.logits.numpy(), 0) - np.log1p(np.exp(-np.abs(batch.logits.numpy())))
    image = batch.cases.image.numpy()
    found = np.empty(len(batch))
    for case, own in enumerate(log_p):
        others = np.flatnonzero((image == image[case]) & (np.arange(len(batch)) != case))
        found[case] = own - log_p[others].max() if len(others) else batch.logits[case]
    return found


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [LogitShift]
