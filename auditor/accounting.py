"""Which images of a split can be used, by every model or by none, and which units of work came to nothing."""

from __future__ import annotations

from typing import NamedTuple

from .ledger import Ledger, Quarantine
from .plan import Plan


class Accounting(NamedTuple):
    """listed = used + quarantined, and which models gave too few answers to be used."""

    quarantined: list[Quarantine]
    failed: dict[str, str]


def accounted(plan: Plan, ledger: Ledger) -> Accounting:
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
            failed[model.id] = f"{found[0].reason}: no usable answer for {len(found)} of {len(plan.samples)} images"
        else:
            answers |= {item.sample: item for item in found}
    items |= answers
    return Accounting([items[number] for number in sorted(items)], failed)


def failures_of(plan: Plan, ledger: Ledger, account: Accounting) -> dict[str, str]:
    """{unit: why nothing of it can be used}."""
    known = ledger.failures()
    return {
        unit.key: account.failed.get(unit.model) or known[unit.key]
        for unit in plan.units
        if unit.model in account.failed or unit.key in known
    }
