"""What was measured on the training images, to stand beside what was measured on the audited ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import accounts, levels
from .accounts import Account
from .findings import Finding, Gap
from .ledger import Ledger, concluded_key, of_training
from .plan import Plan, Unit, label
from .statistics.between_splits import NO_TRAINING
from .statistics.rows import Values


@dataclass(frozen=True)
class TrainingSplit:
    """The training images as the audit used them; `plan` is None where audit.yaml names none.

    `left_out` are the samples that no network's numbers may rest on: of the audited images, and of the training images.
    """

    ledger: Ledger
    plan: Plan | None = None
    account: Account = field(default_factory=lambda: Account([], {}))
    failures: Mapping[str, str] = field(default_factory=dict)
    audited_patients: frozenset[str] = frozenset()
    left_out: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which samples can be used, by every model."""
        used = np.ones(len(self.plan.samples) if self.plan else 0, bool)
        used[[item.sample for item in self.account.quarantined]] = False
        return used

    @property
    def shared_patients(self) -> frozenset[str]:
        """Patients of whom an image is audited and another is among the training images."""
        return self.audited_patients & {sample.patient for sample in (self.plan.samples if self.plan else ())}

    def unit(self, audited: Unit) -> Unit | str:
        """The same work on the training images, or why there is nothing of it."""
        if self.plan is None:
            return NO_TRAINING
        about = (audited.model, audited.name, label(audited.attribution))
        mine = [u for u in self.plan.units if (u.model, u.name, label(u.attribution)) == about]
        if not mine:
            return f"{audited.name} does not look at training images"
        failed = self.failures.get(mine[0].key)
        return mine[0] if failed is None else f"the training images could not be measured: {failed}"

    def key(self, audited: Unit) -> str:
        """What the values of a unit are kept under: its own key, or that of what was concluded from both splits."""
        if audited.analysis is None or not audited.analysis.concludes:
            return audited.key
        mine = self.unit(audited)
        return concluded_key(audited.key, mine.key if isinstance(mine, Unit) else None, self.left_out)

    def values(self, audited: Unit) -> dict[str, Values] | str:
        """{metric: its values on the training images} of the same work, or why there are none."""
        mine = self.unit(audited)
        if isinstance(mine, str):
            return mine
        concludes = audited.analysis is not None and audited.analysis.concludes
        key = of_training(self.key(audited)) if concludes else mine.key
        return levels.of_used(self.ledger.values(key), self.used)

    def accounting(self) -> dict[str, Any]:
        """{"training_images": listed = used + quarantined}, or nothing where there are none."""
        if self.plan is None:
            return {}
        plan, used = self.plan, self.used
        kept = [sample for sample, fine in zip(plan.samples, used, strict=True) if fine]
        lost = [
            {"id": plan.samples[item.sample].id, "reason": item.reason, "detail": item.detail}
            for item in self.account.quarantined
        ]
        return {
            "training_images": {
                "listed": len(plan.samples), "used": len(kept), "available": plan.available, "quarantined": lost,
                "patients": len({sample.patient for sample in kept}), "audited_too": len(self.shared_patients), "failed": dict(self.account.failed),
                "positive": {name: sum(s.labels[k] == 1 for s in kept) for k, name in enumerate(plan.classes)},
            }
        }  # fmt: skip

    def gaps(self) -> list[Gap]:
        """What failed on the training images only."""
        return [
            Gap(
                unit.model,
                unit.name,
                label(unit.attribution),
                None,
                f"failed on the training images: {self.failures[unit.key]}",
                0,
            )
            for unit in (self.plan.units if self.plan else ())
            if unit.key in self.failures and unit.model not in self.account.failed
        ]

    def findings(self) -> list[Finding]:
        """Alarms where patients are on both sides, too many images are lost, or a network could not be measured on them."""
        if self.plan is None:
            return []
        shared = self.shared_patients
        found = [
            Finding("alarm", f"The model {model} could not be measured on the training images: {why}.")
            for model, why in self.account.failed.items()
        ]
        lost = len(self.account.quarantined)
        if lost > self.plan.config.max_quarantine * len(self.plan.samples):
            text = f"{lost:,} of {len(self.plan.samples):,} training images could not be used, which is more than audit.yaml allows."
            found.append(Finding("alarm", text))
        if shared:
            text = (
                f"{len(shared):,} of the {len(self.audited_patients):,} audited patients are among the training images that audit.yaml "
                "names: what was learnt by heart and what was understood cannot be told apart on them."
            )
            found.append(Finding("alarm", text))
        return found


def of(plan: Plan, ledger: Ledger) -> TrainingSplit:
    """What the ledger holds of the training images."""
    audited = tuple(item.sample for item in accounts.taken(plan, ledger).quarantined)
    if plan.training is None:
        return TrainingSplit(ledger, left_out=(audited, ()))
    account = accounts.taken(plan.training, ledger)
    failures = accounts.failures(plan.training, ledger, account)
    patients = frozenset(sample.patient for sample in plan.samples)
    left_out = (audited, tuple(item.sample for item in account.quarantined))
    return TrainingSplit(ledger, plan.training, account, failures, patients, left_out)
