"""What one unit of work makes of one batch, held to what its analysis declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .analysis import Analysis
from .batch import Batch
from .conclusion import Conclusion
from .errors import PluginError, nearest
from .ledger import Found
from .plan import Unit
from .statistics.rows import Values
from .trials import NOT_CHOSEN


def measure(
    unit: Unit, batch: Batch, numbers: list[int], tallies: Mapping[str, Any], found: Found, gallery: frozenset[tuple[int, int]]
) -> None:
    """Add to `found` what a unit makes of a batch; `numbers` are the samples' numbers in the plan."""
    if unit.analysis is None:
        _keep_maps(unit, batch, numbers, found, gallery)
        return
    analysis = unit.analysis
    every, gaps = batch.cases(analysis.needs)
    add_gaps(found, gaps, numbers)
    cases = _chosen(unit, batch, numbers, every, found)
    if not cases:
        return
    if analysis.concludes:
        keep_embeddings(batch, numbers, sorted({image for image, _ in cases}), found)
        return
    with files_of_its_own():
        measured = analysis.measure(batch.view(analysis.needs, cases, unit.attribution, tallies, unit.trials))
    columns = checked(analysis, measured, len(cases))
    for metric, rows in crossed(analysis, measured, len(cases)).items():
        whose = ((numbers[image], target) for image, target in cases)
        found.elsewhere.setdefault(metric, []).extend((*who, row) for who, row in zip(whose, rows, strict=True) if len(row))
    samples = np.array([numbers[image] for image, _ in cases], np.int64)
    targets = np.array([target for _, target in cases], np.int64)
    for metric, values in columns.items():
        before = found.values.get(metric)
        if before is None:
            found.values[metric] = Values(samples, targets, values)
        else:
            sample, target = np.concatenate((before.sample, samples)), np.concatenate((before.target, targets))
            found.values[metric] = Values(sample, target, np.concatenate((before.value, values)))


def _chosen(unit: Unit, batch: Batch, numbers: list[int], cases: list[tuple[int, int]], found: Found) -> list[tuple[int, int]]:
    """The cases of the images that the unit tries something on; the others are told as gaps."""
    if unit.trials is None:
        return cases
    kept = [case for case in cases if batch.samples[case[0]].id in unit.trials]
    left = [(image, target, NOT_CHOSEN) for image, target in cases if batch.samples[image].id not in unit.trials]
    add_gaps(found, left, numbers)
    return kept


@contextmanager
def files_of_its_own() -> Iterator[None]:
    """A file that a plugin cannot have is the plugin's failure; only what the run folder refuses ends the run."""
    try:
        yield
    except OSError as error:
        raise PluginError(f"{type(error).__name__}: {error}") from error


def keep_embeddings(batch: Batch, numbers: list[int], rows: list[int], found: Found) -> None:
    """Keep the embeddings of these images of the batch for the conclusion, and the weights that read them."""
    layer = batch.last_layer
    assert layer is not None
    found.vectors.append(([numbers[row] for row in rows], batch.embeddings[rows].numpy()))
    found.last_layer = np.concatenate((layer.weight.numpy(), layer.bias.numpy()[:, None]), 1)


def add_gaps(found: Found, gaps: list[tuple[int, int, str]], numbers: list[int]) -> None:
    """Add to `found` the cases that a unit could not use, by reason."""
    for image, target, why in gaps:
        found.gaps.setdefault(why, []).append((numbers[image], target))


def checked(analysis: Analysis, values: Mapping[str, Any], count: int) -> dict[str, npt.NDArray[np.float64]]:
    """The measured columns as float64 [count], NaN where undefined; PluginError where a promise is broken.

    What is measured per box of other images is left to `crossed`.
    """
    declared = {metric.name: metric for metric in analysis.metrics}
    _check_names(analysis, values)
    forgotten = [m.name for m in analysis.metrics if m.per_case and m.statistic == "mean" and m.name not in values]
    if forgotten:
        raise PluginError(f"{analysis.name} declares {', '.join(forgotten)} but did not measure it")
    per_case = {name: column for name, column in values.items() if declared[name].statistic != "elsewhere"}
    return {name: _column(analysis, declared[name], column, count) for name, column in per_case.items()}


def crossed(analysis: Analysis, values: Mapping[str, Any], count: int) -> dict[str, list[npt.NDArray[np.float64]]]:
    """What was measured per box of other images: a row of numbers for each of `count` cases, NaN where undefined."""
    found = {}
    for metric in analysis.metrics:
        if metric.statistic == "elsewhere" and metric.name in values:
            rows = [np.asarray(row, np.float64) for row in values[metric.name]]
            if len(rows) != count or any(row.ndim != 1 for row in rows):
                raise PluginError(f"{analysis.name} gave {len(rows)} rows of {metric.name} for {count} cases")
            found[metric.name] = [_column(analysis, metric, row, len(row)) for row in rows]
    return found


def checked_summary(analysis: Analysis, values: Mapping[str, float]) -> dict[str, float | None]:
    """What an analysis says of the model as a whole: declared names, numbers within their bounds, None where undefined."""
    declared = {metric.name: metric for metric in analysis.metrics}
    _check_names(analysis, values)
    found = {name: _column(analysis, declared[name], [value], 1)[0] for name, value in values.items()}
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


def checked_conclusion(analysis: Analysis, said: Conclusion) -> Conclusion:
    """What an analysis says of all cases together: declared names, numbers within their bounds or a reason why not."""
    declared = {metric.name: metric for metric in analysis.metrics}
    _check_names(analysis, {number.metric: None for number in said.numbers})
    for number in said.numbers:
        if (number.value is None) != bool(number.missing):
            raise PluginError(f"{analysis.name}: {number.metric} needs a value or a reason why it is missing, and not both")
        if number.value is not None and np.isnan(_column(analysis, declared[number.metric], [number.value], 1)[0]):
            raise PluginError(
                f"{analysis.name} concluded {number.metric} = {number.value}; a missing number has a reason instead"
            )
    return said


def _check_names(analysis: Analysis, values: Mapping[str, Any]) -> None:
    declared = [metric.name for metric in analysis.metrics]
    for name in values:
        if name not in declared:
            raise PluginError(f"{analysis.name} measured {name!r}, which it does not declare{nearest(name, declared)}")


def _column(analysis: Analysis, metric: Any, column: Any, count: int) -> npt.NDArray[np.float64]:
    values = column.detach().double().cpu().numpy() if isinstance(column, Tensor) else np.asarray(column, np.float64)
    if values.shape != (count,):
        raise PluginError(f"{analysis.name} gave {list(values.shape)} values of {metric.name} for {count} cases")
    low = -np.inf if metric.low is None else metric.low - 1e-6
    high = np.inf if metric.high is None else metric.high + 1e-6
    for wrong, which, bound in ((values < low, "below", metric.low), (values > high, "above", metric.high)):
        if wrong.any():
            raise PluginError(f"{analysis.name} gave {metric.name} = {values[wrong][0]:.6g}, {which} its bound {bound:g}")
    return np.where(np.isfinite(values), values, np.nan)


def _keep_maps(unit: Unit, batch: Batch, numbers: list[int], found: Found, gallery: frozenset[tuple[int, int]]) -> None:
    cases = [
        (image, target)
        for image, number in enumerate(numbers)
        for target in range(len(batch.classes))
        if (number, target) in gallery and image not in batch.skip
    ]
    if cases:
        view = batch.view(frozenset({"attribution"}), cases, unit.attribution)
        maps = view.maps.float().cpu().numpy()
        found.pictures += [(numbers[image], target, pixels) for (image, target), pixels in zip(cases, maps, strict=True)]
