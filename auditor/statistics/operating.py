"""An operating point: one threshold per network and class at a specificity that is the same for all, and what lies on which side.

A threshold of 0.5 means something else after every way of training; at matched specificity the networks raise the same share of
false alarms, and sensitivity can be compared. Cases that are called positive score above the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .influence import Floats, Influence, Integers, share
from .ranking import not_estimable

STATISTICS = ("sensitivity", "specificity")
OUTCOMES = ("TP", "FN", "FP", "TN")
MEASURED, CHOOSES, BOTH = 0.0, 1.0, 2.0
"""What a case is there for: outcomes are counted on it, the threshold is chosen on it if it is negative, or both."""
NOTHING_TO_CHOOSE_ON = "no threshold (0 negatives to choose it on)"

Flags = npt.NDArray[np.bool_]


class Called(NamedTuple):
    """The measured cases of one network and class: log-odds above the threshold [n], whether positive [n], patient [n].

    `rows` [n] are their places among the cases they were made from.
    """

    threshold: float
    margin: Floats
    positive: Flags
    patient: Integers
    rows: Integers

    @property
    def outcome(self) -> Integers:
        """0 to 3 for TP, FN, FP, TN [n]."""
        found: Integers = np.where(self.positive, 1, 3) - (self.margin > 0)
        return found


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold (log-odds) of one network for one class, None exactly when `missing` says why, and the outcomes counted at it.

    true_positives + false_negatives + false_positives + true_negatives + apart + unknown is the number of images used: `apart` belong
    to patients that only choose the threshold (none where it is chosen on the measured cases), `unknown` have no label. `chosen_on` counts negatives, `chosen_on_patients` theirs.
    """

    model: str
    strategy: str
    class_name: str
    asked: float
    threshold: float | None
    missing: str | None
    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int
    apart: int
    unknown: int
    chosen_on: int
    chosen_on_patients: int


def threshold(negatives: Floats, specificity: float) -> float:
    """The lowest score that at least this share of the negatives [n > 0] does not exceed.

    >>> threshold(np.arange(10.0), 0.9)
    8.0
    """
    needed = math.ceil(specificity * len(negatives) - 1e-9)
    return float(np.sort(negatives)[max(needed, 1) - 1])


def called(scores: Floats, positive: Flags, patient: Integers, role: Floats, specificity: float) -> Called | str:
    """The measured cases held against the threshold; or why there is none. All arguments but the last are [n]."""
    choosing = scores[(role > MEASURED) & ~positive]
    if not len(choosing):
        return NOTHING_TO_CHOOSE_ON
    found = threshold(choosing, specificity)
    rows = np.flatnonzero(role != CHOOSES)
    return Called(found, scores[rows] - found, positive[rows], patient[rows], rows)


def rate(statistic: str, cases: Called) -> Influence | str:
    """Sensitivity or specificity; the interval takes the threshold as given."""
    lacking = not_estimable(cases.positive)
    kind = cases.positive if statistic == "sensitivity" else ~cases.positive
    if not kind.any():
        return lacking or f"not estimable (0 {'positives' if statistic == 'sensitivity' else 'negatives'})"
    right = (cases.margin[kind] > 0) == (statistic == "sensitivity")
    return share(right.astype(np.float64), cases.patient[kind])
