"""The NIH example's audit, on the real sample with networks that have not been trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor import ExitCode
from auditor.run import run

FOURTEEN = (
    "[Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, Pneumothorax, "
    "Consolidation, Edema, Emphysema, Fibrosis, Pleural_Thickening, Hernia]"
)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "classes"), [("multilabel", FOURTEEN), ("binary", "[Unhealthy]")])
def test_two_architectures_on_real_radiographs_give_maps_over_real_boxes(
    shared_data: Path, tmp_path: Path, task: str, classes: str
) -> None:
    lens = f"classes: {classes}, preprocessing: {{size: 96}}"
    audit = tmp_path / "audit.yaml"
    audit.write_text(
        f"title: untrained\ndataset: {{use: chestxray14, root: '{shared_data / 'chestxray14-sample'}', task: {task}}}\n"
        "models:\n"
        f"  - {{use: torchvision, architecture: resnet18, checkpoint: null, strategy: bce, {lens}}}\n"
        f"  - {{use: t_densenet, checkpoint: null, strategy: focal, {lens}}}\n"
        "reference: bce\nattributions: [gradcam]\nreport: {formats: [html, pdf], images: true}\n"
    )
    result = run(audit, tmp_path / "out", device="cpu", limit=80)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result.exit_code == ExitCode.COMPLETE
    assert found["audit"]["limited"]["used"] == 80
    assert found["accounting"]["boxes"]["used"] >= 40
    macro = [row for row in found["summaries"] if row["metric"] == "iobb" and row["class"] == "(macro)"]
    values = [row["value"] for row in macro if row["strategy"] in ("bce", "focal")]
    assert len(values) == 2
    assert all(0 < value < 1 for value in values)
    assert b"data:image/png;base64" in (tmp_path / "out" / "report.html").read_bytes()
    assert (tmp_path / "out" / "report.pdf").read_bytes().startswith(b"%PDF")
