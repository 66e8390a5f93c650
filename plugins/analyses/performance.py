"""How well the network tells the images with a finding from those without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor import Analysis, Metric, hookimpl

if TYPE_CHECKING:
    from auditor import View


@dataclass(frozen=True)
class Performance(Analysis):
    """Discrimination per class, from the log-odds of every image whose label is known.

    Ranking is done on log-odds in float64: a sigmoid in lower precision rounds confident scores to ties and moves the AUROC.
    The mean probability is over positives and negatives together (arXiv 2204.01729, figure 2).
    """

    name = "performance"
    needs = frozenset({"logits", "labels"})
    metrics = (
        Metric(
            "logit",
            "The network's score for the finding as log-odds: above 0 it holds the finding more likely present than absent.",
            unit="log-odds",
            reference="The network's own output before the sigmoid or softmax.",
            statistic="none",
            undefined="score not finite",
        ),
        Metric(
            "probability",
            "The probability of the finding that the network states on average over all images, with and without the finding; "
            "a well calibrated network states the prevalence.",
            low=0.0,
            high=1.0,
            chance="prevalence",
            reference="Mean predicted probability, arXiv 2204.01729, figure 2.",
            undefined="score not finite",
            pitfall="Strategies that reweight classes shift it on purpose; it speaks of calibration, not of discrimination.",
        ),
        Metric(
            "auroc",
            "The chance that an image with the finding scores higher than an image without it; ties count half.",
            better="higher",
            low=0.0,
            high=1.0,
            chance="0.5",
            reference="Hanley and McNeil, Radiology 1982;143:29-36.",
            statistic="auroc",
            of="logit",
            undefined="score not finite",
            pitfall="Compares with the labels as they are: noise in them lowers it. It says nothing about calibration or about where the network looks.",
        ),
        Metric(
            "average_precision",
            "When images are read in the order of their scores: the share that truly has the finding, averaged over the images "
            "with the finding as each is reached.",
            better="higher",
            low=0.0,
            high=1.0,
            chance="prevalence",
            reference="Average precision without interpolation, as in scikit-learn; Davis and Goadrich, ICML 2006.",
            statistic="average_precision",
            of="logit",
            undefined="score not finite",
            pitfall="Depends on how common the class is; compare only on the same images, and only against that prevalence.",
        ),
    )

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"logit", "probability"}: float64 [P] each."""
        return {"logit": batch.logits.numpy(), "probability": batch.logits.sigmoid().numpy()}


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [Performance]
