"""The controls as rows of the evidence: what the ledger holds, judged check by check, or why it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import sanity_rules
from .control_pass import UNDRAWN
from .controls import Due, due, gauge
from .ledger import Ledger
from .levels import of_used
from .plan import Plan, PlannedModel, Unit, label
from .sanity import Check, Control, Outcome
from .sanity_rules import Ruling
from .statistics.columns import Columns
from .statistics.estimates import paired
from .statistics.influence import Influence
from .statistics.rows import Cohort

CHECKS: tuple[Check, ...] = ("model_randomisation", "wrong_class", "batch_independence", "repeat", "constant_input")
SCORES_ONLY = "the model gives scores only, so there is no map."
PER_PIXEL = "the network answers for every pixel, so there is no map of an image's answer."
NO_BOX = "no image has a box."
NO_GAUGE = "no analysis of this audit tells how well a map is localised; list alignment."
ONE_CLASS = "the data have one class, and no other to exchange it for."
NOT_REPEATED = "its maps differ from call to call, so what else moves them cannot be told."
NOTHING = "nothing was measured."


@dataclass(frozen=True)
class Told:
    """What is judged from: the plan, what was measured, which images count, and which units of work failed."""

    plan: Plan
    ledger: Ledger
    used: npt.NDArray[np.bool_]
    cohort: Cohort
    failures: Mapping[str, str]

    def rows(self) -> Iterator[Control]:
        """A row per network, attribution and check; none where audit.yaml turns the controls off."""
        for model in self.plan.models if self.plan.config.controls else ():
            looks = due(self.plan, model)
            for number, attribution in enumerate(self.plan.attributions):
                about = (model.id, model.loader.strategy, model.family, str(label(attribution)))
                found = self._look(model, looks[number]) if looks else self._none(model)
                for check in CHECKS:
                    ruling = found[check]
                    yield Control(*about, check, ruling.outcome, ruling.says, ruling.numbers, ruling.n)

    def _none(self, model: PlannedModel) -> dict[Check, Ruling]:
        if model.explained:
            return dict.fromkeys(CHECKS, Ruling("not estimable", NO_BOX))
        return dict.fromkeys(CHECKS, Ruling("not applicable", PER_PIXEL if model.looked_into else SCORES_ONLY))

    def _look(self, model: PlannedModel, item: Due) -> dict[Check, Ruling]:
        mine = [unit for unit in self.plan.units_of(model.id) if unit.attribution is item.attribution]
        if lost := [unit.name for unit in mine if unit.key in self.failures]:
            return dict.fromkeys(CHECKS, Ruling("not estimable", f"{lost[0]} failed with it, see there."))
        return {
            "model_randomisation": self._model_randomisation(item, mine),
            "wrong_class": self._wrong_class(item, mine),
            **self._probes(item),
        }

    def _model_randomisation(self, item: Due, mine: list[Unit]) -> Ruling:
        if item.untrained is None:
            return Ruling("not applicable", NO_GAUGE)
        if broken := self._broken(item.untrained):
            return broken
        alike = self.ledger.summary(item.probes["model_randomisation"].key).get("rank_correlation")
        trained, untrained = self._pair(mine, item.untrained)
        return sanity_rules.model_randomisation(trained, untrained, alike, self._margin())

    def _wrong_class(self, item: Due, mine: list[Unit]) -> Ruling:
        if item.another_class is None:
            return Ruling("not applicable", ONE_CLASS if gauge(self.plan) else NO_GAUGE)
        if broken := self._broken(item.another_class):
            return broken
        return sanity_rules.wrong_class(*self._pair(mine, item.another_class), self._margin())

    def _probes(self, item: Due) -> dict[Check, Ruling]:
        """The checks on one batch; where maps differ from call to call, what else moves them cannot be told."""
        found = {check: self._probe(item, check) for check in CHECKS[2:]}
        if found["repeat"].outcome == "failed":
            moved: list[tuple[Check, Outcome]] = [("batch_independence", "failed"), ("constant_input", "passed")]
            for check, outcome in moved:
                if found[check].outcome == outcome and found[check].numbers:
                    found[check] = found[check]._replace(outcome="inconclusive", says=NOT_REPEATED)
        return found

    def _probe(self, item: Due, check: Check) -> Ruling:
        """The ruling of a check on one batch."""
        if broken := self._broken(item.probes[check]):
            return broken
        found = self.ledger.summary(item.probes[check].key)
        cases = int(found.get("cases") or 0)
        if cases and check == "batch_independence":
            return sanity_rules.batch_independence(found["difference"], self.plan.config.batch, cases)
        if check == "repeat" and (again := found.get("difference")) is not None:
            return sanity_rules.repeat(again, cases)
        if check == "constant_input" and (finite := found.get("finite")) is not None:
            return sanity_rules.constant_input(finite, found["differs"], cases)
        return Ruling("not estimable", NOTHING)

    def _broken(self, unit: Unit) -> Ruling | None:
        """A control that raised is one that failed, unless there was no untrained network to try it on."""
        why = self.ledger.failures().get(unit.key)
        if why is None:
            return None
        return Ruling("not estimable" if why.startswith(UNDRAWN) else "failed", f"{why.rstrip('.')}.")

    def _pair(self, mine: list[Unit], control: Unit) -> tuple[Influence | str, Influence | str]:
        """The mean over classes of the trained network and of its control, on the cases that both have."""
        found = gauge(self.plan)
        assert found is not None
        analysis, metric = found
        (unit,) = (unit for unit in mine if unit.analysis is analysis)
        sides = [self._columns(unit.key), self._columns(control.key)]
        if any(metric.of not in side.values for side in sides):
            return NOTHING.rstrip("."), NOTHING.rstrip(".")
        trained, other = paired(metric, sides, self.cohort)
        return trained, other

    def _columns(self, key: str) -> Columns:
        return Columns(of_used(self.ledger.values(key), self.used), self.ledger.elsewhere(key))

    def _margin(self) -> float:
        found = gauge(self.plan)
        return self.plan.config.claims.margins().get(found[1].name, 0.0) if found else 0.0
