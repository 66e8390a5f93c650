"""What an audit costs, as ratios to the plain inference loop in the same run. `make bench` prints them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEASURE = Path(__file__).parent / "measure.py"
ROUNDS = int(os.environ.get("AUDITOR_BENCH_ROUNDS", "3"))
TIMES = {("resnet50", "0.04"): 80, ("t_densenet", "0.01"): 60, ("t_densenet", "0.04"): 30}
"""What must not be lost again, below what was measured on a busy machine; the goal of all three is 100 (docs/benchmarks.md)."""
WHOLE = {"resnet50": 0.95, "t_densenet": 1.05}
"""The same for the whole audit; the goal is 0.95 for both."""
ENVIRONMENT = {
    **os.environ,
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def measured(side: str, network: str, images: int, *options: str) -> dict[str, float]:
    words = [sys.executable, str(MEASURE), side, network, str(images), "1", *options]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ratio(side: str, network: str, images: int, *options: str) -> float:
    """Median over interleaved rounds of CPU time, this side over the plain loop."""
    pairs = [
        (measured(side, network, images, *options)["cpu"], measured("plain", network, images)["cpu"]) for _ in range(ROUNDS)
    ]
    return statistics.median(mine / base for mine, base in pairs)


def said(line: str) -> None:
    sys.stdout.write(f"\n  {line}")


@pytest.mark.parametrize("network", ["resnet50", "t_densenet"])
def test_a_whole_audit_costs_about_as_little_as_the_plain_loop(benchmark: Any, network: str) -> None:
    found = benchmark.pedantic(lambda: ratio("audit", network, 320), rounds=1)
    said(f"{network}: whole audit (predictions, maps, overlap, dissection at q = .04) / plain loop = {found:.2f}")
    assert found <= WHOLE[network]


@pytest.mark.parametrize("network", ["resnet50", "t_densenet", "resnet50-layer3"])
def test_gradcam_and_overlap_next_to_the_plain_loop(benchmark: Any, network: str) -> None:
    found = benchmark.pedantic(lambda: ratio("gradcam", network, 160), rounds=1)
    said(f"{network}: predictions, Grad-CAM and overlap / plain loop = {found:.2f}")
    assert found <= 1.5


@pytest.mark.parametrize(("network", "quantile"), [("resnet50", "0.04"), ("t_densenet", "0.01"), ("t_densenet", "0.04")])
def test_dissection_costs_a_small_share_of_the_published_procedure(benchmark: Any, network: str, quantile: str) -> None:
    """Thresholds and counting only, per image, at the same quantile; the paper's are .04 for ResNet-50, .01 for T-DenseNet."""

    def compare() -> float:
        pairs = [
            (
                measured("reference", network, 8, quantile)["dissection"] / 8,
                measured("audit", network, 160, quantile)["dissection"] / 160,
            )
            for _ in range(ROUNDS)
        ]
        return statistics.median(published / ours for published, ours in pairs)

    found = benchmark.pedantic(compare, rounds=1)
    said(f"{network}: published dissection / ours at q = {quantile} = {found:.0f}")
    assert found >= TIMES[network, quantile]


@pytest.mark.parametrize("network", ["resnet50", "t_densenet"])
def test_880_annotated_images_add_little_memory(benchmark: Any, network: str) -> None:
    def compare() -> tuple[float, float]:
        return measured("audit", network, 880)["peak_gib"], measured("plain", network, 880)["peak_gib"]

    audit, base = benchmark.pedantic(compare, rounds=1)
    said(f"{network}: peak {audit:.2f} GiB against {base:.2f} GiB of the plain loop, {audit - base:+.2f}")
    assert audit - base <= 0.4


def trained(side: str, images: int) -> dict[str, float]:
    words = [sys.executable, str(MEASURE.with_name("measure_training.py")), side, str(ROUNDS), str(images)]
    done = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_trainer_costs_what_a_bare_loop_costs(benchmark: Any) -> None:
    found = benchmark.pedantic(lambda: trained("loop", 320), rounds=1)
    said(f"small CNN at 128 pixels: trainer / bare loop = {found['cpu']:.3f} in CPU time, {found['wall']:.3f} in wall time")
    assert found["cpu"] <= 1.05


def test_decoding_keeps_two_cores_busy(benchmark: Any) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("there is one core")
    found = benchmark.pedantic(lambda: trained("decoding", 60), rounds=1)
    said(f"PNG files of 1024 pixels: {found['times']:.2f} times as fast as by one thread, {found['busy']:.2f} cores busy")
    said(f"load average at the end {found['load']:.1f} on {os.cpu_count()} cores, of which this benchmark makes up to 2")
    assert found["times"] >= 1.6
