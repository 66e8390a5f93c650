"""Judged sentences: what failed, where two sides differ, what the reader must keep in mind.

The general rule for every metric, whatever plugin declared it. It never says that two sides are equivalent unless their
interval lies within a margin declared beforehand. It never speaks of a training strategy where only networks were measured:
their intervals cover other patients, not other seeds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .metric import Metric
from .statistics.rows import IMAGE, MACRO, Comparison, Summary
from .wording import how_many, p_said, rounded, spoken

MAX_QUARANTINE = 0.005
Networks = Mapping[tuple[str, str], int]
"""How many networks there are of each (architecture, strategy)."""
NOT_THE_SAME = "This does not show that they are the same"
METHODS = {"primary": "Primary claim", "exploratory": "Exploratory"}
ADJUSTED = {"primary": "Holm", "exploratory": "Benjamini and Hochberg"}
ENOUGH_SEEDS = 5
AFTERWARDS = (
    "The claims in audit.yaml were written or changed after these data had been measured: what they call primary, and their "
    "margins, were not declared beforehand."
)
WHERE = {MACRO: "averaged over the classes", IMAGE: "over whole images"}


@dataclass(frozen=True)
class Gap:
    """Something that was asked for and could not be measured; `n` cases, or 0 when a whole unit of work is meant."""

    model: str
    analysis: str
    attribution: str | None
    class_name: str | None
    reason: str
    n: int


@dataclass(frozen=True)
class Finding:
    """One judged sentence. `alarm` opens the report (something failed), `caution` is where a reader should look first, `result` a
    contrast, `note` a caveat."""

    kind: Literal["alarm", "caution", "result", "note"]
    text: str
    metric: str | None = None
    strategy: str | None = None
    class_name: str | None = None


POINTING, KNOWN, ASTRAY, BOXED = "pointing_game", 0.8, 0.2, 20
"""A class is told apart (AUROC at least KNOWN) and looked for elsewhere (peaks in at most ASTRAY of at least BOXED boxes)."""

WEAK = 0.7
"""Mean AUROC below which a reader is told that the networks hardly know what they are asked: our choice, no standard."""


def judge(
    comparisons: Sequence[Comparison],
    gaps: Sequence[Gap],
    summaries: Sequence[Summary],
    models: Sequence[Mapping[str, Any]],
    accounting: Mapping[str, Any],
    metrics: Mapping[str, Metric],
    max_quarantine: float = MAX_QUARANTINE,
    afterwards: bool = False,
) -> list[Finding]:
    """Alarms, then results, then notes; `models` and `accounting` as in `Evidence`, `max_quarantine` a share of the images,
    `afterwards` whether the claims were changed after the measurement.

    Results are given for the mean over the classes and for whole images; single classes are exploratory and left to the tables.
    """
    networks = Counter((str(model.get("family", "")), str(model["strategy"])) for model in models if not model.get("error"))
    headline = [comparison for comparison in comparisons if comparison.class_name in WHERE]
    return [
        *_failures(models, gaps),
        *_quarantine(accounting, max_quarantine),
        *_elsewhere(summaries, metrics),
        *(_result(comparison, networks, metrics) for comparison in headline if comparison.missing is None),
        *([Finding("note", AFTERWARDS)] if afterwards else ()),
        *_weak(summaries, metrics),
        *_not_contrasted(headline),
        *_seeds(comparisons, networks),
        *_architectures(comparisons),
        *_not_run(gaps),
        *_not_estimable(summaries),
    ]


def _failures(models: Sequence[Mapping[str, Any]], gaps: Sequence[Gap]) -> list[Finding]:
    broken = {str(model["id"]): str(model["error"]) for model in models if model.get("error")}
    found = [Finding("alarm", f"The model {model} could not be audited: {_clause(why)}.") for model, why in broken.items()]
    for (work, reason), where in _units(gap for gap in gaps if gap.model not in broken).items():
        if reason.startswith("failed"):
            why = _clause(reason.removeprefix("failed").lstrip(" :,")) or "no reason given"
            found.append(Finding("alarm", f"The analysis {work} failed for {_list(where)}: {why}."))
    return found


def _elsewhere(summaries: Sequence[Summary], metrics: Mapping[str, Metric]) -> list[Finding]:
    """Findings that networks tell apart well although their maps peak somewhere else: the mark of a shortcut."""
    ranked = {name for name, metric in metrics.items() if metric.statistic == "auroc"}
    known = {(s.class_name, s.model): s.value for s in summaries if s.metric in ranked and s.value is not None}
    met: dict[tuple[str, str | None], list[tuple[float, float, int]]] = defaultdict(list)
    both: Counter[tuple[str, str | None]] = Counter()
    for s in summaries:
        auroc = known.get((s.class_name, s.model))
        if s.metric == POINTING and auroc is not None and s.value is not None and s.n >= BOXED and s.class_name not in WHERE:
            both[s.class_name, s.attribution] += 1
            if auroc >= KNOWN and s.value <= ASTRAY:
                met[s.class_name, s.attribution].append((auroc, s.value, s.n))
    return [
        Finding("caution", _astray(name, attribution, found, both[name, attribution]), class_name=name)
        for (name, attribution), found in met.items()
        if 2 * len(found) > both[name, attribution]
    ]


def _astray(name: str, attribution: str | None, found: Sequence[tuple[float, float, int]], networks: int) -> str:
    low, high = min(f[0] for f in found), max(f[0] for f in found)
    least, most = min(f[1] for f in found), max(f[1] for f in found)
    which = "All" if len(found) == networks else f"{len(found)} of"
    subject, whose, they = (
        ("The network tells", "its", "It") if networks == 1 else (f"{which} {networks} networks tell", "their", "They")
    )
    return (
        f"{subject} {name} apart (AUROC {rounded(low)} to {rounded(high)}), but the peak of {whose} map"
        f"{f' ({spoken(attribution)})' if attribution else ''} lies in the reference box in only {rounded(100 * least)} % to {rounded(100 * most)} % of"
        f" {max(f[2] for f in found):,} boxed cases. {they} may go by something other than the finding."
    )


def _weak(summaries: Sequence[Summary], metrics: Mapping[str, Metric]) -> list[Finding]:
    """Networks that hardly know the findings: what their maps and units show says little about how they were trained."""
    ranked = {name for name, metric in metrics.items() if metric.statistic == "auroc"}
    found = [s.value for s in summaries if s.metric in ranked and s.class_name == "(macro)" and s.value is not None]
    weak = [value for value in found if value < WEAK]
    if not weak:
        return []
    which = "all" if len(weak) == len(found) else str(len(weak))
    span = rounded(min(weak)) if len(weak) == 1 else f"{rounded(min(weak))} to {rounded(max(weak))}"
    text = (
        f"The networks are weak: {which} of {len(found)} have a mean AUROC below {WEAK} ({span}; 0.5 is a coin toss). Where a network "
        "hardly knows a finding, its maps and units say little about what its training did to it."
    )
    return [Finding("caution", text)]


def _not_run(gaps: Iterable[Gap]) -> list[Finding]:
    units = {unit: where for unit, where in _units(gaps).items() if not unit[1].startswith("failed")}
    return [
        Finding("note", f"The analysis {work} was not run for {_list(m)}: {_clause(why)}.") for (work, why), m in units.items()
    ]


def _units(gaps: Iterable[Gap]) -> dict[tuple[str, str], list[str]]:
    """{(analysis with its attribution, reason): models} for the gaps that are a whole unit of work."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for gap in gaps:
        if gap.n == 0:
            found[_with(gap.analysis, gap.attribution), gap.reason].append(gap.model)
    return found


def _quarantine(accounting: Mapping[str, Any], limit: float) -> list[Finding]:
    lost, listed = accounting.get("quarantined") or [], int(accounting.get("listed") or 0)
    if not lost:
        return []
    reasons = Counter(str(item["reason"]) for item in lost)
    share = len(lost) / max(listed, 1)
    why = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    text = f"{len(lost):,} of {how_many(listed, 'image')} ({rounded(100 * share)} %) could not be used: {why}."
    if share > limit:
        return [Finding("alarm", f"{text} This is more than the limit of {rounded(100 * limit)} %.")]
    return [Finding("note", text)]


def _result(row: Comparison, networks: Networks, metrics: Mapping[str, Metric]) -> Finding:
    assert row.difference is not None
    text = f"{_opening(row, networks)}: {_numbers(row, metrics)}."
    text += "".join(f" {sentence}." for sentence in (_strength(row), _limit(row)) if sentence)
    if row.note:
        text += f" Note: {_clause(row.note)}."
    return Finding("result", text, row.metric, row.strategy, row.class_name)


def _opening(row: Comparison, networks: Networks) -> str:
    """Who, in what, and the verdict."""
    sides, what = _sides(row, networks), f"{_with(spoken(row.metric), row.attribution)}, {WHERE[row.class_name]}"
    if row.low is None or row.high is None:
        return f"No interval can be given for {what}"
    margin = rounded(row.margin or 0)
    return {
        "different": f"{sides} differ in {what}",
        "different but negligible": f"{sides} differ in {what}, but by less than the margin of {margin}",
        "equivalent": f"{sides} are equivalent within the margin of {margin} in {what}",
        "inconclusive": f"{sides} cannot be told apart in {what}",
    }.get(row.verdict or "", f"No verdict on {what}")


def _numbers(row: Comparison, metrics: Mapping[str, Metric]) -> str:
    effect = (
        f"{row.strategy} is {_direction(row.difference or 0)} than {row.reference}" if row.difference else "the difference is 0"
    )
    counts = f"{how_many(row.n_cases, 'case')} of {how_many(row.n_patients, 'patient')}"
    better = metrics[row.metric].better if row.metric in metrics else "neither"
    wish = f"; {better} is better" if better != "neither" and (row.verdict or "").startswith("different") else ""
    if row.low is None or row.high is None:
        return f"{effect} ({counts})"
    if row.low <= 0 <= row.high:
        return f"{effect} (95 % interval from {_direction(row.low)} to {_direction(row.high)}; {counts}{wish})"
    near, far = sorted((abs(row.low), abs(row.high)))
    interval = f"95 % interval {rounded(near)} to {rounded(far)} {'higher' if row.low > 0 else 'lower'}"
    return f"{effect} ({interval}; {counts}{wish})"


def _strength(row: Comparison) -> str:
    """How the verdict was reached."""
    if row.claim is None or row.p_adjusted is None:
        return ""
    return f"{METHODS[row.claim]}, {p_said(row.p_adjusted)} adjusted by {ADJUSTED[row.claim]}"


def _limit(row: Comparison) -> str:
    """What an inconclusive contrast could have shown at best."""
    if row.verdict != "inconclusive" or row.smallest_margin is None:
        return ""
    best = f"the smallest margin these data could support is {rounded(row.smallest_margin)}"
    declared = f"the margin is {rounded(row.margin)}" if row.margin else "no margin was declared"
    return f"{NOT_THE_SAME}: {best}, {declared}"


def _sides(comparison: Comparison, networks: Networks) -> str:
    """Who differs; the architecture is named where the audit has several, and a contrast stays within one."""
    mine, reference = (_count(networks, comparison.family, side) for side in (comparison.strategy, comparison.reference))
    several = len({family for family, _ in networks}) > 1 and " / " not in comparison.family
    kind = f" of architecture {comparison.family}" if several else ""
    if comparison.about == "strategies":
        return (
            f"The strategies {comparison.strategy} ({how_many(mine, 'network')}) and {comparison.reference} ({reference}){kind}"
        )
    if mine == reference == 1:
        return f"The two networks{kind}"
    return f"The {mine} network{'s' * (mine > 1)} of {comparison.strategy} and the {reference} of {comparison.reference}{kind}"


def _count(networks: Networks, family: str, strategy: str) -> int:
    """Networks of a strategy within a contrast's architecture, or over all where the contrast crosses architectures."""
    within = networks.get((family, strategy))
    across = sum(n for (_, name), n in networks.items() if name == strategy)
    return max(within if within is not None else across, 1)


def _not_contrasted(headline: Iterable[Comparison]) -> list[Finding]:
    found: dict[tuple[str, str, str | None], list[str]] = defaultdict(list)
    for row in headline:
        if row.missing is not None:
            found[row.strategy, row.reference, row.missing].append(_with(spoken(row.metric), row.attribution))
    return [
        Finding("note", f"{mine} and {reference} could not be contrasted in {_list(measures)}: {why}.", strategy=mine)
        for (mine, reference, why), measures in found.items()
    ]


def _seeds(comparisons: Sequence[Comparison], networks: Networks) -> list[Finding]:
    named = sorted({side for row in comparisons for side in (row.strategy, row.reference)})
    if not named:
        return []
    sides = {(row.family, side) for row in comparisons for side in (row.strategy, row.reference)}
    single = [
        strategy
        for strategy in named
        if any(_count(networks, family, strategy) < 2 for family, side in sides if side == strategy)
    ]
    if not single:
        fewest = min(_count(networks, family, side) for family, side in sides)
        wide = f" {ENOUGH_SEEDS} or more networks per strategy would make them narrower." if fewest < ENOUGH_SEEDS else ""
        return [Finding("note", f"The intervals cover other patients and other seeds.{wide}")]
    who = "" if len(single) == len(named) else f" ({_list(single)})"
    return [
        Finding(
            "note",
            f"One network per strategy{who}: seed variance not measured. What is said here holds for these networks; "
            "the same training with another seed may give other numbers.",
        )
    ]


def _architectures(comparisons: Iterable[Comparison]) -> list[Finding]:
    mixed = dict.fromkeys((row.strategy, row.reference, row.family) for row in comparisons if " / " in row.family)
    return [
        Finding(
            "note",
            f"{mine} and {reference} are not the same architecture ({family}): a difference between them may come from the "
            "architecture rather than from the training.",
            strategy=mine,
        )
        for mine, reference, family in mixed
    ]


def _not_estimable(summaries: Iterable[Summary]) -> list[Finding]:
    """One note per reason and set of metrics, naming the classes with their number of cases."""
    metrics: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    cases: dict[tuple[str, str], int] = {}
    for row in summaries:
        if row.missing is not None and not row.class_name.startswith("(") and not row.metric.endswith("_chance"):
            key = row.class_name, row.missing
            metrics[key][_with(spoken(row.metric), row.attribution)] = None
            cases[key] = max(cases.get(key, 0), row.n)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (name, reason), measures in metrics.items():
        together[reason, tuple(measures)].append(f"{name} (n = {cases[name, reason]:,})")
    return [
        Finding("note", f"No {_list(measures, 'or')} for {_list(names)}: {reason}; left out of the mean over the classes.")
        for (reason, measures), names in together.items()
    ]


def _direction(value: float) -> str:
    return f"{rounded(abs(value))} {'higher' if value > 0 else 'lower'}" if value else "0"


def _with(what: str, attribution: str | None) -> str:
    return f"{what} with {spoken(attribution)}" if attribution else what


def _clause(text: str) -> str:
    return text.strip().rstrip(".")


def _list(names: Iterable[str], last: str = "and") -> str:
    """a, b and c."""
    *some, end = dict.fromkeys(names)
    return f"{', '.join(some)} {last} {end}" if some else end
