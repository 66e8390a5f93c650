"""Numbers that rest on random draws: in a bundle patients stand in another order, so other draws fall on them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..evidence import Evidence
from ..share.cells import REASON
from ..share.texts import without_few
from ..statistics.multiplicity import benjamini_hochberg, holm
from ..statistics.resampling import REPLICATES
from ..statistics.rows import Comparison
from ..statistics.verdict import ALPHA
from . import compare
from .found import Difference

ENDS = ("low", "high", "joint_low", "joint_high", "smallest_margin")
P_VALUES = ("p", "p_adjusted")
SHARE = 0.15
"""Of half the width of an interval: about five standard errors of its ends, from 1,999 draws."""
JOINT_SHARE = 0.35
"""The same of a joint interval, whose level is drawn: with few patients a little of the level is much of the interval."""
FAR, FAR_SHARE = 8.0, 1.0
"""A joint interval so many times as wide as the single one lies far out in the tail of a t of few patients, where hardly any draw falls."""
STANDARD_ERRORS = 6.0
DROPPED = re.compile(r"(?:; )?[\d,]+ of [\d,]+ resamples dropped: a class had no positives or no negatives")


class Alike:
    """Whether two numbers of a row are the same: to within `near`, or where they rest on draws, to within what draws allow."""

    def __init__(self, told: Evidence, near: float) -> None:
        self._told, self._near = told, near
        self.count = 0

    def __call__(self, table: str, row: Mapping[str, Any], field: str, one: Any, other: Any) -> bool:
        if compare.same(one, other, self._near):
            return True
        if field in ("note", "missing"):
            return _said(one) == _said(other)
        if table not in ("comparisons", "repeated") or not self._is_drawn(row, field):
            return False
        alike = self._close(row, field, one, other)
        self.count += alike
        return alike

    def _is_drawn(self, row: Mapping[str, Any], field: str) -> bool:
        """Intervals of means and of single AUROCs are computed, those of rankings over classes are drawn; p and joint ends always."""
        statistic = self._told.metrics.get(row["metric"], {}).get("statistic")
        if field in ("low", "high", "smallest_margin"):
            return statistic == "average_precision" or (statistic == "auroc" and row["class"].startswith("("))
        return field in (*ENDS, *P_VALUES, "verdict")

    def _close(self, row: Mapping[str, Any], field: str, one: Any, other: Any) -> bool:
        if field == "verdict":
            differs = [str(verdict).startswith("different") for verdict in (one, other)]
            return differs[0] == differs[1] and self._near_tie(row)
        if one is None or other is None:
            return False
        return bool(abs(one - other) <= (_of_p(row, field) if field in P_VALUES else _of_ends(row, field)))

    def _near_tie(self, row: Mapping[str, Any]) -> bool:
        """Whether draws could have turned equivalence: an end of a drawn interval near the margin."""
        margin, ends = row["margin"], [abs(end) for end in (row["low"], row["high"]) if end is not None]
        drawn = self._is_drawn(row, "low")
        return drawn and margin is not None and any(abs(end - margin) <= 2 * _of_ends(row, "low") for end in ends)

    def told(self) -> list[str]:
        """How many numbers agree only to within what draws allow."""
        if not self.count:
            return []
        what = (
            f"{self.count:,} ends of intervals and p-values rest on random draws, which fall on patients in another order here"
        )
        return [f"{what}: they agree to within what draws allow"]


def _of_ends(row: Mapping[str, Any], field: str) -> float:
    low, high = row["low"], row["high"]
    if not field.startswith("joint"):
        return SHARE * (high - low) / 2 if low is not None and high is not None else 0.0
    if row["joint_low"] is None or row["joint_high"] is None:
        return 0.0
    wide = float(row["joint_high"] - row["joint_low"])
    far = low is not None and high is not None and wide > FAR * (high - low)
    return (FAR_SHARE if far else JOINT_SHARE) * wide / 2


def _said(text: str | None) -> str:
    """A note without how many resamples were dropped, which is drawn, and without counts that a copy does not tell."""
    return without_few(DROPPED.sub("", text or "")).strip("; ")


def judged_by(told: Evidence, made: Evidence) -> Evidence:
    """The contrasts made anew, with the verdict that the adjusted p-value of results.json gives them.

    That p-value is compared by itself; it cannot be made again where a member of its family is withheld.
    """
    known = {_about(row): row.p_adjusted for row in told.comparisons}
    rows = tuple(replace(row, verdict=_verdict(row, known.get(_about(row)))) for row in made.comparisons)
    return replace(made, comparisons=rows)


def _about(row: Comparison) -> tuple[str | None, ...]:
    return row.metric, row.analysis, row.attribution, row.class_name, row.family, row.strategy


def _verdict(row: Comparison, p: float | None) -> str | None:
    if row.verdict is None or p is None:
        return row.verdict
    equivalent = row.verdict in ("equivalent", "different but negligible")
    if p < ALPHA and not (row.low is not None and row.high is not None and row.low <= 0 <= row.high):
        return "different but negligible" if equivalent else "different"
    return "equivalent" if equivalent else "inconclusive"


def _of_p(row: Mapping[str, Any], field: str) -> float:
    p = max(float(row.get("p") or 0.0), 1 / (REPLICATES + 1))
    within = STANDARD_ERRORS * math.sqrt(2 * p * (1 - min(p, 1 - 1e-9)) / REPLICATES) + 2 / (REPLICATES + 1)
    return within * max((row.get("p_adjusted") or 0.0) / p, 1.0) if field == "p_adjusted" else within


def adjusted(told: Evidence) -> Iterator[Difference]:
    """Adjusted p-values that do not follow from the p-values beside them, where no member of the family is withheld."""
    families: dict[tuple[str, ...], list[Comparison]] = defaultdict(list)
    primary = told.audit["claims"]["primary"]
    withheld = set()
    for row in told.comparisons:
        family: tuple[str, ...] = ("exploratory", row.analysis, row.metric, row.attribution or "")
        if row.metric in primary and row.class_name in ("(macro)", "(image)"):
            family = ("primary",)
        if row.missing == REASON:
            withheld.add(family)
        elif row.p is not None:
            families[family].append(row)
    for family, rows in families.items():
        if family in withheld:
            continue
        made = (holm if family == ("primary",) else benjamini_hochberg)(np.array([row.p for row in rows]))
        for row, p in zip(rows, made.tolist(), strict=True):
            if row.p_adjusted != p:
                place = f"results.json, comparisons, {row.metric}, {row.strategy}, {row.class_name}"
                yield Difference(place, f"p_adjusted is {row.p_adjusted!r}; from the p-values of its family it is {p!r}")
