"""What a number means, declared once beside the code that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Statistic = Literal[
    "mean", "auroc", "average_precision", "none", "elsewhere", "excess", "kappa", "lift", "others",
    "predicted", "observed", "prevalence_gap", "intercept", "slope", "ece", "ece_chance", "brier", "sensitivity", "specificity",
    "level", "below", "median", "ratio", "pairwise", "shift", "standardised_shift", "retained", "crossing", "wasserstein",
    "kolmogorov_smirnov", "asymmetry", "standardised_asymmetry", "asymmetry_on_rarity", "retained_with_share", "change",
    "ranking", "ranking_change", "flipped", "moved", "moved_signed", "standardised",
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

    `sensitivity` and `specificity` call a case positive where its log-odds (`of`) exceed the threshold at which the share `at` of
    the negatives does not; `against` names the per-case metric that says whether a case is measured (0), chooses the threshold (1)
    or does both (2).

    `ranking` is an AUROC that is told and not contrasted. `ranking_change`, `flipped`, `moved` and `moved_signed` hold log-odds under
    changes of the picture, in the per-case metrics `over`, against those of the picture as it is (`of`), and take the mean over the
    changes: the AUROC less the AUROC; the share of cases on the other side of the threshold that the share `at` of the negatives does not
    exceed; and the size, or the signed size, of the change in standard deviations of `of` (docs/methods.md G.2).

    `pitfall` says in a sentence how the number misleads; it stands on the metric's card in the report.

    With `repeats` a metric is another one, measured under a changed assumption that `assuming` puts in words. It is shown beside
    that one and gets no verdict of its own. One of many such has no `card` of its own: that of the metric it repeats says it all.

    From `shift` to `standardised_asymmetry` they say how the values of `of` on the audited images differ from those on the training images
    (docs/methods.md D.3): the shift of the mean, plain (`change` where its scale is one for all networks), in standard deviations, and as a ratio; the change of the share below 0; the
    distance of the two distributions; and the shift of `of` less the shift of `against`, plain and standardised. The last two are over the classes: the
    asymmetry regressed on how rare a class is, and the rank correlation of the ratio with the mean of `against`. `level` (a mean that
    is not contrasted, because networks have scales of their own), `below`, `median`, `ratio` (of the sums of `of` and `against`), `standardised` (the mean of `of` in standard deviations of `against` over all its cases) and `pairwise`
    (`of` is each case's mean over its partners) need audited images only.
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
    over: tuple[str, ...] = ()
    per: str = ""
    after: Literal["", "temperature", "prior_shift"] = ""
    at: float | None = None
    repeats: str = ""
    assuming: str = ""
    undefined: str = "undefined"
    pitfall: str = ""
    card: bool = True

    @property
    def per_case(self) -> bool:
        """Whether `measure` returns a value of it for every case."""
        return not self.of
