"""What the sanity checks of an explanation method came to, in rows, in sentences, and as a stamp on what was made with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from .findings import Finding
from .statistics.rows import Comparison

Check = Literal["model_randomisation", "wrong_class", "batch_independence", "repeat", "constant_input"]
Outcome = Literal["passed", "failed", "inconclusive", "not estimable", "not applicable"]
MEANS: dict[Check, str] = {
    "model_randomisation": "its maps are the same without training, or lie on the finding at least a third as well",
    "wrong_class": "the map of a finding that is not there lies as well on the box as the map of the finding that is",
    "batch_independence": "the map of an image changes when another image of its batch does",
    "repeat": "the same batch gives other maps the second time",
    "constant_input": "its maps do not depend on the image, or are no numbers",
}
"""What it says of a method that it failed."""
NOT_RUN = (
    "No control of the explanation method was run (controls: false in audit.yaml): whether its maps depend on what the networks "
    "learned, on the class and on the image is not known."
)


@dataclass(frozen=True)
class Control:
    """One sanity check of one attribution on one network, with its numbers; `says` is one sentence, whatever the outcome.

    `passed`, `failed`; `inconclusive`: these data cannot tell; `not estimable`: there was nothing to tell it from; `not
    applicable`: it makes no sense here.
    """

    model: str
    strategy: str
    family: str
    attribution: str
    check: Check
    outcome: Outcome
    says: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    n: int = 0

    @property
    def name(self) -> str:
        """The check in words."""
        return self.check.replace("_", " ")


def stamps(controls: Sequence[Control]) -> dict[str, list[str]]:
    """{attribution: a sentence per check that it failed, with the networks, and what was found on the first of them}."""
    found: dict[str, list[str]] = defaultdict(list)
    for (attribution, name), failed in _together(controls, "failed").items():
        found[attribution].append(f"{_opening(attribution, name)} for {_where(failed, controls)}: {_said(failed)}")
    return dict(found)


def stamped(comparisons: Iterable[Comparison], controls: Sequence[Control]) -> list[Comparison]:
    """The same contrasts; those made with a method that failed on a network of either side say so in their note."""
    failed = [control for control in controls if control.outcome == "failed"]
    return [_stamp(row, [control for control in failed if _concerns(control, row)]) for row in comparisons]


def _concerns(control: Control, row: Comparison) -> bool:
    """Networks of the contrast's architecture; of any, where the contrast crosses architectures."""
    alike = control.family == row.family or " / " in row.family
    return control.attribution == row.attribution and control.strategy in (row.strategy, row.reference) and alike


def _stamp(row: Comparison, failed: Sequence[Control]) -> Comparison:
    if not failed:
        return row
    names = ", ".join(dict.fromkeys(control.name for control in failed))
    where = ", ".join(dict.fromkeys(control.model for control in failed))
    stamp = f"{_opening(str(row.attribution), names)} for {where}"
    return replace(row, note=f"{row.note}; {stamp}" if row.note else stamp)


def findings(controls: Sequence[Control], run: bool) -> list[Finding]:
    """An alarm per method and check that failed, a note per check that could not be decided, or that none was run."""
    if not run:
        return [Finding("note", NOT_RUN)]
    alarms = [
        Finding("alarm", f"{_opening(attribution, name)} for {_where(failed, controls)}: {MEANS[failed[0].check]}.")
        for (attribution, name), failed in _together(controls, "failed").items()
    ]
    open_ = [
        Finding("note", f"The sanity check of {attribution} ({name}) is undecided for {_where(some, controls)}: {_said(some)}")
        for outcome in ("inconclusive", "not estimable")
        for (attribution, name), some in _together(controls, outcome).items()
    ]
    return alarms + open_


def _opening(attribution: str, name: str) -> str:
    return f"{attribution} failed its sanity check ({name})"


def _where(some: Sequence[Control], controls: Sequence[Control]) -> str:
    """The networks by name, or all of them."""
    every = [control for control in controls if (control.attribution, control.check) == (some[0].attribution, some[0].check)]
    return f"all {len(some)} networks" if len(some) == len(every) > 1 else ", ".join(control.model for control in some)


def _said(some: Sequence[Control]) -> str:
    """What was found; where networks differ, on the first of them."""
    same = len({control.says for control in some}) == 1
    return some[0].says if same else f"on {some[0].model} {some[0].says}"


def _together(controls: Iterable[Control], outcome: str) -> dict[tuple[str, str], list[Control]]:
    """{(attribution, check): those with this outcome}."""
    found: dict[tuple[str, str], list[Control]] = defaultdict(list)
    for control in controls:
        if control.outcome == outcome:
            found[control.attribution, control.name].append(control)
    return dict(found)
