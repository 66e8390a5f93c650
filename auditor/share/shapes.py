"""Outcomes, curves and profiles without what rests on too few patients, or would give such a cell back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..evidence import Evidence
from ..findings import Gap
from ..profiles import Profile
from ..statistics.by_outcome import CONFIDENT, OutcomeRow
from ..statistics.operating import OperatingPoint
from ..statistics.rows import MACRO, Curve
from .cells import OUTCOMES, REASON, Cells, few

PARTS = {"TP": ("TP", "FN"), "FN": ("TP", "FN"), CONFIDENT: ("TP", "FN"), "FP": ("FP", "TN"), "TN": ("FP", "TN")}
"""The outcomes that add up to a number shared elsewhere: where one of them is small, the other gives it back."""


def operating(evidence: Evidence, cells: Cells) -> tuple[OperatingPoint, ...]:
    """Thresholds and counts; all counts of a class where one is small, because together they are the images used."""
    none: dict[str, Any] = dict.fromkeys(
        ("true_positives", "false_negatives", "false_positives", "true_negatives", "apart", "unknown", "chosen_on", "chosen_on_patients"), 0
    )  # fmt: skip
    return tuple(
        replace(point, threshold=None, missing=REASON, **none)
        if point.class_name in cells.withheld
        or few(point.chosen_on_patients)
        or small_outcome(cells, point.model, point.class_name, (*OUTCOMES, "apart"))
        else point
        for point in evidence.operating
    )


def small_outcome(cells: Cells, model: str, name: str, outcomes: Iterable[str]) -> bool:
    """Whether one of these outcomes of a network and class is of too few patients."""
    found = dict(zip((*OUTCOMES, "apart"), cells.outcomes.get((model, name), ()), strict=False))
    return any(few(found.get(outcome, 0)) for outcome in outcomes)


def by_outcome(evidence: Evidence, cells: Cells) -> tuple[OutcomeRow, ...]:
    """Numbers of maps by outcome; both parts of a whole where one is small, and the mean over classes with them."""
    rows = evidence.by_outcome
    small = {
        (row.metric, row.attribution, row.model, row.class_name, outcome)
        for row in rows
        if row.class_name != MACRO
        and (
            row.class_name in cells.withheld
            or (row.value is not None and (few(row.n) or few(row.n_patients)))
            or small_outcome(cells, row.model, row.class_name, PARTS.get(row.outcome, ()))
            or "of one patient" in (row.missing or "")
        )
        for outcome in (*PARTS.get(row.outcome, ()), row.outcome)
    }
    small |= {(*key[:3], key[3], CONFIDENT) for key in small if key[4] == "TP"}
    over = {(metric, attribution, model, MACRO, outcome) for metric, attribution, model, _, outcome in small}
    told = {(*_about(row)[:3], MACRO, row.outcome) for row in rows if _about(row) in small and row.value is not None}
    return tuple(
        replace(row, value=None, missing=REASON, n=0, low=None, high=None, n_patients=None, note=None)
        if _about(row) in small or (_about(row) in over and _about(row) in told)
        else row
        for row in rows
    )


def _about(row: OutcomeRow) -> tuple[str, str, str, str, str]:
    return row.metric, row.attribution, row.model, row.class_name, row.outcome


def curves(evidence: Evidence, cells: Cells) -> tuple[Curve, ...]:
    """Curves of which every point rests on enough patients, however many images and classes one patient has there."""
    classes = max(len(evidence.dataset["classes"]), 1)
    return tuple(
        curve
        for curve in evidence.curves
        if not few(curve.measured_on)
        and not few(curve.fitted_on)
        and not any(few(cells.at_least(-(-n // classes))) for n in curve.n)
    )


def profiles(evidence: Evidence, cells: Cells) -> tuple[Profile, ...]:
    """Profiles of classes; what is told of found and of missed images only where either are enough."""
    found = (row for row in evidence.profiles if row.class_name not in cells.withheld)
    return tuple(_profile(row, evidence, cells) for row in found)


def _profile(row: Profile, evidence: Evidence, cells: Cells) -> Profile:
    """How many were recognised is a level of its own: its share of the patients with the finding, at the least."""
    share = next(
        (s.value for s in evidence.select("recognised", row.analysis, row.class_name) if s.model == row.model and s.value is not None),
        None,
    )  # fmt: skip
    if share is None:
        return replace(row, frequency=None, frequent=None, ever=None, adversaries={})
    recognised = round(share * row.n_audited)
    if few(cells.at_least(recognised)):
        row = replace(row, frequency=None, frequent=None, ever=None)
    return replace(row, adversaries={}) if few(cells.at_least(row.n_audited - recognised)) else row


def of_class(rows: Iterable[Any], cells: Cells, kind: str = "positive") -> tuple[Any, ...]:
    """Rows about one class each, without those of classes of which too few patients have the finding, or a box of it."""
    return tuple(
        row
        for row in rows
        if row.class_name not in cells.withheld and not few(len(cells.people(row.class_name, kind)))
    )  # fmt: skip


def gaps(evidence: Evidence, cells: Cells) -> tuple[Gap, ...]:
    """What could not be measured; not of so few cases that their patients are too few."""
    return tuple(gap for gap in evidence.gaps if gap.class_name not in cells.withheld and not few(cells.at_least(gap.n)))
