"""Judged sentences on shortcuts: objects that are no finding and that a score hangs on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .findings import Finding
from .metric import Metric
from .statistics.rows import BASELINE, GROUPS, IMAGE, MACRO, MODEL, Summary
from .wording import rounded

STATISTIC = "standardised"
LEAST, LEAST_LOG_ODDS = 0.2, 0.1
"""Standard deviations of a network's own log-odds, and log-odds, below which an effect is left to the tables: our choice, no standard.
Where a network hardly tells images apart, a trifle is many of its standard deviations."""
LEVEL = 0.95
NAMED = 2
"""Effects that the caution spells out; all of them stand in the section."""
WHOLES = (MACRO, IMAGE, MODEL, *GROUPS)


class Shortcut(NamedTuple):
    """A network that takes something that is no finding as evidence for a class; `low` and `high` allow for all that were looked at."""

    metric: str
    class_name: str
    model: str
    value: float
    low: float
    high: float


def shortcuts(summaries: Sequence[Summary], metrics: Mapping[str, Metric]) -> tuple[list[Shortcut], int]:
    """What holds up, and how many effects (network, class, object) were looked at; docs/methods.md F.4.

    An effect counts where its interval, widened for all of them together (Bonferroni), lies above 0, where it is at least LEAST
    and LEAST_LOG_ODDS, and where the object itself moves the score further than its control does either way: a control that raises the score is no evidence.
    """
    asked = {name for name, metric in metrics.items() if metric.statistic == STATISTIC}
    rows = [row for row in summaries if row.metric in asked and row.class_name not in WHOLES and row.strategy != BASELINE]
    known = [row for row in rows if row.low is not None and row.note is None]
    plain = {(row.metric, row.class_name, row.model): row.value for row in summaries}
    found = []
    for row in known:
        assert row.value is not None and row.low is not None and row.high is not None and row.n_patients is not None
        wider = _wider(len(known), row.n_patients)
        low, high = row.value - wider * (row.value - row.low), row.value + wider * (row.high - row.value)
        net, control = (plain.get((f"{row.metric}_{of}", row.class_name, row.model)) for of in ("log_odds", "control"))
        moved = net is not None and control is not None and net >= LEAST_LOG_ODDS and net + control > abs(control)
        if low > 0 and row.value >= LEAST and moved:
            found.append(Shortcut(row.metric, row.class_name, row.model, row.value, low, high))
    return found, len(known)


def judge(summaries: Sequence[Summary], metrics: Mapping[str, Metric]) -> list[Finding]:
    """One caution on what scores hang on: the effects that most networks share, the largest first, and how many there are besides."""
    found, looked_at = shortcuts(summaries, metrics)
    if not found:
        return []
    networks = {row.model for row in summaries if row.metric in metrics and metrics[row.metric].statistic == STATISTIC}
    effects: dict[tuple[str, str], list[Shortcut]] = defaultdict(list)
    for one in sorted(found, key=lambda one: -one.value):
        effects[one.metric, one.class_name].append(one)
    ranked = sorted(effects, key=lambda effect: -len(effects[effect]))[:NAMED]
    said = ", ".join(_said(metric, effects[metric, name], len(networks)) for metric, name in ranked)
    more = len(effects) - len(ranked)
    besides = f" {more} more under Shortcuts." if more else ""
    text = (
        f"Scores hang on something that is no finding: {said}; in standard deviations of log-odds beyond a control edit, adjusted for all "
        f"{looked_at:,} effects.{besides}"
    )
    return [Finding("caution", text, metric=ranked[0][0])]


def thing(metric: str) -> str:
    """What the metric is about, in words.

    >>> thing("erase_support_devices"), thing("paste_letter")
    ('support devices', 'letter')
    """
    return metric.partition("_")[2].replace("_", " ")


def _said(metric: str, found: Sequence[Shortcut], networks: int) -> str:
    pasted = metric.startswith("paste_")
    what = "with a letter drawn in" if pasted else f"without the {thing(metric)}"
    return (
        f"{what} {found[0].class_name} {'rises' if pasted else 'falls'} by {_span(found)} ({len(found)} of {networks} networks)"
    )


def _span(of: Sequence[Shortcut]) -> str:
    low, high = (rounded(round(end, 2)) for end in (min(one.value for one in of), max(one.value for one in of)))
    return low if low == high else f"{low} to {high}"


def _wider(looked_at: int, patients: int) -> float:
    """How many times as wide an interval becomes when that many hold together (Bonferroni), with t of the patients less one."""
    from scipy.special import stdtrit

    freedom = max(patients - 1, 1)
    tail = (1 - LEVEL) / 2
    return float(stdtrit(freedom, 1 - tail / max(looked_at, 1)) / stdtrit(freedom, 1 - tail))
