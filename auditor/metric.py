"""What a number means, declared once beside the code that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Statistic = Literal[
    "mean", "auroc", "average_precision", "none", "elsewhere", "excess", "kappa", "lift", "others",
    "predicted", "observed", "prevalence_gap", "intercept", "slope", "ece", "ece_chance", "brier",
]  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One number, and how to read it.

    A metric is measured per case (`of` empty) or is a statistic over the cases of a class: `of="logit"` with
    `statistic="auroc"` ranks the per-case values of the metric `logit` by the labels. `statistic="none"` marks a per-case
    value that is kept but not summarised, or a number that an analysis' `summarise` returns for the model as a whole.

    A metric with `statistic="elsewhere"` is measured per case and box of other images: how the case scores with each of
    `view.elsewhere`, NaN where that was not looked at. With `of` a per-case metric and `against` such a metric,
    `statistic="excess"`, `"kappa"` and `"lift"` (the logarithm of the ratio) say how much better a case does with its own boxes
    than with other patients' boxes of the same class, and `"others"` how it does with those. With `per` the number is divided
    by that number of the model as a whole.

    The statistics from `predicted` to `brier` say how well log-odds (`of`) are calibrated, on the cases for which the per-case
    metric `against` is 0; with `after` the log-odds are first recalibrated by what fits the cases for which it is 1.
    """

    name: str
    says: str
    better: Literal["higher", "lower", "neither"] = "neither"
    low: float | None = None
    high: float | None = None
    chance: str = ""
    unit: str = ""
    reference: str = ""
    statistic: Statistic = "mean"
    of: str = ""
    against: str = ""
    per: str = ""
    after: Literal["", "temperature", "prior_shift"] = ""
    undefined: str = "undefined"

    @property
    def per_case(self) -> bool:
        """Whether `measure` returns a value of it for every case."""
        return not self.of
