"""What the numbers say of each gate: passed, failed, inconclusive, or nothing to evaluate; from results.json alone.

A gate of a contrast is held against the 95 % interval of strategy minus reference, a gate of a level against the interval of
each network. The intervals are those of single numbers: an audit passes only if all of its gates do, and a demand that all
must meet needs no adjustment for how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .gates import Claim, Gate
from .statistics.rows import IMAGE, MACRO, MODEL, Comparison, Summary
from .wording import figure, signed

if TYPE_CHECKING:
    from .evidence import Evidence

Outcome = Literal["passed", "failed", "inconclusive", "not evaluated"]

WHERE = {
    MACRO: ", averaged over the classes", "(head)": ", averaged over the common classes", "(medium)": ", averaged over the less common classes",
    "(tail)": ", averaged over the rare classes", IMAGE: ", over whole images", MODEL: "",
}  # fmt: skip
SAID: Mapping[tuple[Claim, Outcome], str] = {
    ("noninferior", "passed"): "not worse by more than the margin of {size}",
    ("noninferior", "failed"): "worse by more than the margin of {size}",
    ("noninferior", "inconclusive"): "which may be worse by more than the margin of {size}",
    ("not_shown_worse", "passed"): "not shown to be worse, which does not show that it is as good",
    ("not_shown_worse", "failed"): "shown to be worse",
    ("at_least", "passed"): "at least {size}",
    ("at_least", "failed"): "below {size}",
    ("at_least", "inconclusive"): "which may be below {size}",
    ("at_most", "passed"): "at most {size}",
    ("at_most", "failed"): "above {size}",
    ("at_most", "inconclusive"): "which may be above {size}",
}
ALONE = "no interval is made for this number, so it is judged by itself"


@dataclass(frozen=True)
class GateOutcome:
    """One gate on one number: strategy minus `reference` within a `family`, or the number of one `model`.

    `gate` counts from 1 in the order of audit.yaml. `estimate` is None exactly when `missing` says why there is nothing to
    evaluate. `bound` is what `low` (`high`, where lower is better) must reach; `not_shown_worse` fails when the other end falls
    short of it. `note` says what weakens the interval, or why the number is judged without one; `reliable` is False where it is
    too weak for any claim.
    """

    gate: int
    metric: str
    claim: Claim
    tier: Literal["blocking", "advisory"]
    better: Literal["higher", "lower"]
    class_name: str
    attribution: str | None
    family: str
    strategy: str
    reference: str | None
    model: str | None
    estimate: float | None
    low: float | None
    high: float | None
    bound: float
    outcome: Outcome
    sentence: str
    reliable: bool = True
    missing: str | None = None
    note: str | None = None


class Number(NamedTuple):
    """What a gate is held against; `reliable` is False where no claim can rest on it, and `note` says why."""

    estimate: float | None
    low: float | None
    high: float | None
    reliable: bool
    missing: str | None
    note: str | None


def judge(gates: Sequence[Gate], evidence: Evidence) -> tuple[GateOutcome, ...]:
    """An outcome for every gate and every contrast or network that it is about; what was not measured is named too."""
    return tuple(outcome for number, gate in enumerate(gates, 1) for outcome in _Judge(number, gate, evidence).outcomes())


def line(row: GateOutcome) -> str:
    """An outcome on a line of its own, for the terminal; several stand in columns."""
    return f"gate {row.gate:<2} {row.outcome:13} {row.tier:8}  {row.sentence}"


def decided(claim: Claim, better: str, ends: tuple[float, float], bound: float) -> Outcome:
    """What an interval says of a bound; both ends are the number itself where there is no interval.

    >>> [decided("noninferior", "higher", ends, -0.02) for ends in ((-0.01, 0.03), (-0.05, -0.03), (-0.03, 0.01))]
    ['passed', 'failed', 'inconclusive']
    """
    worst, best, limit = (*ends, bound) if better == "higher" else (-ends[1], -ends[0], -bound)
    if best < limit:
        return "failed"
    return "passed" if worst >= limit or claim == "not_shown_worse" else "inconclusive"


class _Judge:
    """One gate and the evidence that it is held against."""

    def __init__(self, number: int, gate: Gate, evidence: Evidence) -> None:
        self.number, self.gate, self.evidence = number, gate, evidence
        self.better: Any = evidence.metrics[gate.metric]["better"]
        self.levels = evidence.select(gate.metric)
        self.contrasts = evidence.contrasts(gate.metric)
        rows: list[Summary | Comparison] = [*self.levels, *self.contrasts]
        self.analyses = {row.analysis for row in rows}
        known = {row.class_name for row in rows}
        self.class_name = gate.class_name or next((name for name in (MACRO, IMAGE, MODEL) if name in known), MACRO)
        self.on_maps = any(row.attribution for row in rows)

    def outcomes(self) -> Iterator[GateOutcome]:
        """One for each contrast, or each network, of every strategy and attribution that the gate is about."""
        reference = self.evidence.audit.get("reference")
        strategies = dict.fromkeys(str(model["strategy"]) for model in self.evidence.models if model["strategy"] != reference)
        made = [use["use"] for use in self.evidence.audit.get("attributions", ())] if self.on_maps else [None]
        for attribution in [self.gate.attribution] if self.gate.attribution else made:
            for strategy in [self.gate.strategy] if self.gate.strategy else strategies:
                yield from (self._contrasts if self.gate.contrasts else self._levels)(strategy, attribution)

    def _contrasts(self, strategy: str, attribution: str | None) -> Iterator[GateOutcome]:
        reference = str(self.evidence.audit["reference"])
        rows = [
            row
            for row in self.contrasts
            if (row.class_name, row.strategy, row.attribution) == (self.class_name, strategy, attribution)
        ]
        ids = [str(model["id"]) for model in self.evidence.models if model["strategy"] in (strategy, reference)]
        for family in dict.fromkeys(str(m["family"]) for m in self.evidence.models if m["strategy"] == strategy):
            row = next((r for r in rows if r.family == family or r.family.startswith(f"{strategy}: {family} / ")), None)
            number = of_contrast(row) if row else self._nothing(ids, attribution)
            sides = f"strategy {strategy} minus {reference}"
            if row is None or row.about == "networks":
                sides = f"networks of {strategy} minus those of {reference}"
            several = len({model["family"] for model in self.evidence.models}) > 1
            who = f"{sides} ({row.family if row else family})" if several else sides
            yield self._outcome(number, who, attribution, strategy, row.family if row else family, reference=reference)

    def _levels(self, strategy: str, attribution: str | None) -> Iterator[GateOutcome]:
        rows = {row.model: row for row in self.levels if (row.class_name, row.attribution) == (self.class_name, attribution)}
        for model in self.evidence.models:
            if model["strategy"] == strategy:
                name = str(model["id"])
                number = of_level(rows[name]) if name in rows else self._nothing([name], attribution)
                yield self._outcome(number, name, attribution, strategy, str(model["family"]), model=name)

    def _nothing(self, models: Sequence[str], attribution: str | None) -> Number:
        """What was not measured, with the reason that the audit knows."""
        errors = [str(m["error"]) for m in self.evidence.models if m["id"] in models and m.get("error")]
        gaps = [
            gap.reason
            for gap in self.evidence.gaps
            if gap.n == 0 and gap.model in models and gap.attribution in (None, attribution)
            and (not self.analyses or gap.analysis in self.analyses)
        ]  # fmt: skip
        why = next(iter([*errors, *gaps]), f"the audit made no such number for {self.class_name}")
        return Number(None, None, None, False, why, None)

    def _outcome(
        self, number: Number, who: str, attribution: str | None, strategy: str, family: str,
        reference: str | None = None, model: str | None = None,
    ) -> GateOutcome:  # fmt: skip
        bound = self._bound()
        outcome = self._decided(number, bound)
        what = f"{self.gate.metric.replace('_', ' ')}{f' with {attribution}' if attribution else ''}"
        what += WHERE.get(self.class_name, f" of {self.class_name}")
        return GateOutcome(
            gate=self.number, metric=self.gate.metric, claim=self.gate.claim, tier=self.gate.tier, better=self.better,
            class_name=self.class_name, attribution=attribution, family=family, strategy=strategy, reference=reference, model=model,
            estimate=number.estimate, low=number.low, high=number.high, bound=bound, outcome=outcome,
            sentence=f"{what}, {who}: {self._said(number, outcome, bound)}", reliable=number.reliable, missing=number.missing, note=number.note,
        )  # fmt: skip

    def _bound(self) -> float:
        """What the worse end of an interval must reach, in the metric's own direction."""
        if self.gate.value is not None:
            return self.gate.value
        margin = self.gate.margin or 0.0
        return margin if self.better == "lower" else 0.0 - margin

    def _decided(self, number: Number, bound: float) -> Outcome:
        if number.estimate is None:
            return "not evaluated"
        if not number.reliable:
            return "inconclusive"
        ends = (number.estimate,) * 2 if number.low is None or number.high is None else (number.low, number.high)
        return decided(self.gate.claim, self.better, ends, bound)

    def _said(self, number: Number, outcome: Outcome, bound: float) -> str:
        if number.estimate is None:
            return f"nothing to evaluate, {number.missing}"
        show = signed if self.gate.contrasts else figure
        text = show(number.estimate)
        if number.low is not None and number.high is not None:
            text += f" (95 % interval {show(number.low)} to {show(number.high)})"
        if not number.reliable:
            return f"{text}, too uncertain to be judged: {number.note}"
        size = figure(abs(bound) if self.gate.contrasts else bound)
        said = SAID[self.gate.claim, outcome].format(size=size)
        return f"{text}, {said}{f' ({number.note})' if number.note else ''}"


def of_contrast(row: Comparison) -> Number:
    """A difference; where the audit gives no verdict on it, no gate may rest on it either."""
    reliable = row.verdict is not None and row.low is not None
    note = row.note if reliable else row.note or "no interval can be given"
    return Number(row.difference, row.low, row.high, reliable, row.missing, note if row.difference is not None else None)


def of_level(row: Summary) -> Number:
    """The number of a network; a note beside it says that its interval is not reliable."""
    known = row.value is not None
    note = row.note or (ALONE if known and row.low is None else None)
    return Number(row.value, row.low, row.high, known and row.note is None, row.missing, note)
