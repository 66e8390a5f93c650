"""What each network's maps show where it is right and where it is wrong: operating points, numbers by outcome, chosen cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import closer_look, levels, outcomes
from .boxes import within
from .chosen import FALSE_POSITIVE, TRUE_NEGATIVE, Shown
from .closer_look import NUMBERS, Look
from .evidence import Finding, Gap, Picture
from .ledger import Ledger
from .outcomes import Told
from .pixels import PixelStore
from .plan import Plan, Unit, label
from .statistics import by_outcome as statistics
from .statistics import estimates
from .statistics.by_outcome import ABSTAINED, CONFIDENT, OFF_TARGET, USUAL_PLACE, Found, OutcomeRow
from .statistics.calibrated import sigmoid
from .statistics.columns import Columns
from .statistics.estimates import handles
from .statistics.influence import Integers
from .statistics.operating import OUTCOMES, Called, OperatingPoint
from .statistics.rows import MACRO, Cohort, Values
from .wording import how_many, rounded, spoken

TOLD = ("kappa_loc", "cbl", "pointing_game", "map_mass", "effective_support")
"""Metrics of the maps of boxed positives that are told for found and missed apart."""
BOUNDS: dict[str, tuple[float | None, float | None]] = {"kappa_loc": (None, 1), "cbl": (None, 1), USUAL_PLACE: (None, 1)}
MUCH, ENOUGH = 0.2, 20
"""The share of confident true positives of a class off target that the interval must exceed for a caution, and of how many cases: our
choice, no standard."""


@dataclass
class ByOutcome:
    """Everything about outcomes that goes into the evidence."""

    points: list[OperatingPoint] = field(default_factory=list)
    rows: list[OutcomeRow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def gather(
    plan: Plan, ledger: Ledger, store: PixelStore | None, used: npt.NDArray[np.bool_], cohort: Cohort, failed: Mapping[str, str]
) -> ByOutcome:
    """All of it from the ledger, pictures where there is a store of pixels; nothing where audit.yaml lists no analysis that measures a sensitivity."""
    found, known = ByOutcome(), ledger.failures()
    for told, points in outcomes.tell(plan, ledger, used, cohort, failed):
        found.points += points
        for unit in plan.units_of(told.model.id):
            if unit.attribution is not None and unit.analysis is not None and unit.key not in failed:
                found.rows += _of_boxed(plan, ledger, unit, told, used, cohort)
        looks = closer_look.looks(plan, ledger, [told], used)
        found.gaps += [
            Gap(told.model.id, "outcomes", label(look.attribution), None, f"failed: {known[look.key]}", 0)
            for look in looks
            if look.key in known
        ]
        standing = [look for look in looks if look.key not in known]
        for look in standing:
            found.rows += _of_unboxed(ledger, look, cohort)
        if store is not None:
            found.pictures += _pictures(plan, ledger, store, standing)
    return found


def cautions(rows: Sequence[OutcomeRow]) -> list[Finding]:
    """Findings that networks are sure of while their maps lie off the box, where the data show it to be more than a few."""
    found: dict[tuple[str, str], list[OutcomeRow]] = {}
    for row in rows:
        sure = row.metric == OFF_TARGET and row.class_name != MACRO and row.n >= ENOUGH
        if sure and row.low is not None and row.low > MUCH:
            found.setdefault((row.class_name, row.attribution), []).append(row)
    return [Finding("caution", _sure(*about, of, rows), OFF_TARGET, class_name=about[0]) for about, of in found.items()]


def _sure(name: str, attribution: str, found: Sequence[OutcomeRow], rows: Sequence[OutcomeRow]) -> str:
    networks = {row.model for row in rows if row.metric == OFF_TARGET and row.attribution == attribution}
    shares = sorted(100 * row.value for row in found if row.value is not None)
    span = f"{shares[0]:.0f} %" if len(shares) == 1 else f"{shares[0]:.0f} % to {shares[-1]:.0f} %"
    return (
        f"Confident and off target: {len(found)} of {how_many(len(networks), 'network')}, where they are right about {name} and surest of it, have in {span} of "
        f"the boxed cases a map ({spoken(attribution)}) with no more evidence in the reference box than a box of that size would hold anywhere."
    )


def _of_boxed(
    plan: Plan, ledger: Ledger, unit: Unit, told: Told, used: npt.NDArray[np.bool_], cohort: Cohort
) -> Iterator[OutcomeRow]:
    """Found and missed positives with a box: how their maps agree with it."""
    values = levels.of_used(ledger.values(unit.key), used)
    if "cbl" not in values or "empty_map" not in values or unit.analysis is None:
        return
    network = Columns(values, ledger.elsewhere(unit.key))
    crossed = {case: row for case, row in network.elsewhere.get("cbl_elsewhere", {}).items() if used[case[0]]}
    more = {
        ABSTAINED: statistics.abstained(values["empty_map"]),
        USUAL_PLACE: statistics.usual_place(crossed, cohort),
        OFF_TARGET: statistics.off_target(values["cbl"]),
    }
    measured = [metric for metric in unit.analysis.metrics if not handles(metric) or estimates.measured(metric, network)]
    metrics = {metric.name: metric for metric in measured if metric.name in TOLD}
    about = (label(unit.attribution), told)
    for outcome in (0, 1):
        cases = {number: told.of(number, outcome) for number in told.called}
        for name, metric in metrics.items():
            numbers = {k: statistics.of_metric(metric, network, cohort, k, mine) for k, mine in cases.items()}
            yield from _rows(name, about, OUTCOMES[outcome], numbers, cohort)
        for name in (ABSTAINED, USUAL_PLACE):
            yield from _rows(name, about, OUTCOMES[outcome], _means(name, more[name], cohort, cases), cohort)
    cases = {number: _confident(told, number) for number in told.called}
    yield from _rows(OFF_TARGET, about, CONFIDENT, _means(OFF_TARGET, more[OFF_TARGET], cohort, cases), cohort)


def _confident(told: Told, number: int) -> Integers:
    found = told.called[number]
    return told.samples[number][statistics.confident(found)] if isinstance(found, Called) else told.of(number, 0)


def _of_unboxed(ledger: Ledger, look: Look, cohort: Cohort) -> Iterator[OutcomeRow]:
    """False positives and true negatives, which have no box."""
    values = ledger.values(look.key)
    for outcome in (FALSE_POSITIVE, TRUE_NEGATIVE):
        cases = {number: look.told.of(number, outcome) for number in look.told.called}
        for name in NUMBERS if values else ():
            numbers = _means(name, values[name], cohort, cases)
            yield from _rows(name, (label(look.attribution), look.told), OUTCOMES[outcome], numbers, cohort)


def _means(name: str, column: Values, cohort: Cohort, cases: Mapping[int, Integers]) -> Found:
    yes_or_no = name in (ABSTAINED, OFF_TARGET)
    return {number: statistics.mean(column, cohort, number, mine, yes_or_no) for number, mine in cases.items()}


def _rows(name: str, about: tuple[Any, Told], outcome: str, numbers: Found, cohort: Cohort) -> Iterator[OutcomeRow]:
    attribution, told = about
    for number, found in told.called.items():  # without an operating point there is no outcome
        if isinstance(found, str):
            numbers[number] = found
    for row in statistics.rows(name, numbers, cohort, *BOUNDS.get(name, (0, 1))):
        yield OutcomeRow(
            attribution=attribution, model=told.model.id, strategy=told.model.loader.strategy, outcome=outcome, **row
        )


def _pictures(plan: Plan, ledger: Ledger, store: PixelStore, looks: Sequence[Look]) -> Iterator[Picture]:
    """The chosen cases of one network, each with the network's own map under every attribution."""
    kept = [(str(label(look.attribution)), ledger.pictures(look.key)) for look in looks]
    for case in looks[0].shown if looks else ():
        maps = {method: {case.model: raw[case.sample, case.target]} for method, raw in kept}
        sample, name = plan.samples[case.sample], plan.classes[case.target]
        pixels = store.get(looks[0].told.model.loader.preprocessing, case.sample // plan.chunk)
        (row,) = np.nonzero(pixels.rows == case.sample)[0]
        boxes = [within(box, pixels.frames[row]) for box in sample.boxes if box.label == name]
        yield Picture(
            case=f"case {case.sample + 1}",
            class_name=name,
            boxes=tuple((b.left, b.top, b.right, b.bottom) for b in boxes if b is not None),
            pixels=(pixels.stored[row].mean(0) / 257).round().astype(np.uint8),
            maps=maps,
            kind=case.kind,
            words=_words(case),
        )


def _words(case: Shown) -> str:
    """The score and the threshold as probabilities."""
    score, limit = sigmoid(np.array([case.threshold + case.margin, case.threshold]))
    return f"probability {rounded(score)}, threshold {rounded(limit)}"
