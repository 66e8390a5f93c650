"""Level 2, first half: every number, interval and verdict once more from the case tables, by the code that made them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import AuditError, OutputError
from ..evidence import Evidence
from ..identity import digest
from ..ledger import Ledger
from ..plan import Plan
from ..planned_units import component_identity
from ..registry import Registry
from ..results import Known, gather
from ..statistics.rows import BASELINE
from ..wording import how_many
from . import compare, group_table, recorded
from .found import Difference, Level

DESCRIPTIONS = (
    "descriptions of the networks and how many parameters they have, the machine and the day, the self-test, who was trained on, what the "
    "data set says of its images, what changed since an earlier audit, and the authors' own card are taken as told"
)


def told_in(folder: Path) -> Evidence:
    """results.json of a run folder or a bundle; raises AuditError where it is not one."""
    place = folder / "results.json"
    try:
        return Evidence.from_json(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AuditError(f"{place}: is not there; allowed: a finished run, or a bundle that auditor share made") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AuditError(f"{place}: cannot be read as results ({type(error).__name__})") from error


def of_run(run: Path, told: Evidence, registry: Registry, level: Level) -> None:
    """Add to level 2 where results.json is not what follows from plan.json and ledger.db."""
    text = (run / "plan.json").read_text(encoding="utf-8") if (run / "plan.json").is_file() else ""
    if told.audit.get("plan") != digest(text):
        level.differences.append(Difference("results.json, audit, plan", "is not the digest of plan.json beside it"))
    if not (run / "ledger.db").is_file():
        raise AuditError(f"{run / 'ledger.db'}: is not there; allowed: a run folder as the run left it")
    parts = recorded.components(told, registry)
    plan = recorded.of_run(run, told, parts)
    ledger = run / "ledger.db"
    made = made_again(plan, ledger, told, Known(training=[model["training"] for model in told.models]), ledger)
    left_out = NotMade(plan, parts)
    found, agree = compare.differences(compare.rows(told), compare.rows(made), left_out=left_out)
    level.differences += [*found, *group_table.counted(told, made, [one["by"] for one in made.audit["subgroups"]])]
    level.said.append(f"{agree:,} numbers were made again from the ledger and are the same to the last bit")
    level.said += left_out.told()


def made_again(plan: Plan, place: Path, told: Evidence, known: Known, source: Path) -> Evidence:
    """The evidence of a ledger; raises AuditError naming its `source` where that does not hold what the plan says."""
    try:
        ledger = Ledger(place)
        try:
            return gather(plan, ledger, None, told.self_test, known)
        finally:
            ledger.close()
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, sqlite3.Error, OutputError) as error:
        what = str(error).splitlines()[0] if str(error) else ""
        raise AuditError(f"{source}: the numbers cannot be made again from it ({type(error).__name__}: {what})") from error


class NotMade:
    """Rows that cannot be made again here, each counted under its reason."""

    def __init__(self, plan: Plan, parts: recorded.Components) -> None:
        self._absent = set(parts.absent)
        self._other_code = other_code(plan)
        self.count: Counter[str] = Counter()

    def __call__(self, table: str, row: Mapping[str, Any], field: str) -> bool:
        why = self._why(table, row)
        if why and field in ("", compare.ABSENT):
            self.count[why] += 1
        return bool(why)

    def _why(self, table: str, row: Mapping[str, Any]) -> str:
        lost = {row.get("analysis"), str(row.get("attribution") or "").partition(":")[0]} & self._absent
        if lost:
            return f"made by the plugin {min(str(name) for name in lost)}, which is not at hand (give --audit AUDIT.yaml)"
        if self._other_code and (table in ("controls", "by_outcome") or row.get("strategy") == BASELINE):
            return f"made by other code of {self._other_code}, whose work cannot be found in the ledger"
        return ""

    def told(self) -> list[str]:
        """A line per reason, with the number of rows."""
        return [f"not recomputed: {how_many(count, 'row')} {why}" for why, count in sorted(self.count.items())] + [
            f"not recomputed: {DESCRIPTIONS}"
        ]


def other_code(plan: Plan) -> str:
    """The first analysis or attribution whose code is not that with which the run was made; "" where all are."""
    identity = {model.id: model.identity for model in plan.models}
    shared = (plan.data_key, plan.config.batch, plan.config.seed, plan.device)
    for unit in plan.units:
        if unit.analysis is None:
            continue
        what = component_identity("analyses", unit.analysis, plan.registry)
        look = component_identity("attributions", unit.attribution, plan.registry) if unit.attribution else None
        if unit.key != digest(unit.model, identity[unit.model], shared, what, look):
            return unit.name
    return ""
