"""`models: {from: ...}`: a folder, or a pattern of the folders of networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor import ConfigError, config

CARD = {
    "schema": 1, "use": "t_densenet", "options": {}, "strategy": {"name": "bce"}, "seed": 0, "classes": ["a"], "counts": {},
}  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, seed in (("resnet18-bce-seed0", 0), ("resnet18-bce-seed1", 1), ("t_densenet-bce-seed0", 2)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "model.json").write_text(json.dumps({**CARD, "seed": seed}))
    (tmp_path / "runs" / "pixels").mkdir()
    (tmp_path / "runs" / "log.txt").write_text("")
    return tmp_path / "runs"


def seeds(folder: Path, written: str) -> list[int]:
    path = folder / "audit.yaml"
    path.write_text(f"title: t\ndataset: planted\nmodels: {{from: '{written}'}}\nreference: bce\n")
    return [int(model.options["seed"]) for model in config.read(path).models]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("runs", [0, 1, 2]),
        ("runs/*", [0, 1, 2]),
        ("runs/resnet18-*", [0, 1]),
        ("runs/*-seed0", [0, 2]),
        ("runs/resnet18-bce-seed1", [1]),
    ],
)
def test_a_pattern_takes_the_networks_that_fit_and_nothing_else(runs: Path, written: str, found: list[int]) -> None:
    assert seeds(runs.parent, written) == found


def test_a_pattern_that_fits_nothing_is_a_mistake(runs: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"audit.yaml:3:16: models.from: found no network that fits .*vgg-\*; allowed: folders"
    ):
        seeds(runs.parent, "runs/vgg-*")


def test_a_network_that_is_not_finished_is_not_passed_over(runs: Path) -> None:
    (runs / "resnet18-bce-seed1" / "model.json").rename(runs / "resnet18-bce-seed1" / "state.safetensors")
    assert seeds(runs.parent, "runs/t_densenet-*") == [2]
    for written in ("runs", "runs/resnet18-*"):
        with pytest.raises(ConfigError, match=r"found 1 unfinished network \(resnet18-bce-seed1\): auditor train --resume"):
            seeds(runs.parent, written)
