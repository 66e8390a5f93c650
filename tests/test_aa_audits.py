"""A/A audits: one network under two names. Nothing may be found that is not there, and what is there must be.

Every audit goes the whole way, from pixels to verdicts. The sizes here take seconds; `-m slow` runs 200 audits, whose figures stand
in docs/methods.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import binom

from auditor.evidence import read
from auditor.run import run
from auditor.statistics.rows import MACRO, Comparison

EXPOSURES = Path(__file__).parent / "plugins_for_tests" / "exposures.py"
PRIMARY = ("auroc", "probability", "kappa_loc", "disjoint_lift")
SURE = 0.999
"""How seldom a test of sound statistics may fail, given its seeds."""
Audit = Callable[..., dict[str, Comparison]]


@pytest.fixture
def audit(write_audit: Callable[..., Path], tmp_path: Path) -> Audit:
    """The primary contrasts of an audit of two readers, of the first exposure and of another, on films drawn from a seed."""

    def primary(seed: int, exposure: int) -> dict[str, Comparison]:
        folder = tmp_path / f"{seed}-{exposure}"
        path = write_audit(
            folder,
            dataset=f"{{use: exposures, seed: {seed}}}",
            models=f"\n  - {{use: reader, strategy: one}}\n  - {{use: reader, strategy: another, exposure: {exposure}}}",
            reference="one",
            claims=f"{{primary: [{', '.join(PRIMARY)}]}}",
            report="{formats: [html], images: false}",
            plugins=f"['{EXPOSURES}']",
            batch="60",
        )
        run(path, folder / "out", device="cpu")
        rows = read(folder / "out").comparisons
        return {row.metric: row for row in rows if row.claim == "primary" and row.class_name == MACRO}

    return primary


def bound(times: int, share: float) -> int:
    """The most that may be counted in so many audits of something that happens this often."""
    return int(binom.ppf(SURE, times, share))


def test_a_network_held_against_itself_differs_in_nothing(audit: Audit) -> None:
    found = audit(seed=1, exposure=0)
    assert set(found) == {"auroc", "probability"}, "a number without bounds has no interval where no patient differs"
    for row in found.values():
        assert row.difference == 0
        assert row.low is not None
        assert row.high is not None
        assert row.low < 0 < row.high
        assert row.verdict == "inconclusive", "so few patients cannot show that none would differ"


@pytest.mark.parametrize("audits", [pytest.param(5, id="seconds"), pytest.param(200, id="nightly", marks=pytest.mark.slow)])
def test_two_readings_that_differ_by_chance_alone_are_seldom_called_different(audit: Audit, audits: int) -> None:
    """One network, two exposures drawn alike: each of the differences has expectation 0 and is not 0."""
    below, different, any_ = dict.fromkeys(PRIMARY, 0), dict.fromkeys(PRIMARY, 0), 0
    for seed in range(audits):
        found = audit(seed=seed, exposure=1)
        assert set(found) == set(PRIMARY)
        called = [name for name, row in found.items() if (row.verdict or "").startswith("different")]
        any_ += bool(called)
        for name, row in found.items():
            assert row.difference
            assert row.p is not None
            below[name] += row.p < 0.05
            different[name] += name in called
    for name in PRIMARY:
        sys.stdout.write(f"  {name}: p below .05 {below[name] / audits:.3f}, different {different[name] / audits:.3f}\n")
        assert below[name] <= bound(audits, 0.05)
    sys.stdout.write(f"  any of the four different {any_ / audits:.3f}\n")
    assert any_ <= bound(audits, 0.05)


@pytest.mark.parametrize("audits", [pytest.param(2, id="seconds"), pytest.param(50, id="nightly", marks=pytest.mark.slow)])
def test_a_planted_difference_is_found(audit: Audit, audits: int) -> None:
    """The third exposure shows a mass a fifth as bright: all four metrics are lower, and seldom do the data not suffice to say so."""
    different = dict.fromkeys(PRIMARY, 0)
    for seed in range(audits):
        found = audit(seed=seed, exposure=2)
        assert set(found) == set(PRIMARY)
        for name, row in found.items():
            assert row.difference is not None
            assert row.difference < 0
            different[name] += row.verdict == "different"
    for name, times in different.items():
        sys.stdout.write(f"  {name}: different {times / audits:.3f}\n")
        assert times >= 0.8 * audits
