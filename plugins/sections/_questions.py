"""The verdict table of page one: five questions to every strategy, each answered in a word with the number behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from auditor import Evidence
from auditor.drawing import figure, key, signed

from ._reading import strategies
from ._verdicts import NO_VERDICT, joint

OVERALL = "(macro)"
NOT_ASKED = "not asked"


class Cell(NamedTuple):
    """A word, the number behind it, and how it compares with the reference; `tone` is good, bad or open."""

    word: str
    number: str = ""
    versus: str = ""
    tone: str = "open"


class Row(NamedTuple):
    """The networks of one strategy and one architecture."""

    strategy: str
    family: str
    models: tuple[str, ...]
    reference: bool


class Question(NamedTuple):
    """What is asked, in a reader's words; what its number means; and how it is answered."""

    asks: str
    means: str
    answer: Callable[[Evidence, Row], Cell]


def verdict_table(evidence: Evidence) -> dict[str, Any]:
    """A row per strategy (and architecture, where there are several), a column per question, and what the numbers mean."""
    order, rows = strategies(evidence), _rows(evidence)
    several = len({row.family for row in rows}) > 1
    answers = [[question.answer(evidence, row) for question in QUESTIONS] for row in rows]
    asked = [number for number in range(len(QUESTIONS)) if any(cells[number].word != NOT_ASKED for cells in answers)]
    return {
        "columns": [question.asks for question in QUESTIONS],
        "rows": [
            {
                "mark": key(row.strategy, order),
                "name": f"{row.strategy}, {row.family}" if several else row.strategy,
                "reference": row.reference,
                "cells": cells,
            }
            for row, cells in zip(rows, answers, strict=True)
        ],
        "meanings": [QUESTIONS[number].means for number in asked],
        "reference": order[0] if order else "none",
    }


def _rows(evidence: Evidence) -> list[Row]:
    order = strategies(evidence)
    found: dict[tuple[str, str], list[str]] = {}
    for model in evidence.models:
        found.setdefault((str(model["strategy"]), str(model.get("family") or "")), []).append(str(model["id"]))
    ranked = sorted(found.items(), key=lambda item: (item[0][1], order.index(item[0][0])))
    return [Row(name, family, tuple(models), name == order[0]) for (name, family), models in ranked]


def discriminates(evidence: Evidence, row: Row) -> Cell:
    """Better, worse, as good, or cannot tell, by the verdict on the AUROC."""
    levels = _levels(evidence, row, "auroc")
    if (absent := _absent(evidence, levels, "auroc")) is not None:
        return absent
    number = f"AUROC {_number(levels)}"
    found = _contrasted(evidence, row, "auroc")
    return found._replace(number=number, versus=found.number)


def looks(evidence: Evidence, row: Row) -> Cell:
    """Whether maps agree with the patient's own box beyond where such findings usually lie, and for which findings not."""
    attribution = _first_attribution(evidence, "kappa_loc")
    levels = _levels(evidence, row, "kappa_loc", attribution)
    if (absent := _absent(evidence, levels, "kappa_loc")) is not None:
        return absent
    number, versus = f"κ {_number(levels)}", _contrasted(evidence, row, "kappa_loc", attribution).versus
    failed = [c for c in evidence.controls if c.attribution == attribution and c.model in row.models and c.outcome == "failed"]
    if failed:
        return Cell("cannot tell: its maps failed a check", number, versus, "bad")
    shown = [level for level in levels if level.low is not None and level.low > 0]
    if len(shown) < len(levels):
        some = f"only in {figure(len(shown))} of {figure(len(levels))} networks" if shown else "not shown"
        return Cell(some, number, versus, "bad")
    unseen = _classes(evidence, row, "kappa_loc", attribution, lambda level: level.low <= 0)
    return Cell(f"yes, but not shown for {_names(unseen)}" if unseen else "yes", number, versus, "open" if unseen else "good")


def explanations(evidence: Evidence, row: Row) -> Cell:
    """How many of the sanity checks the maps of these networks passed."""
    if not evidence.controls:
        return Cell(NOT_ASKED)
    asked = [c for c in evidence.controls if c.model in row.models and c.outcome != "not applicable"]
    if not asked:
        return Cell("not applicable", "no map was made of these networks")
    outcomes = [control.outcome for control in asked]
    passed, failed = outcomes.count("passed"), [control.name for control in asked if control.outcome == "failed"]
    number = f"{figure(passed)} of {figure(len(asked))} checks passed"
    if failed:
        return Cell(f"no: failed {', '.join(dict.fromkeys(failed))}", number, tone="bad")
    return Cell("yes", number, tone="good") if passed == len(asked) else Cell("not decided by all checks", number)


def calibrated(evidence: Evidence, row: Row) -> Cell:
    """Whether predicted probabilities lie further from observed frequencies than those of a calibrated network would."""
    levels = _levels(evidence, row, "ece")
    if (absent := _absent(evidence, levels, "ece")) is not None:
        return absent
    chance = {level.model: level.value for level in _levels(evidence, row, "ece_by_chance")}
    off = [level for level in levels if _beyond(level.low, chance.get(level.model))]
    number, versus = f"ECE {_number(levels)}", _contrasted(evidence, row, "ece").versus
    if not off:
        return Cell("no error shown", number, versus, "good")
    return Cell("no" if len(off) == len(levels) else "not of all networks", number, versus, "bad")


def learnt(evidence: Evidence, row: Row) -> Cell:
    """Whether unseen images with a finding slid towards the boundary more than those without it, and for which findings."""
    levels = _levels(evidence, row, "margin_asymmetry")
    if (absent := _absent(evidence, levels, "margin_asymmetry")) is not None:
        return absent
    number = f"shift {_number(levels, signed)}"
    moved = set(_classes(evidence, row, "margin_shift_positive", None, _below))
    slid = [name for name in _classes(evidence, row, "margin_asymmetry", None, _below) if name in moved]
    if slid:
        return Cell(f"partly by heart: {_names(slid)}", number, tone="bad")
    if all(_below(level) for level in levels) and all(_below(s) for s in _levels(evidence, row, "margin_shift_positive")):
        return Cell("partly by heart on average", number, tone="bad")
    return Cell("by heart not shown", number, tone="good")


QUESTIONS = (
    Question(
        "Recognises findings as well as the reference?",
        "AUROC: the chance that an image with the finding scores higher than one without it; 0.5 is guessing, 1 never wrong.",
        discriminates,
    ),
    Question(
        "Looks at the finding?",
        "κ: how much better its maps fit this patient's box than other patients' boxes; 0 knows only where such findings usually "
        "lie, 1 is ideal.",
        looks,
    ),
    Question(
        "Explanations valid?",
        "Checks: whether the maps depend on what was learned, on the finding and on the image, and on nothing else.",
        explanations,
    ),
    Question(
        "Do its probabilities come true?",
        "ECE: how far predicted and observed frequency lie apart, as trained (0.1 is ten percentage points), held against what a "
        "calibrated network would show.",
        calibrated,
    ),
    Question(
        "Learnt, or learnt by heart?",
        "Shift: how much more new images with a finding moved towards a miss than those without it, compared with images trained on "
        "(log-odds); clearly below 0 means learnt by heart.",
        learnt,
    ),
)


def _levels(evidence: Evidence, row: Row, metric: str, attribution: str | None = None) -> list[Any]:
    return [
        s
        for s in evidence.select(metric, class_name=OVERALL)
        if s.model in row.models and s.attribution == attribution and s.strategy == row.strategy
    ]


def _first_attribution(evidence: Evidence, metric: str) -> str | None:
    return next((s.attribution for s in evidence.select(metric) if s.attribution), None)


def _absent(evidence: Evidence, levels: Sequence[Any], metric: str) -> Cell | None:
    """The cell of a number that was not asked for or cannot be had; None where at least every network has it."""
    lacking = next((level for level in levels if level.value is None), None)
    if levels and lacking is None:
        return None
    if lacking is not None:
        return Cell("not estimable", str(lacking.missing))
    asked = metric in evidence.metrics
    return Cell("not estimable", "see Gaps and exclusions") if asked else Cell(NOT_ASKED)


def _contrasted(evidence: Evidence, row: Row, metric: str, attribution: str | None = None) -> Cell:
    """The verdict on the difference to the reference, with the difference and its interval."""
    rows = [
        c
        for c in evidence.contrasts(metric, class_name=OVERALL)
        if c.attribution == attribution and c.strategy == row.strategy and _is_of(row, c.family)
    ]
    if row.reference or not rows:
        return Cell("the reference" if row.reference else "not contrasted")
    found = rows[0]
    if found.difference is None:
        return Cell("not estimable", str(found.missing))
    low, high = joint(found)
    interval = f" ({signed(low)} to {signed(high)})" if low is not None and high is not None else ""
    word, tone = _verdict(str(found.verdict or NO_VERDICT), found.difference, evidence.metrics.get(metric, {}).get("better"))
    size = f"{signed(found.difference)}{interval}"
    return Cell(word, size, f"{size}: {word}", tone)


def _is_of(row: Row, family: str) -> bool:
    """Whether a contrast's architecture, or its first where it crosses two, is the row's."""
    return family == row.family or family.startswith(f"{row.strategy}: {row.family} / ")


def _verdict(verdict: str, difference: float, better: Any) -> tuple[str, str]:
    if verdict == "different":
        up = (difference > 0) == (better == "higher")
        return ("better", "good") if up else ("worse", "bad")
    return {
        "equivalent": ("as good", "good"),
        "different but negligible": ("negligibly different", "good"),
        "inconclusive": ("cannot tell", "open"),
    }.get(verdict, ("too few patients to tell", "open"))


def _classes(evidence: Evidence, row: Row, metric: str, attribution: str | None, unlike: Callable[[Any], bool]) -> list[str]:
    """The single findings for which most networks of the row answer so, of those that have a reliable interval."""
    found = [
        s
        for s in evidence.select(metric)
        if s.model in row.models and s.attribution == attribution and not s.class_name.startswith("(")
        and s.low is not None and s.high is not None and s.note is None
    ]  # fmt: skip
    return [
        name
        for name in evidence.dataset.get("classes", ())
        if (of := [unlike(level) for level in found if level.class_name == name]) and 2 * sum(of) > len(of)
    ]


def _below(level: Any) -> bool:
    return level.high is not None and level.high < 0


def _beyond(low: float | None, chance: float | None) -> bool:
    return low is not None and low > (chance or 0.0)


def _number(levels: Sequence[Any], show: Callable[[float], str] = figure) -> str:
    """The number of one network with its interval; of several, from the lowest to the highest."""
    if len(levels) > 1:
        return f"{_span([level.value for level in levels], show)}, {figure(len(levels))} networks"
    (level,) = levels
    return show(level.value) + (f" ({show(level.low)} to {show(level.high)})" if level.low is not None else "")


def _span(values: Sequence[float], show: Callable[[float], str] = figure) -> str:
    ends = list(dict.fromkeys((show(min(values)), show(max(values)))))
    return " to ".join(ends)


def _names(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {figure(len(names) - most)} more" if len(names) > most else "")
