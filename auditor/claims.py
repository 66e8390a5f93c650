"""What the audit sets out to show, declared in audit.yaml before anything is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from .errors import among
from .problems import show

if TYPE_CHECKING:
    from .config import AuditConfig
    from .metric import Metric
    from .problems import Problems

MARGINS = {"auroc": 0.02, "kappa_loc": 0.05}
"""Differences that are taken to be negligible unless audit.yaml says otherwise."""


class Claims(BaseModel):
    """Which overall differences are the question, and how large a difference of a metric may be and still not matter.

    Neither changes what is measured: an audit can be judged anew by other claims, and then says that they came afterwards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    primary: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Metrics whose overall contrasts are the question, adjusted by Holm; all others are exploratory."""
    margin: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Per metric the largest difference that does not matter, in its unit; auroc 0.02 and kappa_loc 0.05 unless given."""

    def margins(self) -> dict[str, float]:
        """{metric: margin}, written or by default."""
        return MARGINS | self.margin

    def text(self) -> str:
        """The same text for the same claims, however they are written."""
        return json.dumps({"primary": sorted(self.primary), "margin": self.margins()}, sort_keys=True)


def check(config: AuditConfig, metrics: Mapping[str, Metric], problems: Problems) -> None:
    """Every metric that the claims name is one that this audit contrasts."""
    never = ("none", "elsewhere", "others", "specificity")  # kept, or set by us and not found
    contrasted = [name for name, metric in metrics.items() if metric.statistic not in never and not metric.repeats]
    places = {f"claims.primary[{number}]": name for number, name in enumerate(config.claims.primary)}
    named = [(config.place(where), name) for where, name in places.items()]
    named += [(config.key_place(f"claims.margin.{name}"), name) for name in config.claims.margin]
    for place, name in named:
        if name not in contrasted:
            allowed = f"a metric that is contrasted: {among(name, contrasted)}"
            problems.add(f"{place}: found {show(name)}; allowed: {allowed}")
