"""Which declared claims about groups of patients cannot come true, told before anything is measured: too few patients or cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from .analysis import Analysis
from .dataset import Sample
from .errors import listed
from .groups import Grouping, groups
from .metric import Metric
from .plan import Plan
from .statistics.rows import Cohort
from .statistics.subgroups import too_few
from .wording import how_many


def warnings(plan: Plan) -> list[str]:
    """A line per declared claim and group of which no class, or not every class, can have a number, with the counts."""
    cohort = _cohort(plan)
    found: list[str] = []
    for number, grouping in enumerate(plan.config.subgroups):
        for analysis in plan.analyses:
            for metric in (metric for metric in analysis.metrics if metric.name in grouping.primary):
                place = plan.config.place(f"subgroups[{number}].primary[{grouping.primary.index(metric.name)}]")
                found += [f"{place}: {line}" for line in _of_claim(plan, grouping, analysis, metric, cohort)]
    return found


def _cohort(plan: Plan) -> Cohort:
    """The patients and labels of the planned samples."""
    codes = {patient: number for number, patient in enumerate(sorted({sample.patient for sample in plan.samples}))}
    labels = [[-1 if label is None else label for label in sample.labels] for sample in plan.samples]
    return Cohort(plan.classes, np.array([codes[s.patient] for s in plan.samples], np.int64), np.array(labels, np.int8))


def _of_claim(plan: Plan, grouping: Grouping, analysis: Analysis, metric: Metric, cohort: Cohort) -> Iterator[str]:
    split = groups(grouping, plan.samples)
    for place, group in enumerate(split.names):
        inside = np.flatnonzero(split.code == place)
        lacking: dict[str, str] = {}
        for target, name in enumerate(plan.classes):
            cases = inside[_asked(plan.samples, analysis, target, name)[inside]]
            if why := too_few(metric, cohort, target, cases):
                lacking[name] = why.removeprefix("not estimable (").removesuffix(")")
        if not lacking:
            continue
        about = f"{metric.name} of {grouping.by} {group}"
        if len(lacking) == len(plan.classes):
            which = next(iter(lacking.values())) if len(set(lacking.values())) == 1 else _said(lacking)
            yield f"{about} is not estimable: {which}; no claim can be made about this group"
        else:
            yield f"{about} is not estimable in {len(lacking)} of {how_many(len(plan.classes), 'class')}, which the claim leaves out: {_said(lacking)}"


def _asked(samples: Sequence[Sample], analysis: Analysis, target: int, name: str) -> npt.NDArray[np.bool_]:
    """The samples that the analysis is handed for a class [S], as far as labels and boxes say."""
    needs = analysis.needs
    return np.array(
        [
            ("labels" not in needs or sample.labels[target] is not None)
            and ("positive" not in needs or sample.labels[target] == 1)
            and ("box" not in needs or any(box.label == name for box in sample.boxes))
            for sample in samples
        ],
        bool,
    )


def _said(lacking: dict[str, str]) -> str:
    """`Hernia: 3 positives; 10 are needed`; one reason for all classes once."""
    reasons = set(lacking.values())
    if len(reasons) == 1:
        return f"{reasons.pop()} ({listed('', lacking)})"
    return listed("", [f"{name}: {why.replace(';', ',')}" for name, why in lacking.items()])
