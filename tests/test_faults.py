"""Many things wrong at once: each ends as promised, and listed = used + quarantined."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from auditor import ExitCode
from auditor.checkpoint import save
from auditor.errors import AuditError
from auditor.run import run

CLASSES = ["Nodule", "Effusion", "Hernia"]
LENS = "preprocessing: {size: 64}"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 that was never trained, its class names inside."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save(path, resnet18(num_classes=3).state_dict(), {"classes": CLASSES})
    return path


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """30 good grey images, and a file for each of the ways in which an image can be wrong."""
    folder = tmp_path / "films"
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows, boxes = [], []
    for number in range(30):
        pixels = draw.integers(0, 120, (64, 80), np.uint8)
        if number % 2:
            pixels[20:40, 30:50] = 250
            boxes.append(f"good-{number:02d}.png,Nodule,30,20,20,20")
        Image.fromarray(pixels).save(folder / f"good-{number:02d}.png")
        rows.append(f"good-{number:02d}.png,p{number // 2},{number % 2},{int(number % 5 == 0)},0")
    whole = (folder / "good-00.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "page.png").write_text("<html>not found</html>")
    Image.fromarray((np.arange(64 * 80).reshape(64, 80) * 12).astype(np.uint16)).save(folder / "sixteen-bit.png")
    grey = draw.integers(0, 255, (64, 80, 1), np.uint8).repeat(3, 2)
    opaque = np.concatenate([grey, np.full((64, 80, 1), 255, np.uint8)], 2)
    Image.fromarray(opaque).save(folder / "rgba-opaque.png")
    Image.fromarray(np.concatenate([grey, np.full((64, 80, 1), 90, np.uint8)], 2)).save(folder / "rgba-see-through.png")
    Image.fromarray(draw.integers(0, 255, (64, 80, 3), np.uint8)).save(folder / "colour.png")
    odd = ["truncated", "empty", "page", "sixteen-bit", "rgba-opaque", "rgba-see-through", "colour", "missing"]
    rows += [f"{name}.png,q{name},1,0,0" for name in odd]
    boxes += ["good-02.png,Nodule,300,20,20,20", "good-04.png,Nodule,70,50,40,40", "good-06.png,Effusion,10,10,0,20"]
    (tmp_path / "labels.csv").write_text("image,patient,Nodule,Effusion,Hernia\n" + "\n".join(rows) + "\n")
    (tmp_path / "boxes.csv").write_text("image,label,x,y,width,height\n" + "\n".join(boxes) + "\n")
    return tmp_path


def audit_of(folder: Path, weights: Path, **options: str) -> Path:
    model = {"use": "torchvision", "architecture": "resnet18", "checkpoint": f"'{weights}'", "strategy": "bce", **options}
    lines = ", ".join(f"{key}: {value}" for key, value in model.items())
    (folder / "audit.yaml").write_text(
        "title: faults\ndataset: {use: image_folder, table: labels.csv, folder: films, boxes: boxes.csv}\n"
        f"models: [{{{lines}, {LENS}}}]\nreference: bce\nattributions: [gradcam]\nreport: {{formats: [html]}}\n"
    )
    return folder / "audit.yaml"


def test_a_folder_full_of_faults_is_audited_and_every_image_is_accounted_for(films: Path, weights: Path) -> None:
    result = run(audit_of(films, weights), films / "out", device="cpu")
    found: dict[str, Any] = json.loads((films / "out" / "results.json").read_text())
    account = found["accounting"]
    reasons = {item["id"].removesuffix(".png"): item["reason"] for item in account["quarantined"]}
    assert set(reasons) == {"truncated", "empty", "page", "rgba-see-through", "colour", "missing"}
    assert reasons["missing"] == "missing"
    assert reasons["truncated"].startswith("decode:")
    assert account["listed"] == account["used"] + len(account["quarantined"]) == 38
    boxes = account["boxes"]
    assert boxes["listed"] == boxes["used"] + len(boxes["quarantined"]) == 18
    assert {(item["id"], item["reason"]) for item in boxes["quarantined"]} == {
        ("good-02.png", "box outside the image"),
        ("good-06.png", "box has no area"),
    }
    assert boxes["clipped"] == 1
    missing = {row["class"]: row["missing"] for row in found["summaries"] if row["metric"] == "auroc" and row["missing"]}
    assert list(missing) == ["Hernia"]
    assert result.exit_code == ExitCode.INCOMPLETE
    page = (films / "out" / "report.html").read_text()
    for reason in reasons.values():
        assert reason in page


def _with_nan(weights: Path, folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    tensors["layer1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    save_file(tensors, folder / "nan.safetensors")
    return folder / "nan.safetensors"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "{attribution: layer44}"}, "no layer 'layer44'.*did you mean layer4"),
        ({"classes": "[Nodule, Effusion]"}, "Nodule, Effusion"),
        ({"classes": "[Nodule, Hernia, Effusion]"}, "order|Hernia"),
        ({"architecture": "resnet19"}, "resnet19.*did you mean"),
        ({"architecture": "resnet34"}, "layer1"),
        ({"checkpoint": "nan"}, "layer1.0.conv1.weight"),
        ({"checkpoint": "absent.safetensors"}, "absent.safetensors"),
    ],
)
def test_a_model_that_is_not_what_was_declared_is_refused_with_exit_2(
    films: Path, weights: Path, options: dict[str, str], words: str
) -> None:
    if options.get("checkpoint") == "nan":
        options = {"checkpoint": f"'{_with_nan(weights, films)}'", "classes": "[Nodule, Effusion, Hernia]"}
    with pytest.raises(AuditError, match=rf"(?s){words}") as refused:
        run(audit_of(films, weights, **options), films / "out", device="cpu")
    assert refused.value.exit_code == ExitCode.REFUSED
    assert "audit.yaml:" in str(refused.value)
    assert not (films / "out" / "results.json").exists()


def test_the_command_line_shows_no_traceback_for_a_users_mistake(films: Path, weights: Path) -> None:
    audit = audit_of(films, weights, layers="{attribution: layer44}")
    words = [sys.executable, "-m", "auditor", "run", str(audit), "--out", str(films / "out"), "--device", "cpu"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.REFUSED
    assert "Traceback" not in ended.stderr
    assert "did you mean layer4?" in ended.stderr
