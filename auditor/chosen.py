"""Which cases are looked at again after the measurement: by written rules, never by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .outcomes import Told
from .plan import Plan, PlannedModel
from .statistics.by_outcome import confident
from .statistics.influence import Integers
from .statistics.operating import Called
from .statistics.rows import Values

FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_NEGATIVE = 1, 2, 3
PER_OUTCOME = 40
"""Maps of false positives, and of true negatives, that are made per network and class: the images with the lowest hash."""
SHOWN = 2
"""Cases of a kind that the report shows per network."""
KINDS = {
    "false positive": "false positives furthest above the threshold",
    "missed": "boxed positives furthest below the threshold",
    "off target": "confident true positives with CBL of 0 or less, furthest above the threshold",
}
RULE = (
    f"Of the first network of each strategy and architecture, at most {SHOWN} cases of a kind, at most one per finding and one per patient: "
    + "; ".join(words for words in KINDS.values())
    + ". Distances are in log-odds; ties go to the lower hash of the image's name. A true positive is confident if its score is at least the "
    "median of the class's true positives. Nobody picked a case."
)


class Shown(NamedTuple):
    """A case for the report: its kind, sample and class, the network, and how far its log-odds lie above the threshold."""

    kind: str
    model: str
    sample: int
    target: int
    threshold: float
    margin: float


def for_numbers(plan: Plan, told: Told) -> list[tuple[int, int]]:
    """(sample, class) of the false positives and true negatives whose maps are made.

    The hash is of the image alone, so that classes share images and few images serve them all.
    """
    found = []
    for number in told.called:
        for outcome in (FALSE_POSITIVE, TRUE_NEGATIVE):
            samples = sorted(told.of(number, outcome).tolist(), key=lambda sample: _hash(plan, sample))
            found += [(sample, number) for sample in samples[:PER_OUTCOME]]
    return sorted(found)


def for_the_report(plan: Plan, told: Told, cbl: Values | None) -> list[Shown]:
    """The cases of KINDS; those off target only where the maps were held against boxes (`cbl`)."""
    if not plan.config.report.images or told.model not in shown_networks(plan.models):
        return []
    wide = {(sample, target) for sample, target in _low(cbl)}
    candidates: dict[str, list[Shown]] = {kind: [] for kind in KINDS}
    for number, found in told.called.items():
        if isinstance(found, str):
            continue
        rows = {
            "false positive": np.flatnonzero(found.outcome == FALSE_POSITIVE),
            "missed": _kept(told, number, np.flatnonzero(found.outcome == FALSE_NEGATIVE), _boxed(plan)),
            "off target": _kept(told, number, confident(found), wide),
        }
        for kind, places in rows.items():
            candidates[kind] += [_shown(kind, told, number, found, place) for place in places.tolist()]
    return [case for cases in candidates.values() for case in _spread(plan, cases)]


def shown_networks(models: Sequence[PlannedModel]) -> list[PlannedModel]:
    """The first network of each strategy and architecture."""
    first: dict[tuple[str, str], PlannedModel] = {}
    for model in models:
        first.setdefault((model.loader.strategy, model.family), model)
    return list(first.values())


def _shown(kind: str, told: Told, number: int, found: Called, row: int) -> Shown:
    return Shown(kind, told.model.id, int(told.samples[number][row]), number, found.threshold, float(found.margin[row]))


def _kept(told: Told, number: int, rows: Integers, cases: Iterable[tuple[int, int]]) -> Integers:
    """The rows whose case is among these cases."""
    wanted = [sample for sample, target in cases if target == number]
    return rows[np.isin(told.samples[number][rows], wanted)]


def _boxed(plan: Plan) -> list[tuple[int, int]]:
    place = {name: number for number, name in enumerate(plan.classes)}
    return [(number, place[box.label]) for number, sample in enumerate(plan.samples) for box in sample.boxes]


def _low(cbl: Values | None) -> Iterable[tuple[int, int]]:
    if cbl is None:
        return ()
    low = cbl.value <= 0
    return zip(cbl.sample[low].tolist(), cbl.target[low].tolist(), strict=True)


def _spread(plan: Plan, cases: Sequence[Shown]) -> list[Shown]:
    """The furthest from the threshold first, a class once and a patient once."""
    kept: list[Shown] = []
    for case in sorted(cases, key=lambda case: (-abs(case.margin), _hash(plan, case.sample), case.target)):
        patient = plan.samples[case.sample].patient
        if len(kept) < SHOWN and all(
            case.target != other.target and patient != plan.samples[other.sample].patient for other in kept
        ):
            kept.append(case)
    return kept


def _hash(plan: Plan, sample: int) -> bytes:
    return hashlib.sha256(f"{plan.config.seed}|chosen|{plan.samples[sample].id}".encode()).digest()
