"""Levels and contrasts without those that rest on too few patients, or that would give such a one back.

A number that is withheld can be had back from others: a mean over the classes less the other classes, a contrast plus the level
of the reference, a rate times its cases. Those are withheld with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..evidence import Evidence
from ..statistics.rows import BASELINE, GROUPS, MACRO, MODEL, Comparison, Repeat, Summary, frequency_groups
from .cells import OUTCOMES, REASON, Cells, few

MEANS = (MACRO, *GROUPS)
RATES: Mapping[str, tuple[str, str]] = {"sensitivity": ("TP", "FN"), "specificity": ("FP", "TN")}
Key = tuple[Any, ...]
"""Metric, analysis, attribution, class, then what else tells a row apart."""
Row = TypeVar("Row", Summary, Comparison)


class Numbers:
    """What of an audit's levels and contrasts can be shared; `levels` and `contrasts` are the keys of those that cannot."""

    def __init__(self, evidence: Evidence, cells: Cells) -> None:
        self._evidence, self._cells = evidence, cells
        train = evidence.dataset.get("train")
        counts = (train["images"], train["positives"]) if train else None
        classes = tuple(evidence.dataset["classes"])
        self._groups = {
            group: {classes[number] for number in members} for group, members in frequency_groups(classes, counts)
        } | {MACRO: set(classes)}  # fmt: skip
        levels = {_of_level(row): row for row in evidence.summaries}
        self.levels = self._closed(levels, {key for key, row in levels.items() if self._level_is_small(row)})
        contrasts = {_of_contrast(row): row for row in evidence.comparisons}
        given_away = self._sides_of_withheld_levels()
        self.contrasts = self._closed(
            contrasts,
            {key for key, row in contrasts.items() if self._contrast_is_small(row) or self._gives_away(row, given_away)},
        )

    def summaries(self) -> tuple[Summary, ...]:
        """Every level, those that are withheld with the reason in the place of the number."""
        return tuple(
            replace(row, value=None, missing=REASON, n=0, low=None, high=None, n_patients=None, note=None)
            if _of_level(row) in self.levels
            else row
            for row in self._evidence.summaries
        )

    def comparisons(self) -> tuple[Comparison, ...]:
        """Every contrast in the same way."""
        return tuple(
            replace(
                row, difference=None, missing=REASON, low=None, high=None, n_cases=0, n_patients=0, note=None, claim=None, p=None,
                p_adjusted=None, joint_low=None, joint_high=None, margin=None, smallest_margin=None, verdict=None,
            )
            if _of_contrast(row) in self.contrasts
            else row
            for row in self._evidence.comparisons
        )  # fmt: skip

    def repeated(self) -> tuple[Repeat, ...]:
        """The repetitions of contrasts, withheld where the main one is."""
        return tuple(
            replace(row, difference=None, missing=REASON, low=None, high=None, n_cases=0, n_patients=0, note=None)
            if _of_contrast(row) in self.contrasts or row.class_name in self._cells.withheld or few(row.n_patients)
            else row
            for row in self._evidence.repeated
        )

    def _level_is_small(self, row: Summary) -> bool:
        cells, metric = self._cells, self._evidence.metrics.get(row.metric, {})
        if row.class_name in cells.withheld or few(row.n_patients):
            return True
        if row.class_name in MEANS:
            return False
        if sides := RATES.get(str(metric.get("statistic"))):
            outcomes = cells.outcomes.get((row.model, row.class_name), ())
            return any(few(outcomes[OUTCOMES.index(side)]) for side in sides if outcomes)
        if row.class_name == MODEL:
            return False
        return few(row.n) or few(self._measured(row, str(metric.get("of") or row.metric)))

    def _measured(self, row: Summary, column: str) -> int | None:
        """Patients with a value; of maps that saw no image and of untrained networks, those with a box of the class."""
        found = self._cells.measured.get((row.model, row.analysis, row.attribution, column, row.class_name))
        if found is None and row.strategy == BASELINE:
            return len(self._cells.people(row.class_name, "boxed")) or None
        return found

    def _contrast_is_small(self, row: Comparison) -> bool:
        return (
            row.class_name in self._cells.withheld or few(row.n_patients) or (row.class_name not in MEANS and few(row.n_cases))
        )

    def _sides_of_withheld_levels(self) -> set[Key]:
        strategy = {str(model["id"]): str(model["strategy"]) for model in self._evidence.models}
        return {
            (metric, analysis, attribution, name, strategy[model])
            for metric, analysis, attribution, name, model in self.levels
            if model in strategy
        }

    def _gives_away(self, row: Comparison, withheld: set[Key]) -> bool:
        about = (row.metric, row.analysis, row.attribution, row.class_name)
        return (*about, row.strategy) in withheld or (*about, row.reference) in withheld

    def _closed(self, rows: Mapping[Key, Row], small: set[Key]) -> set[Key]:
        """With the means over classes that would give a withheld class back."""
        families: dict[Key, dict[str, Key]] = defaultdict(dict)
        for key, row in rows.items():
            families[key[:3] + key[4:]][row.class_name] = key
        for of_class in families.values():
            counted = {name for name, at in of_class.items() if at in small and name not in MEANS and _number(rows[at])}
            means = [group for group in MEANS if group in of_class]
            small |= {of_class[group] for group in means if self._gives_back(counted & self._groups.get(group, set(of_class)))}
            if MACRO in of_class and sum(of_class[group] in small for group in means if group != MACRO) == 1:
                small.add(of_class[MACRO])  # with the other groups it would give the one group back
        return small

    def _gives_back(self, classes: Iterable[str]) -> bool:
        """Whether a mean to which these withheld classes contributed says too much: of one class, or of too few patients."""
        names = sorted(classes)
        together = {who for name in names for who in self._smallest(name)}
        return bool(names) and (len(names) < 2 or few(len(together)))

    def _smallest(self, name: str) -> frozenset[str]:
        sides: Sequence[frozenset[str]] = [self._cells.people(name, kind) for kind in ("positive", "boxed")]
        return min((side for side in sides if side), key=len, default=frozenset())


def _number(row: Summary | Comparison) -> bool:
    return (row.value if isinstance(row, Summary) else row.difference) is not None


def _of_level(row: Summary) -> Key:
    return row.metric, row.analysis, row.attribution, row.class_name, row.model


def _of_contrast(row: Comparison | Repeat) -> Key:
    return row.metric, row.analysis, row.attribution, row.class_name, row.family, row.strategy, row.reference
