"""Every number that answers a question, new minus old, on the cases that both runs have, paired as strategies are contrasted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..contrasts import answering, bounded
from ..evidence import Evidence
from ..metric import Metric
from ..sanity import stamped
from ..statistics.columns import Columns
from ..statistics.compare import compare
from ..statistics.decide import Row, decide
from ..statistics.estimates import contrasts as estimated_contrasts
from ..statistics.estimates import handles, measured
from ..statistics.rows import Cohort, Comparison
from ..wording import how_many
from .matched import Matched, match
from .moved import moved_targets, rests_on
from .question import ONLY_WORDS, unlike
from .side import Cases, Side, Work

OLD = "the old audit"
RESOLUTION = 1e-9
"""Changes whose whole interval is this close to 0 are what floating point does in batches of other sizes, and no change."""
Key = tuple[str, str, str | None, str]
"""(metric, analysis, attribution, model)."""


@dataclass(frozen=True)
class Change:
    """A number of one network, or the mean of several of one strategy and architecture: new minus old with a 95 % interval.

    `row` is the contrast of the new networks with the old ones. `old` and `new` are what each audit reported on all its own
    cases, None where it has no such number, or for several networks.
    """

    who: str
    networks: int
    row: Comparison
    old: float | None = None
    new: float | None = None

    def written(self) -> dict[str, Any]:
        """The change as one flat mapping."""
        told = {("class" if name == "class_name" else name): value for name, value in asdict(self.row).items()}
        del told["reference"]
        return {"who": self.who, "networks": self.networks, "old": self.old, "new": self.new, **told}


@dataclass
class Changes:
    """What was paired. `still` names the numbers that are not different, by (metric, analysis, attribution, model, class):
    bit-equal cases, or (`level`) cases that moved without moving the number. `paired` are the numbers that could be paired,
    `moved` the works in which any case moved."""

    of_networks: list[Change] = field(default_factory=list)
    of_strategies: list[Change] = field(default_factory=list)
    still: set[tuple[str, str, str | None, str, str]] = field(default_factory=set)
    level: set[tuple[str, str, str | None, str, str]] = field(default_factory=set)
    paired: set[Key] = field(default_factory=set)
    moved: set[Work] = field(default_factory=set)
    matched: Matched | None = None

    @property
    def unchanged(self) -> int:
        """How many numbers rest on cases of which none moved."""
        return len(self.still - self.level)


@dataclass(frozen=True)
class _Of:
    """Networks that a row speaks of."""

    who: str
    strategy: str
    family: str
    models: tuple[str, ...]


def changes(old: Side, new: Side, margins: Mapping[str, float]) -> Changes:
    """All paired changes with their verdicts; nothing where the cases of a run are not there or none is shared."""
    if old.cases is None or new.cases is None or old.evidence.dataset["use"] != new.evidence.dataset["use"]:
        return Changes()
    matched = match(old.cases, new.cases, new.evidence)
    if not matched.samples or not matched.cohort.classes:
        return Changes(matched=matched)
    return _Pairing(old, new, old.cases, new.cases, matched, margins).made()


class _Pairing:
    """Two runs on one list of cases, work by work."""

    def __init__(
        self, old: Side, new: Side, before: Cases, after: Cases, matched: Matched, margins: Mapping[str, float]
    ) -> None:
        self.old, self.new, self.before, self.after, self.matched, self.margins = old, new, before, after, matched, margins
        self.cohort: Cohort = matched.cohort
        self.seed = int(new.evidence.audit["seed"])
        self.found = Changes(matched=matched)
        self.levels = [_levels(side.evidence) for side in (old, new)]

    def made(self) -> Changes:
        rows: dict[bool, list[tuple[_Of, Row]]] = {False: [], True: []}
        for work in self.after.works():
            if work in self.before.works():
                for about, row in self._of_work(work):
                    rows[len(about.models) > 1].append((about, row))
        self.found.of_networks = self._decided(rows[False])
        self.found.of_strategies = self._decided(rows[True])
        return self.found

    def _of_work(self, work: Work) -> Iterator[tuple[_Of, Row]]:
        boxed = any("box" in side.needs.get(work[0], ()) for side in (self.before, self.after))
        sides = [
            {model: self.matched.moved(columns, which, boxed) for model, columns in side.columns(work).items()}
            for which, side in enumerate((self.before, self.after))
        ]
        both = [model for model in sides[1] if model in sides[0]]
        for metric in self._metrics(work[0]):
            moved = {}
            for model in both:
                if _measured(metric, sides[0][model]) and _measured(metric, sides[1][model]):
                    moved[model] = moved_targets(metric, sides[0][model], sides[1][model], len(self.cohort.classes))
                    self._count(metric, work, model, moved[model])
            for about in [*_alone(self.new.evidence, moved), *_together(self.new.evidence, moved)]:
                targets = set().union(*(moved[model] for model in about.models))
                if targets:
                    self.found.moved.add(work)
                    yield from self._rows(metric, work, about, sides, targets)

    def _metrics(self, analysis: str) -> list[Metric]:
        """The metrics of an analysis that both runs report and define alike."""
        told = [side.evidence for side in (self.old, self.new)]
        names = dict.fromkeys(row.metric for row in told[1].summaries if row.analysis == analysis)
        shared = [name for name in names if unlike_definition(told[0], told[1], name) is None]
        return answering([Metric(**told[1].metrics[name]) for name in shared])

    def _count(self, metric: Metric, work: Work, model: str, moved: set[int]) -> None:
        """Note what was paired, and which numbers rest on cases of which none moved."""
        key = metric.name, *work, model
        self.found.paired.add(key)
        for name, value in self.levels[1].get(key, {}).items():
            if value is not None and name in _known(self.cohort) and not rests_on(name, self.cohort) & moved:
                self.found.still.add((*key, name))

    def _rows(
        self, metric: Metric, work: Work, about: _Of, sides: Sequence[Mapping[str, Columns]], moved: set[int]
    ) -> Iterator[tuple[_Of, Row]]:
        before, after = ([side[model] for model in about.models] for side in sides)
        reason = unlike(self.old.evidence, self.new.evidence, work)
        for told in _contrast(metric, after, before, self.cohort, self.seed):
            effect, name = told.pop("effect"), told["class_name"]
            if not rests_on(name, self.cohort) & moved:
                continue
            if _level(told):
                if len(about.models) == 1:
                    self.found.level.add((metric.name, *work, about.models[0], name))
                    self.found.still.add((metric.name, *work, about.models[0], name))
                continue
            if told["difference"] is not None and abs(told["difference"]) <= RESOLUTION:
                told["difference"] = 0.0
            if reason:
                told["note"], effect = "; ".join(filter(None, (told["note"], reason))), None
            yield (
                about,
                (
                    Comparison(
                        metric=metric.name,
                        analysis=work[0],
                        attribution=work[1],
                        family=about.family,
                        strategy=about.strategy,
                        reference=OLD,
                        **told,
                    ),
                    effect,
                ),
            )

    def _decided(self, rows: Sequence[tuple[_Of, Row]]) -> list[Change]:
        claims = self.new.evidence.audit["claims"]
        decided = decide([row for _, row in rows], claims["primary"], self.margins, self.cohort.everyone, self.seed)
        controls = [*self.old.evidence.controls, *self.new.evidence.controls]
        metrics = {name: Metric(**told) for name, told in self.new.evidence.metrics.items()}
        final = bounded(stamped(decided, controls), metrics)
        return [self._change(about, row) for (about, _), row in zip(rows, final, strict=True)]

    def _change(self, about: _Of, row: Comparison) -> Change:
        key = row.metric, row.analysis, row.attribution, about.models[0]
        numbers = [side.get(key, {}).get(row.class_name) if len(about.models) == 1 else None for side in self.levels]
        return Change(about.who, len(about.models), row, *numbers)


def _contrast(
    metric: Metric, mine: Sequence[Columns], reference: Sequence[Columns], cohort: Cohort, seed: int
) -> list[dict[str, Any]]:
    """Mine minus reference by the functions that contrast strategies."""
    if handles(metric):
        return estimated_contrasts(metric, mine, reference, cohort)
    name = metric.of or metric.name
    sides = [[network.values[name] for network in side] for side in (mine, reference)]
    return [dict(row) for row in compare(metric, sides[0], sides[1], cohort, seed)]


def _level(told: Mapping[str, Any]) -> bool:
    """Whether the number did not move although its cases did."""
    ends = [told["difference"], *(() if str(told["note"]).count("no patient differs") else (told["low"], told["high"]))]
    return all(end is not None and abs(end) <= RESOLUTION for end in ends)


def _measured(metric: Metric, network: Columns) -> bool:
    return measured(metric, network) if handles(metric) else (metric.of or metric.name) in network.values


def _alone(evidence: Evidence, models: Mapping[str, Any]) -> list[_Of]:
    return [
        _Of(str(model["id"]), str(model["strategy"]), str(model["family"]), (str(model["id"]),))
        for model in evidence.models
        if model["id"] in models
    ]


def _together(evidence: Evidence, models: Mapping[str, Any]) -> list[_Of]:
    """The networks of one strategy and architecture, where there are several."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in _alone(evidence, models):
        found.setdefault((one.strategy, one.family), []).extend(one.models)
    return [
        _Of(f"{strategy} · {family} · {how_many(len(ids), 'network')}", strategy, family, tuple(ids))
        for (strategy, family), ids in found.items()
        if len(ids) > 1
    ]


def _known(cohort: Cohort) -> set[str]:
    """The classes and pseudo classes that rows of the shared list are about."""
    return {*cohort.classes, *(name for name, _ in cohort.groups), "(macro)", "(image)"}


def _levels(evidence: Evidence) -> dict[Key, dict[str, float | None]]:
    found: dict[Key, dict[str, float | None]] = {}
    for row in evidence.summaries:
        found.setdefault((row.metric, row.analysis, row.attribution, row.model), {})[row.class_name] = row.value
    return found


def unlike_definition(old: Evidence, new: Evidence, metric: str) -> str | None:
    """Why a metric of this name is not the same number in both runs; None where it is, or where only its words differ."""
    if metric not in old.metrics or metric not in new.metrics:
        return f"{metric} is not measured in both runs"
    a, b = ({key: value for key, value in side.metrics[metric].items() if key not in ONLY_WORDS} for side in (old, new))
    return None if a == b else f"{metric} is defined otherwise"
