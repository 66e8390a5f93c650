"""What every test shares."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def one_identity() -> Iterator[None]:
    """`plugins/` is known as auditor_plugins, never also as plugins."""
    yield
    assert not [name for name in sys.modules if name == "plugins" or name.startswith("plugins.")]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs, tables, predictions and DICOM; the test is skipped where it is absent."""
    folder = Path(os.environ.get("AUDITOR_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real test data not found at {folder}; set AUDITOR_TEST_DATA")
    return folder


TINY = ROOT / "tests" / "plugins_for_tests" / "tiny.py"
LENS = "preprocessing: {size: 32, mean: [0, 0, 0], std: [1, 1, 1]}"

AuditWriter = Callable[..., Path]


@pytest.fixture
def write_audit(tmp_path: Path) -> AuditWriter:
    """Writes the audit.yaml of a tiny audit (two networks, 40 images) and gives its path; keywords replace its lines."""

    def write(folder: Path | None = None, **lines: str) -> Path:
        content = {
            "title": "Two tiny networks",
            "dataset": "{use: tiny}",
            "models": f"\n  - {{use: tiny_network, strategy: bce, weights: 1, {LENS}}}\n"
            f"  - {{use: tiny_network, strategy: focal, weights: 2, {LENS}}}",
            "reference": "bce",
            "attributions": "[gradcam]",
            "analyses": "[performance, alignment, {use: dissection, quantile: 0.04}]",
            "report": "{formats: [html], images: true}",
            "plugins": f"['{TINY}']",
            "batch": "4",
            **lines,
        }
        path = (folder or tmp_path) / "audit.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}: {value}\n" for key, value in content.items()))
        return path

    return write


@pytest.fixture(scope="session")
def evidence() -> Any:
    """A rich example: 4 strategies x 2 seeds x 6 classes with failures, gaps and quarantined images; the numbers are invented."""
    from auditor.evidence import Evidence

    return Evidence.from_json((ROOT / "tests" / "example_evidence.json").read_text())


@pytest.fixture
def counts() -> Counter[str]:
    """What the tiny plugins were asked for since the test began: reads, loads, forwards."""
    found: Counter[str] = sys.__dict__.setdefault("_tiny_counts", Counter())
    found.clear()
    return found
