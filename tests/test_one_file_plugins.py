"""A stranger's one-file data set, model, attribution, analysis and section audit together, touching no other file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from auditor import ExitCode, scaffold
from auditor.checkpoint import save
from auditor.registry import KINDS, Registry, singular
from auditor.run import run

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "one_file_plugin"
WORDS = [singular(kind) for kind in KINDS]


@pytest.mark.parametrize("kind", WORDS)
def test_an_example_is_what_auditor_new_writes_and_has_at_most_30_lines(kind: str) -> None:
    text = (EXAMPLES / f"my_{kind}.py").read_text()
    assert text == scaffold.text(kind, f"my_{kind}")
    assert len(text.splitlines()) <= 30


def test_five_strangers_files_make_an_audit(tmp_path: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    rows = []
    for number in range(12):
        pixels = draw.integers(0, 90, (40, 48), np.uint8)
        if number % 3 == 0:
            pixels[10:20, 10:20] = 230
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,p{number // 2},{int(number % 3 == 0)}")
    (tmp_path / "labels.csv").write_text("file,patient,abnormal\n" + "\n".join(rows) + "\n")
    for kind in WORDS:
        shutil.copy(EXAMPLES / f"my_{kind}.py", tmp_path)
    registry = Registry(["my_model.py"], tmp_path)
    fresh = registry.get("models", "my_model")
    import torch
    from torch import nn

    torch.manual_seed(0)
    maps = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    network = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))
    save(tmp_path / "weights.safetensors", dict(network.state_dict()), {})
    assert fresh(checkpoint=tmp_path / "weights.safetensors", classes=("abnormal",), strategy="bce").load() is not None
    model = "use: my_model, checkpoint: weights.safetensors, classes: [abnormal], preprocessing: {size: 32}"
    (tmp_path / "audit.yaml").write_text(
        "title: strangers\ndataset: {use: my_dataset, root: .}\n"
        f"models: [{{{model}, strategy: bce}}, {{{model}, strategy: focal}}]\n"
        "reference: bce\nattributions: [my_attribution]\nanalyses: [performance, my_analysis]\n"
        "report: {formats: [html]}\n"
        f"plugins: [{', '.join(f'my_{kind}.py' for kind in WORDS)}]\n"
    )
    result = run(tmp_path / "audit.yaml", tmp_path / "out", device="cpu")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert result.exit_code == ExitCode.COMPLETE
    assert {row["metric"] for row in found["summaries"]} >= {"auroc", "my_analysis_sureness"}
    assert "What was measured" in page
    assert "my_analysis_sureness" in page
