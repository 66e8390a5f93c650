"""Right or wrong, case by case: what the network finds and misses when all networks raise the same share of false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import Analysis, ConfigError, Metric, hookimpl

from ._apart import apart

if TYPE_CHECKING:
    from auditor import View

REFERENCE = "docs/methods.md A.18; STARD 2015 items 12a and 23"


@dataclass(frozen=True)
class Outcomes(Analysis):
    """Sensitivity and specificity at a threshold of matched specificity, and maps by outcome (docs/methods.md A.18).

    Per network and class the threshold is the lowest log-odds that the share `specificity` of the negatives does not exceed. With
    `fit` it is chosen on that share of the patients, the same ones that `calibration` sets apart for the same share, and everything
    is counted on the others; without, it is chosen on the audited negatives themselves, and the report says so.
    """

    name = "outcomes"
    needs = frozenset({"logits", "labels"})

    specificity: float = 0.9
    fit: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.specificity < 1:
            raise ConfigError(
                f"outcomes: specificity: {self.specificity} is not between 0 and 1: it is the share of negatives not called positive"
            )
        if self.fit is not None and not 0 < self.fit < 1:
            raise ConfigError(
                f"outcomes: fit: {self.fit} is not between 0 and 1: it is the share of patients to choose thresholds on"
            )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Both rates at the declared specificity, and what they are made from."""
        common: dict[str, Any] = {
            "better": "higher", "low": 0, "high": 1, "reference": REFERENCE, "of": "outcome_log_odds", "against": "outcome_role",
            "at": self.specificity, "undefined": "score not finite",
        }  # fmt: skip
        where = "the other patients" if self.fit else "these very images"
        return (
            Metric(
                "sensitivity", f"The share of images with the finding that the network calls positive, at the threshold that "
                f"{self.specificity:.0%} of the images without it do not exceed.",
                chance=f"{1 - self.specificity:.6g}", statistic="sensitivity",
                pitfall="Compares with the labels as they are. It holds at this one specificity; at another the networks may rank otherwise.",
                **common,
            ),
            Metric(
                "specificity", f"The share of images without the finding that the network does not call positive. The threshold was "
                f"set to make it {self.specificity:.0%} on {where}.",
                chance=f"{self.specificity:.6g}", statistic="specificity", **common,
            ),
            Metric("outcome_log_odds", "The network's score as log-odds.", unit="log-odds", statistic="none",
                   undefined="score not finite"),
            Metric("outcome_role", "0: outcomes are counted on the image, 1: thresholds are chosen on it, 2: both.", low=0, high=2,
                   statistic="none"),
        )  # fmt: skip

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"outcome_log_odds", "outcome_role"}: float64 [P] each."""
        roles = [2.0 if self.fit is None else float(apart(sample.patient, self.fit)) for sample in batch.samples]
        return {"outcome_log_odds": batch.logits.numpy(), "outcome_role": np.array(roles)[batch.cases.image.numpy()]}


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [Outcomes]
