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
os.environ["SOURCE_DATE_EPOCH"] = "1795737600"  # audits compared byte by byte may be made on two sides of midnight

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
            "controls": "false",
            **lines,
        }
        path = (folder or tmp_path) / "audit.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}: {value}\n" for key, value in content.items()))
        return path

    return write


FAINT = ROOT / "tests" / "plugins_for_tests" / "faint.py"


@pytest.fixture
def write_faint_audit(write_audit: AuditWriter) -> AuditWriter:
    """The audit.yaml of two linear networks, fitted to `few` and to `many` images, with their training images; keywords as above."""

    def write(folder: Path | None = None, few: int = 200, many: int = 400, more: str = "", **lines: str) -> Path:
        lens = "preprocessing: {size: 12, channels: 1, mean: [0.5], std: [1]}"
        models = [
            f"\n  - {{use: fitted, strategy: {name}, images: {images}, {lens}{more}}}"
            for name, images in (("few", few), ("many", many))
        ]
        content = {
            "dataset": "{use: faint, images: 400}", "training_images": "{split: train, images: 200}", "models": "".join(models),
            "reference": "many", "attributions": "[]", "analyses": "[performance, logit_shift]", "plugins": f"['{FAINT}']", "batch": "50",
        }  # fmt: skip
        return write_audit(folder, **{**content, **lines})

    return write


TRAINABLE = ROOT / "tests" / "plugins_for_tests" / "trainable.py"
FILM = "preprocessing: {size: 16, channels: 1, mean: [0.2], std: [0.3]}"

TrainingWriter = Callable[..., Path]


def trainable(function: str = "plain", more: str = "", film: str = FILM) -> str:
    """A line under `models:` for one of the networks that the tests train."""
    options = "{classes: 3, channels: 3}" if "channels: 3" in film else "{classes: 3}"
    return f"{{use: factory, file: '{TRAINABLE}', function: {function}, options: {options}, {film}{more}}}"


@pytest.fixture
def write_training(tmp_path: Path) -> TrainingWriter:
    """Writes the train.yaml of one tiny network (24 images of 16 pixels, 2 epochs of 3 steps); keywords replace its lines."""

    def write(folder: Path | None = None, network: str = "plain", **lines: str) -> Path:
        content = {
            "title": "Tiny networks",
            "dataset": "{use: squares, split: train}",
            "validation": "{split: val, images: 18}",
            "models": f"[{trainable(network)}]",
            "strategies": "[bce]",
            "recipe": "{use: small, epochs: 2, batch: 8, warmup: 2}",
            "plugins": f"['{TRAINABLE}']",
            **lines,
        }
        path = (folder or tmp_path) / "train.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}: {value}\n" for key, value in content.items()))
        return path

    return write


MiningWriter = Callable[..., Path]


@pytest.fixture
def write_mining(tmp_path: Path) -> MiningWriter:
    """Writes the mine.yaml of a tiny selection (6 of 60 images, for Mass) and gives its path; keywords replace its lines."""

    def write(folder: Path | None = None, **lines: str) -> Path:
        content = {
            "title": "What to label",
            "model": f"{{use: tiny_network, strategy: bce, weights: 1, {LENS}}}",
            "pool": "{use: tiny, images: 60, seed: 3}",
            "query": "{use: tiny}",
            "classes": "[Mass]",
            "budget": "6",
            "plugins": f"['{TINY}']",
            "batch": "4",
            **lines,
        }
        path = (folder or tmp_path) / "mine.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key.removesuffix('_')}: {value}\n" for key, value in content.items() if value))
        return path

    return write


@pytest.fixture
def write_simulation(tmp_path: Path) -> Callable[..., Path]:
    """Writes a simulation of two rounds of 5 of 75 images for Mass, two functions, two seeds; keywords replace its lines."""

    def write(folder: Path | None = None, **lines: str) -> Path:
        content = {
            "title": "Choose or not",
            "dataset": "{use: squares, split: train, images: 360}",
            "validation": "{split: val, images: 90}",
            "test": "{split: test, images: 60}",
            "models": f"[{trainable('plain')}]",
            "strategies": "[bce]",
            "seeds": "[0, 1]",
            "recipe": "{use: small, epochs: 2, batch: 8, warmup: 2}",
            "plugins": f"['{TRAINABLE}']",
            "classes": "[Mass]",
            "ratio": "4",
            "labelled": "16",
            "pool": "60",
            "query": "8",
            "functions": "[flqmi, random]",
            "budget": "5",
            "rounds": "2",
            **lines,
        }
        path = (folder or tmp_path) / "simulate.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key}: {value}\n" for key, value in content.items() if value))
        return path

    return write


@pytest.fixture
def trainings(tmp_path: Path) -> Callable[[Path], list[Any]]:
    """The networks of a train.yaml ready to be trained, an epoch at a time, without writing anything of them."""

    def make(path: Path) -> list[Any]:
        from auditor.progress import Silence
        from auditor.training.config import read
        from auditor.training.loop import Training
        from auditor.training.ranks import Ranks
        from auditor.training.start import fresh
        from auditor.training.train import _Session

        plan = read(path)
        session = _Session(plan, tmp_path / "pixels-of-tests", Ranks(), "cpu", Silence())
        session._prepare()
        return [Training(fresh(run)[0], run.strategies, run.seed, session._setting(run)) for run in plan.runs]

    return make


@pytest.fixture(scope="session")
def evidence() -> Any:
    """A rich example: 4 strategies x 2 seeds x 6 classes with failures, gaps and quarantined images; the numbers are invented."""
    from example import EXAMPLE

    from auditor.evidence import Evidence

    return Evidence.from_json(EXAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def counts() -> Counter[str]:
    """What the tiny plugins were asked for since the test began: reads, loads, forwards."""
    found: Counter[str] = sys.__dict__.setdefault("_tiny_counts", Counter())
    found.clear()
    return found
