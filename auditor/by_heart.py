"""Judged sentences on what networks learnt by heart: margins that slide, and evidence that shrinks, on images they never saw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .findings import Finding
from .statistics.between_splits import NO_TRAINING
from .statistics.rows import GROUPS, IMAGE, MACRO, MODEL, Summary
from .wording import how_many, rounded

SHRUNK = 0.8
"""Share of the training images' evidence at or below which a reader is told: our choice, no standard."""
WHOLES = (MACRO, IMAGE, MODEL, *GROUPS)
LEFT = "magnitude_retained"
OF_IMAGES = ("margin_asymmetry", "margin_shift_positive", "crossing_positive")
OF_PIXELS = ("pixel_margin_asymmetry", "pixel_margin_shift_foreground", "pixel_crossing_foreground")
"""The asymmetry, the shift of the rarer side, and how much more of it is missed."""
WORDS = {
    OF_IMAGES: "new images with {} lie closer to the decision boundary than images trained on, and those without it do not.",
    OF_PIXELS: "on new images the pixels inside {} lie closer to the decision boundary than on images trained on, and those outside it "
    "do not.",
}  # fmt: skip


def judge(summaries: Sequence[Summary]) -> list[Finding]:
    """A caution for findings that slide, one for findings whose evidence shrinks, a note where training images are missing.

    A finding is named when its 95 % intervals say so in more than half of the networks that have enough patients on both sides.
    """
    found = [*_slides(summaries, OF_IMAGES), *_slides(summaries, OF_PIXELS), *_shrinks(summaries)]
    lacking = dict.fromkeys(row.analysis for row in summaries if row.missing == NO_TRAINING)
    if lacking:
        text = f"{NO_TRAINING}, so {' and '.join(lacking)} cannot say how answers to new images differ from those to images trained on."
        found.append(Finding("note", text))
    return found


def _slides(summaries: Sequence[Summary], metrics: tuple[str, str, str]) -> list[Finding]:
    """Findings whose images or pixels slide towards the boundary, and those without them do not."""
    asymmetry, shift, crossing = (_reliable(summaries, metric) for metric in metrics)
    named = []
    for name, rows in asymmetry.items():
        moved = shift.get(name, {})
        met = [model for model, row in rows.items() if _below(row, 0) and model in moved and _below(moved[model], 0)]
        missed = [row.value for model, row in crossing.get(name, {}).items() if model in met and row.value is not None]
        if 2 * len(met) > len(rows) and missed:
            named.append(
                (sum(missed) / len(missed), f"{name} ({len(met)} of {how_many(len(rows), 'network')}, {_points(missed)})")
            )
    if not named:
        return []
    which = ", ".join(words for _, words in sorted(named, reverse=True))
    text = f"Learnt by heart rather than understood: {WORDS[metrics].format(which)}"
    return [Finding("caution", text, metric=metrics[0])]


def _shrinks(summaries: Sequence[Summary]) -> list[Finding]:
    """Findings whose strongest features say much less on new images."""
    named = []
    for name, rows in _reliable(summaries, LEFT).items():
        met = [row.value for row in rows.values() if _below(row, 1) and row.value is not None and row.value <= SHRUNK]
        if 2 * len(met) > len(rows):
            named.append((min(met), f"{name} ({len(met)} of {how_many(len(rows), 'network')}, {_span(met)} % left)"))
    if not named:
        return []
    which = ", ".join(words for _, words in sorted(named))
    return [Finding("caution", f"The evidence of the strongest features shrinks on new images for {which}.", metric=LEFT)]


def _reliable(summaries: Sequence[Summary], metric: str) -> dict[str, dict[str, Summary]]:
    """{class: {model: its number}} with an interval that nothing weakens."""
    found: dict[str, dict[str, Summary]] = defaultdict(dict)
    for row in summaries:
        if row.metric == metric and row.class_name not in WHOLES and row.high is not None and row.note is None:
            found[row.class_name][row.model] = row
    return found


def _below(row: Summary, bar: float) -> bool:
    return row.high is not None and row.high < bar


def _points(shares: Sequence[float]) -> str:
    low, high = (round(100 * end) for end in (min(shares), max(shares)))
    return (
        f"missed {low} percentage points more often" if low == high else f"missed {low} to {high} percentage points more often"
    )


def _span(shares: Sequence[float]) -> str:
    low, high = (rounded(100 * end) for end in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"
