"""After the measurement, a closer look: maps of a few cases that could not be known before, chosen by the rules of `chosen`.

False positives and true negatives have no box, so nothing was asked of their maps when the images went through the networks. A
bounded number of them, and the cases that the report shows, go through once more: no image is read, and one forward pass serves
every class and every attribution. What is found is kept in the ledger like everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import accounts, chosen, levels, outcomes, passes
from .attribution import Attribution
from .batch import Batch
from .chosen import Shown
from .evidence_maps import unit_range, upsample
from .identity import digest
from .ledger import Found, Ledger
from .network import Network
from .outcomes import Told
from .pixels import PixelStore
from .placement import effective_support, placed
from .plan import Plan, PlannedModel
from .planned_units import component_identity
from .statistics.by_outcome import ABSTAINED, USUAL_PLACE, elsewhere
from .statistics.rows import Cohort, Values

log = logging.getLogger("auditor")

Array = npt.NDArray[np.float64]
Case = tuple[int, int]
NUMBERS = ("map_mass", "effective_support", ABSTAINED, USUAL_PLACE)


class Look(NamedTuple):
    """What is still to be learned of one network under one attribution: cases to measure, and cases to keep the map of."""

    key: str
    told: Told
    attribution: Attribution
    measured: Sequence[Case]
    shown: Sequence[Shown]

    @property
    def kept(self) -> set[Case]:
        """The cases whose map the report shows."""
        return {(case.sample, case.target) for case in self.shown}


def looks(plan: Plan, ledger: Ledger, told: Sequence[Told], used: npt.NDArray[np.bool_]) -> list[Look]:
    """One look per network and attribution; none where a network cannot be looked into or nothing is to be seen."""
    found = []
    for network in (network for network in told if network.model.looked_into):
        measured = chosen.for_numbers(plan, network)
        shown = chosen.for_the_report(plan, network, _cbl(plan, ledger, network.model, used))
        cases = measured, [(case.sample, case.target) for case in shown]
        for attribution in plan.attributions if any(cases) else ():
            about = plan.data_key, plan.config.batch, plan.config.seed, plan.device
            what = component_identity("attributions", attribution, plan.registry)
            key = digest("closer look", network.model.id, network.model.identity, about, what, cases)
            found.append(Look(key, network, attribution, measured, shown))
    return found


def _cbl(plan: Plan, ledger: Ledger, model: PlannedModel, used: npt.NDArray[np.bool_]) -> Values | None:
    """How the maps of the first attribution agree with their boxes, where an analysis measured it."""
    failed = ledger.failures()
    for unit in plan.units_of(model.id):
        if unit.analysis is not None and unit.attribution in plan.attributions[:1] and unit.key not in failed:
            values = levels.of_used(ledger.values(unit.key), used)
            if "cbl" in values:
                return values["cbl"]
    return None


def run(plan: Plan, ledger: Ledger, store: PixelStore) -> None:
    """Look at what the ledger does not know yet; an attribution that fails here is written down and stops nothing."""
    if outcomes.declared(plan) is None:
        return
    account = accounts.taken(plan, ledger)
    used = account.used(len(plan.samples))
    cohort = accounts.cohort(plan, used)
    told = [network for network, _ in outcomes.tell(plan, ledger, used, cohort, accounts.failures(plan, ledger, account))]
    for network in told:
        todo = [
            (look, owed)
            for look in looks(plan, ledger, [network], used)
            if (owed := _chunks(plan, look) - ledger.done(look.key))
        ]
        if todo:
            _look(plan, cohort, ledger, store, todo)


def _chunks(plan: Plan, look: Look) -> set[int]:
    return {sample // plan.chunk for sample, _ in {*look.measured, *look.kept}}


def _look(plan: Plan, cohort: Cohort, ledger: Ledger, store: PixelStore, todo: Sequence[tuple[Look, set[int]]]) -> None:
    """All attributions of one network, chunk by chunk."""
    model = todo[0][0].told.model
    network = passes.open_network(plan, model, store)
    failed: set[str] = set()
    for chunk in sorted(set().union(*(owed for _, owed in todo))):
        due = [look for look, owed in todo if chunk in owed and look.key not in failed]
        found = {look.key: Found({}, {}, []) for look in due}
        for batch, numbers in _batches(plan, model, network, store, chunk, due):
            for look in (look for look in due if look.key not in failed):
                try:
                    _measure(look, batch, numbers, cohort, found[look.key])
                except Exception as error:  # an attribution is a stranger's code
                    failed.add(look.key)
                    log.error("%s failed for %s", look.attribution.name, model.id, exc_info=error)
                    ledger.fail(look.key, f"{type(error).__name__}: {error}")
        ledger.write(chunk, {key: part for key, part in found.items() if key not in failed}, {})


def _batches(
    plan: Plan, model: PlannedModel, network: Network, store: PixelStore, chunk: int, due: Sequence[Look]
) -> Iterator[passes.Looked]:
    wanted = {sample for look in due for sample, _ in {*look.measured, *look.kept}}
    pixels = store.get(model.loader.preprocessing, chunk)
    places = [place for place, number in enumerate(pixels.rows.tolist()) if number in wanted]
    for start in range(0, len(places), plan.config.batch):
        yield passes.seen(plan, model, network, pixels, places[start : start + plan.config.batch])


def _measure(look: Look, batch: Batch, numbers: list[int], cohort: Cohort, found: Found) -> None:
    place = {number: image for image, number in enumerate(numbers)}
    measured, kept = set(look.measured), look.kept
    cases = sorted((sample, target) for sample, target in measured | kept if sample in place)
    if not cases:
        return
    view = batch.view(frozenset({"attribution"}), [(place[sample], target) for sample, target in cases], look.attribution)
    maps = view.maps.cpu().numpy()
    rows = [
        (case, numbers_of(raw.astype(np.float64), batch, place[case[0]], case, cohort))
        for case, raw in zip(cases, maps, strict=True)
        if case in measured
    ]
    for name in NUMBERS if rows else ():
        sample, target = (np.array([case[part] for case, _ in rows], np.int64) for part in (0, 1))
        values = Values(sample, target, np.array([row[name] for _, row in rows], np.float64))
        before = found.values.get(name)
        found.values[name] = values if before is None else _joined(before, values)
    found.pictures += [(*case, raw.astype(np.float32)) for case, raw in zip(cases, maps, strict=True) if case in kept]


def _joined(first: Values, second: Values) -> Values:
    return Values(
        *(np.concatenate([getattr(part, name) for part in (first, second)]) for name in ("sample", "target", "value"))
    )


def numbers_of(raw: Array, batch: Batch, image: int, case: Case, cohort: Cohort) -> dict[str, float]:
    """What can be said of a map [h, w] without a box of its own; NaN where it is not finite or nothing is known."""
    if not np.isfinite(raw).all():
        return {**dict.fromkeys(NUMBERS, float("nan")), ABSTAINED: 1.0}
    scaled = unit_range(np.maximum(raw, 0))
    pixels = upsample(scaled, *batch.size)
    everywhere = batch.elsewhere(image, case[1])
    return {
        "map_mass": float(pixels.mean()),
        "effective_support": effective_support(pixels),
        ABSTAINED: float(not scaled.any()),
        USUAL_PLACE: elsewhere(placed(pixels, everywhere).cbl, *case, cohort) if everywhere.length else float("nan"),
    }
