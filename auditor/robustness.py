"""Judged sentences on changes of the picture: which of them networks do not stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from .findings import Finding
from .metric import Metric
from .statistics.rows import MACRO, Summary
from .wording import rounded

NAMED = 4
"""Changes that a sentence names, the worst first."""


def judge(summaries: Sequence[Summary], metrics: Mapping[str, Metric], margin: float) -> list[Finding]:
    """A caution for the changes under which the mean AUROC falls by more than `margin`.

    A change is named when the whole 95 % interval lies beyond the margin in more than half of the networks that have enough patients.
    """
    single = {
        name: metric.assuming for name, metric in metrics.items() if metric.statistic == "ranking_change" and metric.repeats
    }
    found: dict[str, list[Summary]] = defaultdict(list)
    for row in summaries:
        if row.metric in single and row.class_name == MACRO and row.value is not None and row.high is not None and not row.note:
            found[row.metric].append(row)
    fallen = []
    for name, rows in found.items():
        below = [row.value for row in rows if row.high is not None and row.high < -margin and row.value is not None]
        if 2 * len(below) > len(rows):
            fallen.append(
                (sum(below) / len(below), f"{single[name]} ({len(below)} of {len(rows)} networks, by {_span(below)})")
            )
    if not fallen:
        return []
    named = [words for _, words in sorted(fallen)]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    text = (
        f"Where the picture is taken a little differently, the mean AUROC falls by more than {rounded(margin)}: {'; '.join(named[:NAMED])}{more}, "
        f"of {len(found)} simulated changes."
    )
    return [Finding("caution", text, metric=metrics[next(iter(single))].repeats)]


def _span(falls: Sequence[float]) -> str:
    low, high = rounded(-max(falls)), rounded(-min(falls))
    return low if low == high else f"{low} to {high}"
