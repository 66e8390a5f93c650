"""Which samples and which units of work count: what every number of an audit is made from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .ledger import Ledger, Quarantine
from .origin import counted
from .plan import Plan
from .statistics.rows import Cohort, frequency_groups, rarity
from .wording import how_many


class Account(NamedTuple):
    """listed = used + quarantined, and which models gave too few answers to be used."""

    quarantined: list[Quarantine]
    failed: dict[str, str]

    def used(self, listed: int) -> npt.NDArray[np.bool_]:
        """Which of the `listed` samples are used [S]."""
        kept = np.ones(listed, bool)
        kept[[item.sample for item in self.quarantined]] = False
        return kept


def taken(plan: Plan, ledger: Ledger) -> Account:
    """Quarantine every sample without pixels or without finite logits of some model, unless that model is to blame."""
    items: dict[int, Quarantine] = {}
    for model in plan.models:
        if model.looked_into:
            items |= {item.sample: item for item in ledger.quarantined(plan.scopes(model)[0])}
    failed: dict[str, str] = {}
    answers: dict[int, Quarantine] = {}
    for model in plan.models:
        found = [item for item in ledger.quarantined(plan.scopes(model)[1]) if item.sample not in items]
        if found and len(found) > plan.config.max_quarantine * len(plan.samples):
            failed[model.id] = f"{found[0].reason}: no usable answer for {len(found)} of {how_many(len(plan.samples), 'image')}"
        else:
            answers |= {item.sample: item for item in found}
    items |= answers
    return Account([items[number] for number in sorted(items)], failed)


def failures(plan: Plan, ledger: Ledger, account: Account) -> dict[str, str]:
    """{unit: why} of the units that failed, those of failed models among them."""
    known = ledger.failures()
    return {
        unit.key: account.failed.get(unit.model) or known[unit.key]
        for unit in plan.units
        if unit.model in account.failed or unit.key in known
    }


def cohort(plan: Plan, used: npt.NDArray[np.bool_]) -> Cohort:
    """What all statistics share: patients and labels of every sample listed, and the boxes of those used."""
    codes = {patient: number for number, patient in enumerate(sorted({sample.patient for sample in plan.samples}))}
    trained_on = [sample.patient for sample in plan.training.samples] if plan.training else []
    for patient in sorted(set(trained_on) - set(codes)):
        codes[patient] = len(codes)
    labels = [[-1 if label is None else label for label in sample.labels] for sample in plan.samples]
    return Cohort(
        plan.classes,
        np.array([codes[s.patient] for s in plan.samples], np.int64),
        np.array(labels, np.int8),
        groups=frequency_groups(plan.classes, plan.dataset.train_counts()),
        rarity=rarity(plan.classes, plan.dataset.train_counts() or counted(plan)),
        training_patients=np.array([codes[patient] for patient in trained_on], np.int64),
        boxed=tuple(tuple(number if used[number] else -1 for number in of) for of in plan.elsewhere.cases),
    )
