"""Groups of patients or images that results are told apart by, as audit.yaml declares them: sex, bands of age, view position."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import among
from .metric import Metric
from .problems import Problems, show

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .analysis import Analysis
    from .config import AuditConfig
    from .dataset import Sample

MOST = 12
"""Groups that one attribute may have; more would be names rather than groups."""
TOLD_APART = ("mean", "auroc", "average_precision", "excess", "kappa", "lift")
"""Statistics that are made for a group as for everybody; others need numbers of all patients together."""

Name = Annotated[str, Field(min_length=1)]


class Grouping(BaseModel):
    """One attribute of the samples to tell results apart by: `sex`, or `{by: age, bands: [40, 60]}` for numbers.

    `metrics` are told by group (auroc and the primary claims where it is left out). Those under `primary` are the question: their
    overall differences are declared claims and come on page one. Everything else is exploratory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    by: Name
    """An attribute that the data set knows of its samples; a mistake lists those that it knows."""
    bands: Annotated[tuple[float, ...], Field(max_length=MOST - 1)] = ()
    """Where an attribute that is a number is cut: [40, 60] gives three groups. Only the band is kept, never the number."""
    metrics: tuple[Name, ...] = ()
    """What is told by group; auroc and the primary claims unless given."""
    primary: tuple[Name, ...] = ()
    """Those of them whose differences between groups are the question, declared before measuring."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return {"by": value} if isinstance(value, str) else value

    @field_validator("bands")
    @classmethod
    def _rising(cls, bands: tuple[float, ...]) -> tuple[float, ...]:
        if any(first >= second for first, second in pairwise(bands)):
            raise ValueError("the bands must rise, as in [40, 60]")
        return bands


class Groups(NamedTuple):
    """The groups of one attribute, and which of them each sample belongs to [S]: -1 where that is not known."""

    by: str
    names: tuple[str, ...]
    code: npt.NDArray[np.int64]


def groups(grouping: Grouping, samples: Sequence[Sample]) -> Groups:
    """The groups of these samples; of an attribute in bands only the band is kept, never the number.

    A value that is the name of a band is that band: a finished run keeps no other.
    """
    import numpy as np

    said = [sample.metadata.get(grouping.by, "").strip() for sample in samples]
    if grouping.bands:
        bands = _band_names(grouping.bands)
        place = [bands.index(text) if text in bands else _band(grouping.bands, _number(text)) for text in said]
        return Groups(grouping.by, bands, np.array(place, np.int64))
    names = tuple(sorted(set(said) - {""}))
    return Groups(grouping.by, names, np.array([names.index(text) if text else -1 for text in said], np.int64))


def asked(grouping: Grouping, primary: Collection[str], metrics: Mapping[str, Metric]) -> list[str]:
    """The metrics that are told by this attribute."""
    usual = [name for name in _told_apart(metrics) if name == "auroc" or name in primary]
    return list(dict.fromkeys([*grouping.primary, *(grouping.metrics or usual)]))


def check_metrics(config: AuditConfig, metrics: Mapping[str, Metric], problems: Problems) -> None:
    """Every attribute is named once, and every metric can be told by group."""
    possible = _told_apart(metrics)
    seen: dict[str, int] = {}
    for number, grouping in enumerate(config.subgroups):
        place = config.place(f"subgroups[{number}]")
        first = seen.setdefault(grouping.by, number)
        if first != number:
            problems.add(f"{place}: found {show(grouping.by)} as in subgroups[{first}]; allowed: an attribute once")
        for key in ("metrics", "primary"):
            for at, name in enumerate(getattr(grouping, key)):
                if name not in possible:
                    allowed = f"a metric that can be told by group: {among(name, possible)}"
                    problems.add(f"{config.place(f'subgroups[{number}].{key}[{at}]')}: found {show(name)}; allowed: {allowed}")
        if not asked(grouping, config.claims.primary, metrics):
            problems.add(f"{place}: found no metric to tell by {show(grouping.by)}; allowed: metrics: [{', '.join(possible)}]")


def check_names(config: AuditConfig, known: Collection[str] | None, problems: Problems) -> None:
    """Every attribute is one that the data set can tell of, where it says which these are."""
    for number, grouping in enumerate(config.subgroups if known is not None else ()):
        if found := _unknown(grouping, sorted(known or ())):
            problems.add(f"{config.place(f'subgroups[{number}]')}: {found}")


def check(config: AuditConfig, metrics: Mapping[str, Metric], samples: Sequence[Sample], problems: Problems) -> None:
    """The same, and every attribute is one that the data set has and falls into at least two groups."""
    check_metrics(config, metrics, problems)
    known = sorted({name for sample in samples for name, value in sample.metadata.items() if value}) if config.subgroups else []
    for number, grouping in enumerate(config.subgroups):
        if found := _mistake(grouping, known, samples):
            problems.add(f"{config.place(f'subgroups[{number}]')}: {found}")


def _unknown(grouping: Grouping, known: Sequence[str]) -> str | None:
    """What to say of an attribute that the data set does not have; None where it has it."""
    if grouping.by in known:
        return None
    if known:
        return f"found {show(grouping.by)}; allowed: an attribute that the data set has: {among(grouping.by, known)}"
    why = "this data set says nothing of its images beside labels and boxes (a table's columns are named by groups: of the data set)"
    return f"found {show(grouping.by)}; allowed: none; {why}"


def check_asked(config: AuditConfig, analyses: Sequence[Analysis], problems: Problems) -> None:
    """Every attribute that an analysis asks for is one of `subgroups`."""
    known = [grouping.by for grouping in config.subgroups]
    for number, analysis in enumerate(analyses):
        for name in analysis.grouped_by:
            if name not in known:
                allowed = f"an attribute of subgroups: {among(name, known) if known else 'none is declared'}"
                problems.add(
                    f"{config.place(f'analyses[{number}]')}: {analysis.name} asks for {show(name)}; allowed: {allowed}"
                )


def fingerprint(config: AuditConfig, analysis: Analysis, samples: Sequence[Sample]) -> list[Any]:
    """What the groups that an analysis asks for are, for the key of its work; empty where it asks for none."""
    asked_for = [grouping for grouping in config.subgroups if grouping.by in analysis.grouped_by]
    return [(found.by, found.names, found.code.tolist()) for found in (groups(one, samples) for one in asked_for)]


def _mistake(grouping: Grouping, known: Sequence[str], samples: Sequence[Sample]) -> str | None:
    """What is wrong with an attribute, or None."""
    if unknown := _unknown(grouping, known):
        return unknown
    found = groups(grouping, samples)
    there = set(found.code.tolist()) - {-1}
    if grouping.bands and not there:
        return f"found bands for {show(grouping.by)}, of which no value is a number; leave bands out"
    if len(found.names) > MOST:
        numbers = any(_number(name) is not None for name in found.names)
        hint = f", or bands of numbers: {{by: {grouping.by}, bands: [40, 60]}}" if numbers else ""
        return f"found {len(found.names)} different values of {show(grouping.by)}; allowed: at most {MOST}{hint}"
    if len(there) < 2:
        return f"found all images in one group of {show(grouping.by)}; allowed: an attribute that tells images apart"
    return None


def _told_apart(metrics: Mapping[str, Metric]) -> list[str]:
    """The metrics that can be told by group: no chance levels of others, and no repetitions."""
    beside = {metric.chance for metric in metrics.values()}
    return [
        name for name, metric in metrics.items() if metric.statistic in TOLD_APART and not metric.repeats and name not in beside
    ]


def _number(text: str) -> float | None:
    """A number, or an age as DICOM writes it (058Y, 006M, 012W, 003D) in years; None for anything else."""
    years = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.2425}
    digits, per = (text[:-1], years[text[-1]]) if text[-1:] in years else (text, 1.0)
    try:
        number = float(digits) / per
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _band(bands: Sequence[float], number: float | None) -> int:
    """The place of the band that a number falls into, its lower end included; -1 for no number."""
    return -1 if number is None else bisect_right(bands, number)


def _band_names(bands: Sequence[float]) -> tuple[str, ...]:
    middle = [f"{low:g} to below {high:g}" for low, high in pairwise(bands)]
    return (f"below {bands[0]:g}", *middle, f"{bands[-1]:g} and above")
