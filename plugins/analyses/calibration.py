"""Does a predicted probability come true, and does recalibration mend what the way of training shifted?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from auditor import Analysis, ConfigError, Metric, hookimpl

from ._apart import apart

if TYPE_CHECKING:
    from auditor import View

COX = "Cox, Biometrika 1958;45:562-565; Van Calster et al., BMC Medicine 2019;17:230"
ECE = "Naeini et al., AAAI 2015; equal-mass bins, the last one closed (docs/methods.md A.14)"
After = Literal["", "temperature", "prior_shift"]
WORDS: dict[After, str] = {
    "": "",
    "temperature": " After the log-odds were divided by one temperature per class.",
    "prior_shift": " After one constant per class was added to the log-odds.",
}


def _metrics(after: After) -> tuple[Metric, ...]:
    """The same numbers before and after a recalibration."""
    end, said = f"_{after}" if after else "", WORDS[after]
    common: dict[str, Any] = {"of": "log_odds", "against": "fitting", "after": after, "undefined": "score not finite"}
    return (
        Metric(
            f"predicted_prevalence{end}", f"The share of images that the network expects to have the finding.{said}",
            low=0, high=1, chance="observed_prevalence", reference=COX, statistic="predicted",
            pitfall="Right on average does not mean right for anyone.", **common,
        ),
        Metric(
            f"prevalence_gap{end}", f"Predicted minus observed prevalence: above 0 the network expects the finding too often.{said}",
            low=-1, high=1, chance="0", reference=COX, statistic="prevalence_gap", **common,
        ),
        Metric(
            f"calibration_intercept{end}", f"What would have to be added to the log-odds to meet the prevalence: below 0 the network "
            f"expects the finding too often.{said}",
            unit="log-odds", chance="0", reference=COX, statistic="intercept", **common,
        ),
        Metric(
            f"calibration_slope{end}", f"By what the log-odds would have to be multiplied: below 1 the network is too sure of "
            f"itself, above 1 too hesitant.{said}",
            chance="1", reference=COX, statistic="slope",
            pitfall="Says nothing about the level: a network can have slope 1 and expect every finding twice too often.", **common,
        ),
        Metric(
            f"ece{end}", f"How far predicted and observed frequency lie apart on average, over 15 bins of equally many images.{said} "
            "It cannot be negative, so even a perfect network shows a little.",
            "lower", 0, 1, chance=f"ece{end}_by_chance", reference=ECE, statistic="ece",
            pitfall="Never below 0 and larger with fewer images; read it against its chance level. Over- and underestimation both add to it.", **common,
        ),
        Metric(
            f"ece{end}_by_chance", f"The ECE that the same predictions would show on average if they were perfectly calibrated.{said}",
            low=0, high=1, chance="none", reference=ECE, statistic="ece_chance", **common,
        ),
        Metric(
            f"brier{end}", f"The mean squared distance between the predicted probability and what was found; it mixes calibration "
            f"with discrimination.{said}",
            "lower", 0, 1, chance="none", reference="Brier, Monthly Weather Review 1950;78:1-3", statistic="brier",
            pitfall="Small for rare findings whatever the network says; compare only on the same images.", **common,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Calibration(Analysis):
    """Calibration per class before and after recalibration; fitted on some patients, measured on the others (A.14).

    `fit` is the share of the patients that temperature and prior shift are fitted on, chosen by a hash of the patient, so that no
    patient is on both sides and every network and every run has the same split. All numbers, those before recalibration
    too, are of the other patients.
    """

    name = "calibration"
    needs = frozenset({"logits", "labels"})
    metrics = (
        *_metrics(""),
        Metric(
            "observed_prevalence", "The share of images labelled with the finding, among those that calibration is measured on.",
            low=0, high=1, chance="none", statistic="observed", of="log_odds", against="fitting",
        ),
        *_metrics("temperature"),
        *_metrics("prior_shift"),
        Metric("log_odds", "The network's score as log-odds.", unit="log-odds", statistic="none", undefined="score not finite"),
        Metric("fitting", "1 where the patient belongs to those that recalibration is fitted on.", low=0, high=1, statistic="none"),
    )  # fmt: skip

    fit: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.fit < 1:
            raise ConfigError(f"calibration: fit: {self.fit} is not between 0 and 1: it is the share of patients to fit on")

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"log_odds", "fitting"}: float64 [P] each."""
        fitting = np.array([apart(sample.patient, self.fit) for sample in batch.samples], np.float64)
        return {"log_odds": batch.logits.numpy(), "fitting": fitting[batch.cases.image.numpy()]}


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [Calibration]
