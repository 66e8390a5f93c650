"""What a number means, declared once beside the code that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Statistic = Literal["mean", "auroc", "average_precision", "none"]


@dataclass(frozen=True)
class Metric:
    """One number, and how to read it.

    A metric is measured per case (`of` empty) or is a statistic over the cases of a class: `of="logit"` with
    `statistic="auroc"` ranks the per-case values of the metric `logit` by the labels. `statistic="none"` marks a per-case
    value that is kept but not summarised, or a number that an analysis' `summarise` returns for the model as a whole.
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
    undefined: str = "undefined"

    @property
    def per_case(self) -> bool:
        """Whether `measure` returns a value of it for every case."""
        return not self.of
