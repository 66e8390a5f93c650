"""What choosing 400 of 112,120 images costs, as ratios to what has to be paid anyway and to submodlib-py. `make bench` prints them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEASURE = Path(__file__).parent / "measure_selection.py"
ROUNDS = int(os.environ.get("AUDITOR_BENCH_ROUNDS", "3"))
NIH = 112_120
EMBEDDED = 64
BOTH_HOLD = 60_000
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def measured(*words: str | int) -> dict[str, Any]:
    line = [sys.executable, str(MEASURE), *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def said(line: str) -> None:
    sys.stdout.write(f"\n  {line}")


@pytest.mark.parametrize("function", ["flqmi", "gcmi", "com", "logdetmi"])
def test_choosing_costs_a_small_share_of_the_embeddings(benchmark: Any, function: str) -> None:
    def compare() -> tuple[float, dict[str, Any]]:
        pairs = [
            (measured("choose", NIH, function), measured("embed", EMBEDDED))
            for _ in range(ROUNDS if function == "flqmi" else 1)
        ]
        return statistics.median(mine["cpu"] / (base["cpu"] * NIH / EMBEDDED) for mine, base in pairs), pairs[0][0]

    share, mine = benchmark.pedantic(compare, rounds=1)
    memory = f"{mine['more_mib']:.0f} MiB beside the features, {mine['stated_mib']:.0f} stated"
    said(f"{function}: 400 of {NIH:,} / their ResNet-18 embeddings = {share:.4f}; {memory}")
    assert share <= (0.005 if function == "flqmi" else 0.05)
    assert mine["more_mib"] <= mine["stated_mib"]


def test_flqmi_is_no_slower_than_submodlib(benchmark: Any) -> None:
    pytest.importorskip("submodlib")

    def compare() -> tuple[float, float]:
        pairs = [(measured("ours", BOTH_HOLD), measured("submodlib", BOTH_HOLD)) for _ in range(ROUNDS)]
        assert all(len(set(mine["chosen"]) & set(theirs["chosen"])) >= 396 for mine, theirs in pairs)
        times, memories = ([mine[key] / theirs[key] for mine, theirs in pairs] for key in ("cpu", "more_mib"))
        return statistics.median(times), statistics.median(memories)

    ratio, memory = benchmark.pedantic(compare, rounds=1)
    said(f"FLQMI, 400 of {BOTH_HOLD:,}: ours / submodlib-py = {ratio:.2f} in CPU time; {memory:.2f} in memory")
    assert ratio <= 1.0
