"""Small networks trained on planted films: with the marker tied to a finding they are flagged, without the tie they are not."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from auditor_plugins.analyses.shortcuts import Shortcuts
from auditor_plugins.datasets.planted import Planted
from torch import nn

from auditor import planted, run
from auditor.evidence import read
from auditor.metric import Metric
from auditor.shortcut_findings import shortcuts

SIDE, TIED = 64, 0.95
ARCHITECTURE = '''"""A network small enough to train in seconds."""

from torch import nn


def build():
    def stage(inside, outside, size):
        return [nn.Conv2d(inside, outside, size, padding=size // 2), nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(2)]

    first = [nn.MaxPool2d(2), *stage(1, 12, 5), *stage(12, 24, 3)]
    return nn.Sequential(*first, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(24, 6))
'''


def films(seed: int, tied: float, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    dataset = Planted(images=images, size=SIDE, split="train", seed=seed, marker=tied)
    listed = dataset.index()
    pixels = torch.from_numpy(np.stack([dataset.read(sample) for sample in listed]))
    return (pixels - 0.39) / 0.29, torch.tensor([sample.labels for sample in listed], dtype=torch.float32)


def trained(build: object, seed: int, tied: float, images: int = 1500, epochs: int = 10) -> nn.Module:
    """Adam on the binary cross-entropy of the six findings."""
    torch.manual_seed(seed)
    network: nn.Module = build()  # type: ignore[operator]
    pixels, labels = films(seed, tied, images)
    adam = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(epochs):
        for rows in torch.randperm(len(pixels)).split(50):  # type: ignore[no-untyped-call]
            adam.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(pixels[rows]), labels[rows]).backward()
            adam.step()
    return network.eval()


def flagged(folder: Path, seeds: Sequence[int]) -> dict[str, list[set[tuple[str, str]]]]:
    """{tied or free: per network the (effect, class) that page one names}, audited on films of a seed of their own."""
    (folder / "small.py").write_text(ARCHITECTURE)
    build = runpy.run_path(str(folder / "small.py"))["build"]
    models = []
    for strategy, tied in (("tied", TIED), ("free", 0.0)):
        for seed in seeds:
            file = f"{strategy}-{seed}.pt"
            torch.save(trained(build, seed, tied).state_dict(), folder / file)
            models.append(
                f"  - {{use: factory, file: small.py, function: build, checkpoint: {file}, strategy: {strategy}, seed: {seed}, "
                f"classes: [{', '.join(planted.CLASSES)}], preprocessing: {{size: {SIDE}, channels: 1, mean: [0.39], std: [0.29]}}}}"
            )
    (folder / "audit.yaml").write_text(
        f"title: t\ndataset: {{use: planted, seed: 1000, images: 400, size: {SIDE}, marker: {TIED}}}\nmodels:\n" + "\n".join(models) +
        "\nreference: free\nanalyses: [{use: shortcuts, objects: [marker], images: 100}]\nreport: {formats: [html], images: false}\nplugins: [small.py]\n"
    )  # fmt: skip
    assert run.run(folder / "audit.yaml", folder / "out", device="cpu").exit_code == 0
    evidence = read(folder / "out")
    metrics: dict[str, Metric] = {metric.name: metric for metric in Shortcuts(objects=("marker",)).metrics}
    found, _ = shortcuts(evidence.summaries, metrics)
    return {
        strategy: [
            {(one.metric, one.class_name) for one in found if one.model == model["id"]}
            for model in evidence.models
            if model["strategy"] == strategy
        ]
        for strategy in ("tied", "free")
    }


@pytest.mark.slow
def test_a_marker_tied_to_a_finding_is_flagged_and_one_that_is_not_is_not(tmp_path: Path) -> None:
    found = flagged(tmp_path, (0, 1))
    for network in found["tied"]:
        assert ("erase_marker", "Nodule") in network
    for network in found["free"]:
        assert not {("erase_marker", "Nodule"), ("paste_letter", "Nodule")} & network
