"""The self-test: before anything is measured, the audit's own path is tried on planted truth whose every number is known.

Images and networks of `self_test_truth` go through plan, pixels, networks, attribution, analyses, ledger and statistics exactly
as the user's do, and what comes out is held to answers worked out by hand. An analysis that gives a wrong answer here is not
run in the audit: its numbers would be wrong in a way that no reader could see.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import config, passes, plan, results
from . import self_test_truth as truth
from .evidence import Evidence
from .ledger import Ledger
from .pixels import PixelStore
from .registry import Registry
from .self_test_truth import CLASSES, FINDINGS, PLATEAU, RAISED, SHOWS, SIDE

CLOSE = 1e-6
OPTIONS = {"dissection": "{use: dissection, quantile: 0.02}"}
IMAGES = 6


class Check(NamedTuple):
    """One thing that must hold: which analysis it speaks of, in words, what was found, what is right."""

    analysis: str
    says: str
    find: Callable[[Evidence], Iterable[float | None]]
    right: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """How the self-test went: how many checks there were, and the words of those that failed, by analysis."""

    of: int
    failed: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> int:
        """How many checks came out right."""
        return self.of - len(self.failed)

    def blocks(self, analysis: str) -> str | None:
        """Why an analysis must not be run, or None."""
        words = [says for name, says in self.failed if name in (analysis, "")]
        return f"the self-test found it wrong: {'; '.join(words)}" if words else None

    def as_record(self) -> dict[str, Any]:
        """The field `self_test` of results.json."""
        return {
            "passed": self.passed,
            "of": self.of,
            "failed": [f"{name}: {says}" if name else says for name, says in self.failed],
        }


@lru_cache
def take(analyses: tuple[str, ...], device: str) -> Outcome:
    """Try the built-in analyses of these names; once per process, for it gives the same answer again."""
    known = [name for name in analyses if name in {check.analysis for check in checks()}]
    todo = [check for check in checks() if check.analysis in ("", *known)]
    try:
        evidence = _audit(known or ["performance"], device)
    except Exception as error:  # whatever is broken, the audit must say so and not die of it
        return Outcome(len(todo), tuple((check.analysis, f"{check.says} ({type(error).__name__}: {error})") for check in todo))
    failed = tuple((check.analysis, wrong) for check in todo if (wrong := _wrong(check, evidence)))
    return Outcome(len(todo), failed)


def _audit(analyses: list[str], device: str) -> Evidence:
    written = ", ".join(OPTIONS.get(name, name) for name in analyses)
    models = "\n".join(
        f"  - {{use: self_test, strategy: {eyes}, eyes: {eyes}}}" for eyes in ("own", "beside", "blind", "averse")
    )
    text = (
        f"title: self-test\ndataset: self_test\nmodels:\n{models}\nreference: own\nanalyses: [{written}]\n"
        f"plugins: ['{truth.__file__}']\nbatch: 4\nmax_quarantine: 0.5\ncontrols: false\nreport: {{formats: [html], images: false}}\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audit.yaml").write_text(text)
        read = config.read(folder / "audit.yaml")
        made = plan.make(read, Registry(read.plugins, folder), device=device)
        store = PixelStore(folder / "pixels", made.dataset, made.samples, made.chunk)
        ledger = Ledger(folder / "ledger.db")
        try:
            for model in made.models:
                passes.run(made, model, ledger, store, folder / "arrays", lambda *_: None)
            return results.gather(made, ledger, store)
        finally:
            store.close()
            ledger.close()


def _wrong(check: Check, evidence: Evidence) -> str | None:
    """What is wrong, in words, or None."""
    found = tuple(check.find(evidence))
    fits = len(found) == len(check.right) and all(
        value is not None and math.isclose(value, right, rel_tol=CLOSE, abs_tol=CLOSE)
        for value, right in zip(found, check.right, strict=True)
    )
    return None if fits else f"{check.says}: found {_figures(found)}, right is {_figures(check.right)}"


def _figures(values: Iterable[float | None]) -> str:
    return ", ".join("nothing" if value is None else f"{value:.6g}" for value in values)


def summary(metric: str, strategy: str, *classes: str) -> Callable[[Evidence], Iterator[float | None]]:
    """Finds the values of a metric for the network of a strategy, in the order of the classes."""

    def find(evidence: Evidence) -> Iterator[float | None]:
        rows = {row.class_name: row.value for row in evidence.select(metric) if row.strategy == strategy}
        yield from (rows.get(name) for name in classes)

    return find


@lru_cache
def checks() -> tuple[Check, ...]:
    """Everything that must hold."""
    return (*_accounting(), *_performance(), *_outcomes(), *_alignment(), *_dissection(), *_contrast())


def _accounting() -> Iterator[Check]:
    yield Check(
        "", "seven images are listed, six used, one quarantined",
        lambda e: (e.accounting["listed"], e.accounting["used"], len(e.accounting["quarantined"])), (7, 6, 1),
    )  # fmt: skip
    yield Check("", "nothing fails on good input", lambda e: (sum(gap.reason.startswith("failed") for gap in e.gaps),), (0,))


def _performance() -> Iterator[Check]:
    everywhere = (*CLASSES, "(macro)")
    for strategy, auroc, precision in (("own", 1.0, 1.0), ("blind", 0.5, 0.5), ("averse", 0.0, 0.5)):
        words = {"own": "that knows every finding", "blind": "that sees nothing", "averse": "that is wrong every time"}[
            strategy
        ]
        yield Check("performance", f"AUROC of a network {words}", summary("auroc", strategy, *everywhere), (auroc,) * 4)
        yield Check(
            "performance", f"average precision of a network {words}, half of the images being positive",
            summary("average_precision", strategy, *everywhere), _precision(strategy, precision),
        )  # fmt: skip
    yield Check(
        "performance", "mean probability of every class, outputs being matched by name",
        summary("probability", "own", *CLASSES), tuple(_probability(name, 1.0) for name in CLASSES),
    )  # fmt: skip


def _precision(strategy: str, value: float) -> tuple[float, ...]:
    """A network that is wrong every time ranks the brighter film of `first` last of all: 1/4 x 2/3 + ... see the comment."""
    if strategy != "averse":
        return (value,) * 4
    # first: two positives tie at -4 and come after three negatives (precision 2/5), the third lies below (precision 3/6)
    first = 2 / 3 * 2 / 5 + 1 / 3 * 3 / 6
    return first, value, value, (first + 2 * value) / 3


def _probability(name: str, sign: float) -> float:
    """Mean over the six images of the sigmoid of -2, plus 2 in proportion to the brightness of the finding."""
    logits = []
    for number, shown in enumerate(SHOWS):
        plateau = RAISED if (name, number) == ("first", 1) else PLATEAU
        share = truth.brightness(name, plateau) / truth.brightness(name) if name in shown else 0.0
        logits.append(-2 + 2 * sign * share)
    return math.fsum(1 / (1 + math.exp(-logit)) for logit in logits) / IMAGES


def _outcomes() -> Iterator[Check]:
    everywhere = (*CLASSES, "(macro)")
    for strategy, found, words in (("own", 1.0, "that knows every finding"), ("averse", 0.0, "that is wrong every time")):
        yield Check(
            "outcomes", f"sensitivity of a network {words}", summary("sensitivity", strategy, *everywhere), (found,) * 4
        )
    yield Check(
        "outcomes",
        "specificity where the three images without a finding tie",
        summary("specificity", "own", *everywhere),
        (1.0,) * 4,
    )


def _alignment() -> Iterator[Check]:
    for strategy, shift, words in (("own", 0, "a map that shows its finding"), ("beside", 4, "a map four columns beside it")):
        expected = {name: _overlaps(name, shift) for name in CLASSES}
        for place, metric in enumerate(("iobb", "ior", "iou", "pointing_game")):
            yield Check(
                "alignment", f"{metric} of {words}", summary(metric, strategy, *CLASSES),
                tuple(expected[name][place] for name in CLASSES),
            )  # fmt: skip
    for strategy, words in (("blind", "a network that sees nothing"), ("averse", "a network that looks away")):
        yield Check("alignment", f"every map of {words} is empty", summary("empty_map", strategy, *CLASSES), (1.0,) * 3)
        yield Check("alignment", f"IoBB of {words}", summary("iobb", strategy, *CLASSES), (0.0,) * 3)


def _overlaps(name: str, shift: int) -> tuple[float, ...]:
    """IoBB, IoR, IoU and pointing game, averaged over the three images that show the class, from their definitions."""
    found = []
    for number, shown in enumerate(SHOWS):
        if name not in shown:
            continue
        pixels, box = truth.seen(name, RAISED if (name, number) == ("first", 1) else PLATEAU)
        moved = np.zeros_like(pixels)
        moved[:, shift:] = pixels[:, : SIDE - shift]
        inside, peaks = float(moved[box].sum()), moved == moved.max()
        found.append(
            (
                inside / box.sum(),
                inside / moved.sum(),
                inside / (box.sum() + moved.sum() - inside),
                (peaks & box).sum() / peaks.sum(),
            )
        )
    return tuple(float(value) for value in np.mean(found, axis=0))


def _dissection() -> Iterator[Check]:
    boxed = [shown for shown in SHOWS if shown]
    disjoint = sum(_regions(name, number) for number, shown in enumerate(SHOWS) for name in shown) / len(boxed)
    of_class = tuple(np.mean([_regions(name, n) for n, shown in enumerate(SHOWS) if name in shown]) for name in CLASSES)
    unique = sum(len(shown) for shown in boxed) / len(boxed)
    yield Check(
        "dissection", "regions in the boxes: corners join, holes do not count, a region that crosses the edge counts once",
        summary("disjoint_concepts", "own", *CLASSES, "(image)"), (*map(float, of_class), disjoint),
    )  # fmt: skip
    yield Check(
        "dissection", "channels with a region in the boxes", summary("unique_concepts", "own", *CLASSES, "(image)"),
        (1.0, 1.0, 1.0, unique),
    )  # fmt: skip
    yield Check("dissection", "one channel is dead", summary("dead_channels", "own", "(model)"), (1.0,))
    # the plateau is the threshold, and only what is above it is active: the hot pixels, and the raised finding of image 1; of four channels
    (top, bottom), (left, right), hottest = FINDINGS["first"]
    hot = sum(3 * len(finding.hot) for finding in FINDINGS.values()) + (bottom - top) * (right - left) - len(hottest)
    yield Check(
        "dissection", "the share of active pixels, ties with the threshold left out", summary("active_fraction", "own", "(model)"),
        (hot / (4 * len(boxed) * SIDE * SIDE),),
    )  # fmt: skip


def _regions(name: str, number: int) -> int:
    """Active regions of a finding in an image: two in `first`, but where it is raised it is active as a whole."""
    return 2 if name == "first" and number != 1 else 1


def _contrast() -> Iterator[Check]:
    """IoBB of the blind network minus that of the reference: minus the reference's, paired by case, patients independent."""
    values = []
    for number in (0, 1, 2):
        pixels, box = truth.seen("first", RAISED if number == 1 else PLATEAU)
        values.append(-float(pixels[box].mean()))
    mean = math.fsum(values) / 3
    of_last = abs(values[2] - mean)  # images 0 and 1 are of one patient: the residuals of the two patients cancel out
    half = 12.706204736 * 2 * of_last / 3  # t of one degree of freedom; SE^2 = 2 (r1^2 + r2^2) / 9

    def find(evidence: Evidence) -> Iterator[float | None]:
        for row in evidence.contrasts("iobb", class_name="first"):
            if row.strategy == "blind":
                yield from (row.difference, row.low, row.high, row.n_cases, row.n_patients)

    yield Check(
        "alignment", "a difference with its interval: paired by case, clustered by patient", find,
        (mean, max(mean - half, -1.0), min(mean + half, 1.0), 3, 2),
    )  # fmt: skip
