"""The null ladder in an audit: measured once, from boxes alone, shown beside the networks, and worth nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import run
from auditor.blind import RUNGS
from auditor.evidence import read
from auditor.ledger import Ledger
from auditor.registry import Registry
from auditor.results_schema import Results


def audited(path: Path, out: Path) -> Any:
    result = run.run(path, out, device="cpu")
    assert result.exit_code == 0, result.messages
    return read(out)


def kappas(evidence: Any, class_name: str = "(macro)") -> dict[str, Any]:
    return {row.model: row for row in evidence.select("kappa_loc", class_name=class_name)}


def test_blind_maps_are_measured_from_boxes_alone_and_only_once(
    write_audit: Callable[..., Path], tmp_path: Path, counts: Counter[str]
) -> None:
    path = write_audit(analyses="[alignment]", dataset="{use: tiny, images: 120}")
    evidence = audited(path, tmp_path / "run")
    first = dict(counts)
    assert first["reads"] == 120
    rungs = kappas(evidence)
    assert set(RUNGS) < set(rungs)
    for name in RUNGS:
        assert rungs[name].strategy == "(blind)"
        assert rungs[name].low <= 0 <= rungs[name].high
    results = (tmp_path / "run" / "results.json").read_bytes()
    Results.model_validate(json.loads(results))
    audited(path, tmp_path / "run")
    assert dict(counts) == first, "a second run reads and computes nothing"
    assert (tmp_path / "run" / "results.json").read_bytes() == results


def test_a_network_that_sees_is_told_from_blind_maps_and_contrasted_with_its_interval(
    write_audit: Callable[..., Path], tmp_path: Path
) -> None:
    evidence = audited(write_audit(analyses="[alignment]", dataset="{use: tiny, images: 120}"), tmp_path / "run")
    nodule = kappas(evidence, "Nodule")
    (bce,) = (row for row in nodule.values() if row.strategy == "bce")
    assert bce.low > 0.3
    (row,) = evidence.contrasts("kappa_loc", class_name="Nodule")
    (focal,) = (row for row in nodule.values() if row.strategy == "focal")
    assert row.difference == pytest.approx(focal.value - bce.value)
    assert row.low < row.difference < row.high
    assert row.n_cases == bce.n
    html = (tmp_path / "run" / "report.html").read_text()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "Against maps that cannot know the patient" in words
    for name in RUNGS:
        assert name in words


def test_the_scores_with_other_boxes_come_back_from_the_ledger(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    audited(write_audit(analyses="[alignment]"), tmp_path / "run")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    ledger = Ledger(tmp_path / "run" / "ledger.db")
    unit = next(unit["key"] for unit in plan["units"] if unit["analysis"] == "alignment")
    own, crossed = ledger.values(unit)["cbl"], ledger.elsewhere(unit)["cbl_elsewhere"]
    ledger.close()
    for target in range(3):
        samples = own.sample[own.target == target].tolist()
        table = np.stack([crossed[sample, target] for sample in samples])
        np.testing.assert_allclose(table.diagonal(), own.value[own.target == target], atol=1e-6)


def test_an_image_that_cannot_be_used_lends_its_box_to_no_other(write_audit: Callable[..., Path], tmp_path: Path) -> None:
    evidence = audited(
        write_audit(analyses="[alignment]", dataset="{use: tiny, unreadable: [0]}", max_quarantine="0.5"), tmp_path / "run"
    )
    whole = audited(write_audit(analyses="[alignment]"), tmp_path / "other")
    assert kappas(evidence, "Nodule")["centre prior"].n < kappas(whole, "Nodule")["centre prior"].n


@pytest.mark.slow
def test_an_untrained_network_is_a_rung_whose_interval_contains_nothing(
    write_audit: Callable[..., Path], tmp_path: Path, shared_data: Path
) -> None:
    """On real radiographs; on phantoms even random filters answer to a bright lesion."""
    data = f"{{use: chestxray14, root: '{shared_data / 'chestxray14-sample'}', split: test, task: multilabel}}"
    registry = Registry()
    classes = ", ".join(registry.get("datasets", "chestxray14")(root=shared_data / "chestxray14-sample").classes())
    audit = write_audit(
        dataset=data,
        models=f"\n  - {{use: torchvision, architecture: resnet18, checkpoint: null, strategy: untrained, classes: [{classes}]}}",
        reference="untrained",
        analyses="[alignment]",
        batch="16",
    )
    evidence = audited(audit, tmp_path / "run")
    for row in kappas(evidence).values():
        assert row.low <= 0 <= row.high
    assert "(untrained)" in (tmp_path / "run" / "report.html").read_text()
