"""Two finished runs in, everything that is not the same between them out, with the exit code that answers to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__, ending
from ..errors import ConfigError, ExitCode, gravest, nearest
from ..evidence import Evidence
from ..gated import GateOutcome
from . import judged
from .changes import Change, Changes, changes
from .numbers import Number, altered, unpaired
from .outcomes import Outcome, outcomes
from .question import Cause, Fact, facts, left_out
from .side import Side, opened

SCHEMA = 1
RANK = ("different", "different but negligible", "inconclusive", None, "equivalent")


@dataclass(frozen=True)
class Difference:
    """All that changed from one audit to another; `why_not` says why no case could be paired, None where some were.

    `names` are those of the two run folders. `changes` are in the order in which a reader wants them: primary claims, then what is different,
    among that what became worse, overall numbers before single classes. `not_compared` names what both audits hold beside. `unchanged` counts numbers of which no case moved, `level` those that stayed although cases moved.
    `incomplete` are sentences on runs that did not come to a good end.
    """

    old: Evidence
    new: Evidence
    facts: tuple[Fact, ...]
    causes: tuple[Cause, ...]
    shared_images: int
    shared_classes: tuple[str, ...]
    changes: tuple[Change, ...]
    unchanged: int
    level: int
    numbers: tuple[Number, ...]
    altered: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    gates: tuple[GateOutcome, ...]
    notes: tuple[str, ...]
    not_compared: tuple[str, ...]
    names: tuple[str, str]
    incomplete: tuple[str, ...]
    why_not: str | None
    exit_code: ExitCode

    @property
    def empty(self) -> bool:
        """Whether nothing at all is different."""
        return not (self.facts or self.causes or self.changes or self.numbers or self.altered or self.outcomes)

    @property
    def estimated(self) -> list[Change]:
        """The changes that have a number."""
        return [change for change in self.changes if change.row.difference is not None]

    def better(self, change: Change) -> str:
        """`better`, `worse`, or nothing where neither direction is better, or no difference was shown."""
        direction, row = self.new.metrics[change.row.metric]["better"], change.row
        if direction == "neither" or row.difference is None or not str(row.verdict).startswith("different"):
            return ""
        return "better" if (row.difference > 0) == (direction == "higher") else "worse"

    def counts(self) -> dict[str, int]:
        """How many numbers changed in which way, those that did not among them."""
        verdicts = [change.row.verdict or "no verdict" for change in self.estimated]
        names = [name or "no verdict" for name in RANK]
        still = ({"level": self.level} if self.level else {}) | {"unchanged": self.unchanged}
        return {name: verdicts.count(name) for name in names if name in verdicts} | still

    def to_json(self) -> str:
        """Everything, for programs: sorted keys, no NaN."""
        content: dict[str, Any] = {
            "schema": SCHEMA, "tool": __version__, "exit_code": int(self.exit_code), "empty": self.empty, "not_paired": self.why_not,
            "old": self.old.audit["title"], "new": self.new.audit["title"],
            "question": [fact._asdict() for fact in self.facts],
            "cases": {"shared_images": self.shared_images, "shared_classes": list(self.shared_classes),
                      "left_out": [cause._asdict() for cause in self.causes]},
            "counts": self.counts(),
            "changes": [{**change.written(), "direction": self.better(change) or None} for change in self.changes],
            "numbers": [number.written() for number in self.numbers],
            "altered": list(self.altered),
            "outcomes": [outcome._asdict() for outcome in self.outcomes],
            "gates": [{("class" if k == "class_name" else k): v for k, v in asdict(row).items()} for row in self.gates],
            "notes": list(self.notes), "not_compared": list(self.not_compared), "folders": list(self.names), "incomplete": list(self.incomplete),
        }  # fmt: skip
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def difference(old: Path, new: Path, gates: Path | None = None, margins: Mapping[str, float] | None = None) -> Difference:
    """What changed from the run in `old` to the run in `new`; measures nothing.

    `gates` is a file with `gates:` as in audit.yaml, held against the change. `margins` stand in for those that the new audit declares.
    Raises AuditError where a run has no results, and ConfigError for gates or margins that cannot be.
    """
    with opened(old) as before, opened(new) as after:
        said = _margins(after.evidence, margins or {})
        declared = judged.read(gates, after.evidence) if gates else judged.Declared((), ())
        found = changes(before, after, said)
        why_not = _why_not(before, after, found)
        rows = judged.judge(declared.gates, before.evidence, after.evidence, found, why_not)
        incomplete = _incomplete(before, after)
        odd = altered(before.evidence, after.evidence, found)
        poor = bool(incomplete or odd or why_not or (gates and not rows))
        code = gravest(ending.of_outcomes(rows), ExitCode.INCOMPLETE if poor else ExitCode.COMPLETE)
        causes = left_out(before, after, found.matched) if found.matched else []
        return Difference(
            old=before.evidence, new=after.evidence, facts=tuple(facts(before.evidence, after.evidence)), causes=tuple(causes),
            shared_images=_shared(before, after), shared_classes=found.matched.cohort.classes if found.matched else (),
            changes=_in_order(found, after.evidence), unchanged=found.unchanged, level=len(found.level),
            numbers=tuple(unpaired(before.evidence, after.evidence, found)), altered=tuple(odd),
            outcomes=tuple(outcomes(before.evidence, after.evidence)), gates=rows, notes=declared.notes,
            not_compared=tuple(_not_compared(before.evidence, after.evidence)), names=_names(old, new),
            incomplete=tuple(incomplete), why_not=why_not, exit_code=code,
        )  # fmt: skip


def _margins(new: Evidence, given: Mapping[str, float]) -> dict[str, float]:
    """The margins of the new audit, and over them those given by hand."""
    for name, size in given.items():
        if name not in new.metrics:
            raise ConfigError(f"--margin {name}: allowed: a metric of the new audit{nearest(name, new.metrics)}")
        low, high = (new.metrics[name][end] for end in ("low", "high"))
        if not size > 0 or (low is not None and high is not None and size >= high - low):
            most = "" if low is None or high is None else f" and below {high - low:g}, the whole range of {name}"
            raise ConfigError(f"--margin {name}={size:g}: allowed: a number above 0{most}")
    return {**new.audit["claims"]["margin"], **given}


def _why_not(old: Side, new: Side, found: Changes) -> str | None:
    """Why no case could be paired."""
    for which, side in (("old", old), ("new", new)):
        if side.unpaired:
            return f"the {which} audit cannot be paired: {side.unpaired}"
    if found.paired:
        return None
    kinds = [str(side.evidence.dataset["use"]) for side in (old, new)]
    if kinds[0] != kinds[1]:
        return f"the audits are of different data sets, {kinds[0]} and {kinds[1]}"
    if found.matched is None or not found.matched.samples:
        return "no image is in both audits"
    if not found.matched.cohort.classes:
        return "no class is in both audits"
    shared = {str(model["id"]) for model in old.evidence.models} & {str(model["id"]) for model in new.evidence.models}
    return "no metric was measured in both audits" if shared else "no network (strategy, architecture, seed) is in both audits"


def _incomplete(old: Side, new: Side) -> list[str]:
    found = []
    for which, side in (("old", old), ("new", new)):
        if ending.of_measurements(side.evidence) != ExitCode.COMPLETE:
            found.append(f"the {which} audit is incomplete; its report opens with what failed")
    return found


def _not_compared(*sides: Evidence) -> list[str]:
    """What stands in the audits and is not held against each other."""
    kinds = {
        "numbers by subgroup": any(side.subgroups for side in sides),
        "the gallery of units": any(side.units for side in sides),
    }
    return [name for name, found in kinds.items() if found]


def _names(old: Path, new: Path) -> tuple[str, str]:
    """As much of the end of two paths as tells the runs apart: `run` and `run-2`, or `main/run` and `branch/run`."""
    folders = [(path if path.is_dir() else path.parent).resolve().parts for path in (old, new)]
    for length in range(1, max(map(len, folders))):
        tails = ["/".join(parts[-length:]) for parts in folders]
        if tails[0] != tails[1]:
            return tails[0], tails[1]
    return folders[0][-1], folders[1][-1]


def _shared(old: Side, new: Side) -> int:
    """How many images both audits use."""
    if old.cases is None or new.cases is None:
        return 0
    used = [{name for name, fine in zip(side.samples, side.used, strict=True) if fine} for side in (old.cases, new.cases)]
    return len(used[0] & used[1])


def _in_order(found: Changes, new: Evidence) -> tuple[Change, ...]:
    def rank(change: Change) -> tuple[Any, ...]:
        row = change.row
        worse = new.metrics[row.metric]["better"] == ("lower" if (row.difference or 0.0) > 0 else "higher")
        single = row.class_name in new.dataset["classes"]
        known = row.difference is None, row.claim != "primary", RANK.index(row.verdict), not worse, single
        return (*known, row.p_adjusted if row.p_adjusted is not None else 2.0)

    return tuple(sorted([*found.of_strategies, *found.of_networks], key=rank))
