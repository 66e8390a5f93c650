"""The observer that logs to MLflow: what it logs, what it must not, and what it says where MLflow is missing."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from auditor.errors import ExitCode, MissingLibrary
from auditor.evidence import Evidence

ROOT = Path(__file__).resolve().parent.parent
OBSERVER = ROOT / "examples" / "observers" / "mlflow_observer.py"
ALLOWED = re.compile(r"[\w\-./ ]{1,250}", re.ASCII)


@pytest.fixture(scope="module")
def observer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_observer_under_test", OBSERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recorder(ModuleType):
    """Stands in for mlflow and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.name, self.open = "", False
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.calls: list[int] = []
        self.artifacts: dict[str, str] = {}

    @contextmanager
    def start_run(self, run_name: str) -> Iterator[None]:
        self.name, self.open = run_name, True
        yield
        self.open = False

    def set_tags(self, tags: dict[str, str]) -> None:
        assert self.open
        self.tags |= tags

    def log_metrics(self, metrics: dict[str, float]) -> None:
        assert self.open
        self.calls.append(len(metrics))
        self.metrics |= metrics

    def log_artifact(self, path: str) -> None:
        assert self.open
        self.artifacts[Path(path).name] = Path(path).read_text()

    def log_text(self, text: str, name: str) -> None:
        assert self.open
        self.artifacts[name] = text


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "mlflow", recorder)
    return recorder


def test_every_overall_number_gate_and_file_is_logged(
    observer: ModuleType, mlflow: Recorder, evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("the report")
    monkeypatch.setattr(observer, "AT_ONCE", 100)
    observer.audit_done(evidence, {"html": tmp_path / "report.html"})
    whole = ("(macro)", "(image)", "(model)")
    levels = [row for row in evidence.summaries if row.class_name in whole and row.value is not None]
    contrasts = [row for row in evidence.comparisons if row.class_name in whole and row.difference is not None]
    ends = sum(end is not None for row in contrasts for end in (row.difference, row.low, row.high))
    assert len(mlflow.metrics) == sum(mlflow.calls) == len(levels) + ends
    assert max(mlflow.calls) == 100
    (wanted,) = [r for r in levels if (r.metric, r.class_name, r.model) == ("auroc", "(macro)", "bce-0")]
    assert mlflow.metrics["auroc/macro/bce-0"] == wanted.value
    assert set(mlflow.artifacts) == {"report.html", "results.json"}
    assert json.loads(mlflow.artifacts["results.json"]) == json.loads(evidence.to_json())
    outcomes = [row.outcome for row in evidence.gates]
    assert sorted(value for name, value in mlflow.tags.items() if name.startswith("gate ")) == sorted(outcomes)
    assert mlflow.tags["gates passed"] == str(outcomes.count("passed")) != "0"
    assert mlflow.name == evidence.audit["title"]


def test_what_is_missing_is_counted_and_never_a_number(observer: ModuleType, evidence: Evidence) -> None:
    missing = [replace(row, class_name="(macro)") for row in evidence.summaries if row.value is None]
    assert missing
    alone = replace(evidence, summaries=tuple(missing), comparisons=())
    assert observer.metrics(alone) == {}
    assert observer.tags(alone)["not estimable"] == str(len(missing))


def test_names_are_such_as_mlflow_takes_and_none_is_lost(observer: ModuleType, evidence: Evidence) -> None:
    row = next(row for row in evidence.summaries if row.class_name == "(macro)" and row.value is not None)
    odd = tuple(replace(row, model=name, value=number) for number, name in enumerate(("a · b", "a • b", "x" * 400, "a:b?")))
    found = observer.metrics(replace(evidence, summaries=odd, comparisons=()))
    assert sorted(found.values()) == [0, 1, 2, 3]
    assert all(ALLOWED.fullmatch(name) for name in (*found, *observer.metrics(evidence)))


def test_without_mlflow_it_says_how_to_get_it(
    observer: ModuleType, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingLibrary, match="pip install mlflow-skinny"):
        observer.audit_done(evidence, {})


@pytest.mark.slow
def test_an_audit_tells_it_when_it_is_done(
    write_audit: Callable[..., Path], tmp_path: Path, mlflow: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.run import run

    listed = write_audit().read_text().split("plugins: [")[1].split("]")[0]
    path = write_audit(plugins=f"[{listed}, '{OBSERVER}']")
    assert run(path, tmp_path / "out", device="cpu").exit_code == ExitCode.COMPLETE
    assert mlflow.artifacts["report.html"] == (tmp_path / "out" / "report.html").read_text()
    assert mlflow.artifacts["results.json"] == (tmp_path / "out" / "results.json").read_text()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    again = run(path, tmp_path / "out", device="cpu")
    assert again.exit_code == ExitCode.INCOMPLETE
    assert any("pip install mlflow-skinny" in message for message in again.messages)
    assert again.html is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_real_mlflow_keeps_what_it_logs(
    observer: ModuleType, evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    (tmp_path / "report.html").write_text("the report")
    observer.audit_done(evidence, {"html": tmp_path / "report.html"})
    (found,) = mlflow.search_runs(output_format="list")
    assert found.data.metrics == pytest.approx(observer.metrics(evidence))
    assert observer.tags(evidence).items() <= found.data.tags.items()
    folder = Path(mlflow.artifacts.download_artifacts(run_id=found.info.run_id, dst_path=str(tmp_path / "back")))
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.json"]
