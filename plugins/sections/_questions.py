"""The verdict table of page one: five questions to every strategy, each answered in a word with the number behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from auditor import Evidence
from auditor.drawing import figure, how_many, key, signed

from ._apart import set_apart
from ._per_strategy import (
    NOT_ASKED,
    TOO_FEW,
    Cell,
    Row,
    above,
    below,
    beyond,
    contrasted,
    few,
    findings_that,
    first_attribution,
    in_figures,
    listed,
    over_classes,
    strategy_rows,
    without_number,
)
from ._reading import strategies
from ._shortcuts import goes_by, measured


class Question(NamedTuple):
    """What is asked, in a reader's words; what its number means; and how it is answered."""

    asks: str
    means: str
    answer: Callable[[Evidence, Row], Cell]


def verdict_table(evidence: Evidence) -> dict[str, Any]:
    """A row per strategy (and architecture, where there are several), a column per question, and what the numbers mean."""
    order, rows = strategies(evidence), strategy_rows(evidence)
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
        "meanings": [*(QUESTIONS[number].means for number in asked), *((said,) if (said := set_apart(evidence)) else ())],
        "reference": order[0] if order else "none",
    }


def discriminates(evidence: Evidence, row: Row) -> Cell:
    """Better, worse, as good, or cannot tell, by the verdict on the AUROC."""
    levels = over_classes(evidence, row, "auroc")
    if (absent := without_number(evidence, levels, "auroc")) is not None:
        return absent
    number = f"AUROC {in_figures(levels)}"
    found = contrasted(evidence, row, "auroc")
    return found._replace(number=number, versus=found.number)


def looks(evidence: Evidence, row: Row) -> Cell:
    """What the maps say, and whether the score hangs on something that is no finding."""
    found = _maps_agree(evidence, row)
    if not measured(evidence, row.models):
        return found
    others = goes_by(evidence, row.models)
    if not others:
        return found._replace(word="no shortcut shown") if found.word == NOT_ASKED else found
    also = f"hangs on {others[0]}"
    return found._replace(word=f"score {also}" if found.word == NOT_ASKED else f"{found.word}; {also}", tone="bad")


def _maps_agree(evidence: Evidence, row: Row) -> Cell:
    """Whether maps agree with the patient's own box beyond where such findings usually lie, and for which findings not."""
    attribution = first_attribution(evidence, "kappa_loc")
    levels = over_classes(evidence, row, "kappa_loc", attribution)
    if (absent := without_number(evidence, levels, "kappa_loc")) is not None:
        return absent
    number, versus = f"κ {in_figures(levels)}", contrasted(evidence, row, "kappa_loc", attribution).versus
    failed = [c for c in evidence.controls if c.attribution == attribution and c.model in row.models and c.outcome == "failed"]
    if failed:
        return Cell("cannot tell: its maps failed a check", number, versus, "bad")
    if few(levels):
        return Cell(TOO_FEW, number, versus.removesuffix(f", {TOO_FEW}"))
    shown = [level for level in levels if level.low is not None and level.low > 0]
    if len(shown) < len(levels):
        some = f"only in {figure(len(shown))} of {how_many(len(levels), 'network')}" if shown else "not shown"
        return Cell(some, number, versus, "bad")
    unseen = findings_that(evidence, row, "kappa_loc", attribution, lambda level: level.low <= 0)
    return Cell(f"yes, but not shown for {listed(unseen)}" if unseen else "yes", number, versus, "open" if unseen else "good")


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
    levels = over_classes(evidence, row, "ece")
    if (absent := without_number(evidence, levels, "ece")) is not None:
        return absent
    chance = {level.model: level.value for level in over_classes(evidence, row, "ece_by_chance")}
    off = [level for level in levels if beyond(level.low, chance.get(level.model))]
    number, versus = f"ECE {in_figures(levels)}", contrasted(evidence, row, "ece").versus
    if few(levels):
        return Cell(TOO_FEW, number, versus.removesuffix(f", {TOO_FEW}"))
    if not off:
        gaps = over_classes(evidence, row, "prevalence_gap")
        too = [way for way, off_it in (("often", above), ("rarely", below)) if any(map(off_it, gaps))]
        if too:
            gap = f"{number}; expected minus found {in_figures(gaps, signed)}"
            return Cell(f"no: expects findings too {' or too '.join(too)}", gap, versus, "bad")
        return Cell("no error shown", number, versus, "open")
    return Cell("no" if len(off) == len(levels) else "not of all networks", number, versus, "bad")


def learnt(evidence: Evidence, row: Row) -> Cell:
    """Whether unseen images with a finding slid towards the boundary more than those without it, and for which findings."""
    levels = over_classes(evidence, row, "margin_asymmetry")
    if (absent := without_number(evidence, levels, "margin_asymmetry")) is not None:
        return absent
    number = f"shift {in_figures(levels, signed)}"
    if few(levels):
        return Cell(TOO_FEW, number)
    moved = set(findings_that(evidence, row, "margin_shift_positive", None, below))
    slid = [name for name in findings_that(evidence, row, "margin_asymmetry", None, below) if name in moved]
    if slid:
        return Cell(f"partly by heart: {listed(slid)}", number, tone="bad")
    if all(below(level) for level in levels) and all(below(s) for s in over_classes(evidence, row, "margin_shift_positive")):
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
