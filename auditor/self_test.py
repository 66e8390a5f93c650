"""The self-test: before anything is measured, the audit's own path is tried on planted truth whose every number is known.

Images and networks of `self_test_truth` and `self_test_crowd` go through plan, pixels, networks, attribution, analyses, ledger and statistics exactly
as the user's do, and what comes out is held to answers worked out by hand. An analysis that gives a wrong answer here is not
run in the audit: its numbers would be wrong in a way that no reader could see.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from . import (
    conclusions,
    config,
    duplicates,
    passes,
    planning,
    results,
    self_test_crowd_checks,
    self_test_maps,
    self_test_scores,
)
from . import self_test_truth as truth
from .evidence import Evidence
from .ledger import Ledger
from .pixels import PixelStore
from .registry import Registry
from .self_test_check import Check

CLOSE = 1e-6
NO_ANALYSIS = ("copies", "subgroups")
"""What is tried beside the analyses: images that are there twice, and numbers by group."""
OPTIONS = {
    "dissection": "{use: dissection, quantile: 0.02}",
    "outcomes": "{use: outcomes, specificity: 0.6}",  # of three negatives one may be called positive
    "calibration": "{use: calibration, fit: 0.1}",  # by their hashes, none of the three patients is set apart
    "embeddings": "{use: embeddings, threshold: 0.3}",  # 0.5 is the very probability that some findings are given
}


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


class World(NamedTuple):
    """One planted audit: the audit.yaml that it is for some analyses, and what must hold of its evidence."""

    written: Callable[[Sequence[str]], str]
    checks: tuple[Check, ...]

    def try_out(self, analyses: Sequence[str], device: str) -> Outcome:
        """Try those of the analyses that this audit has checks of; where there are none, what must hold of every audit."""
        known = [name for name in analyses if name in {check.analysis for check in self.checks}]
        todo = [check for check in self.checks if check.analysis in ("", *known)]
        if not todo:
            return Outcome(0, ())
        try:
            evidence = _audit(self.written(known), device)
        except Exception as error:  # whatever is broken, the audit must say so and not die of it
            why = f"({type(error).__name__}: {error})"
            return Outcome(len(todo), tuple((check.analysis, f"{check.says} {why}") for check in todo))
        return Outcome(len(todo), tuple((check.analysis, wrong) for check in todo if (wrong := _wrong(check, evidence))))


@lru_cache
def take(analyses: tuple[str, ...], device: str) -> Outcome:
    """Try the built-in analyses of these names, and those of NO_ANALYSIS; once per process, for it gives the same answer again."""
    outcomes = [world.try_out(analyses, device) for world in worlds()]
    return Outcome(sum(one.of for one in outcomes), tuple(wrong for one in outcomes for wrong in one.failed))


def _audit(written: str, device: str) -> Evidence:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audit.yaml").write_text(written)
        read = config.read(folder / "audit.yaml")
        made = planning.make(read, Registry(read.plugins, folder), device=device)
        splits = [split for split in (made, made.training) if split is not None]
        stores = [PixelStore(folder / split.data_key, split.dataset, split.samples, split.chunk) for split in splits]
        ledger = Ledger(folder / "ledger.db")
        try:
            for model in made.models:
                for split, store in zip(splits, stores, strict=True):
                    passes.run(split, model, ledger, store, folder / "arrays", lambda *_: None)
            duplicates.run(made, ledger, stores)
            conclusions.run(made, ledger)
            return results.gather(made, ledger, stores[0])
        finally:
            for store in stores:
                store.close()
            ledger.close()


def _written(analyses: Sequence[str]) -> str:
    """The audit.yaml of the six images; copies are looked for among training images too, which some analysis must need."""
    wanted = [name for name in analyses if name not in NO_ANALYSIS] or ["performance"]
    if "copies" in analyses and not {"logit_shift", "embeddings"} & set(wanted):
        wanted.append("logit_shift")
    models = "\n".join(f"  - {{use: self_test, strategy: {eyes}, eyes: {eyes}}}" for eyes in truth.GAIN)
    return (
        f"title: self-test\ndataset: self_test\ntraining_images: {{split: train}}\nmodels:\n{models}\nreference: own\n"
        f"analyses: [{', '.join(OPTIONS.get(name, name) for name in wanted)}]\nplugins: ['{truth.__file__}']\n"
        "batch: 4\nmax_quarantine: 0.5\ncontrols: false\nreport: {formats: [html], images: false}\n"
    )


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


@lru_cache
def worlds() -> tuple[World, ...]:
    """The planted audits with everything that must hold of them."""
    return (
        World(_written, (*self_test_scores.checks(), *self_test_maps.checks())),
        World(self_test_crowd_checks.written, tuple(self_test_crowd_checks.checks())),
    )


def checks() -> tuple[Check, ...]:
    """Everything that must hold."""
    return tuple(check for world in worlds() for check in world.checks)
