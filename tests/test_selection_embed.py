"""Embedding: where features are taken, what is read and how often, and what cannot be used."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor import Dataset, Preprocessing, Sample, Unreadable
from auditor.errors import ModelRefused
from auditor.selection import embed as embedding
from auditor.selection.embed import Embedded, Embedder, embed

LENS = Preprocessing(size=8, channels=1, mean=(0.0,), std=(1.0,))
READS: Counter[str] = Counter()


@dataclass(frozen=True)
class Noise(Dataset):
    """Noise at 8 pixels; some images cannot be read, one repeats another, one is blinding white."""

    name = "noise"
    images: int = 20
    broken: tuple[int, ...] = ()
    white: tuple[int, ...] = ()

    def classes(self) -> tuple[str, ...]:
        return ("a", "b", "c")

    def index(self) -> list[Sample]:
        return [Sample(f"image-{n:03d}", f"patient-{n}", (0, 0, 1)) for n in range(self.images)]

    def read(self, sample: Sample) -> Any:
        number = int(sample.id[-3:])
        READS[sample.id] += 1
        if number in self.broken:
            raise Unreadable("decode:truncated", "it ends early")
        if number in self.white:
            return np.ones((1, 8, 8), np.float32)
        return np.random.default_rng(number % 100).random((1, 8, 8)).astype(np.float32)


def network(tail: nn.Module | None = None, head: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    maps = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
    linear = [nn.Linear(6, 3)] if head == 1 else [nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)]
    found = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *linear, *([tail] if tail else []))
    return nn.Sequential(maps, found)


def ready(module: nn.Module, batch: int = 4, layer: str = "") -> Embedder:
    embedder = Embedder(module, LENS, batch, "cpu")
    embedder.prepare(np.zeros((2, 1, 8, 8), np.uint16) + 9, (), layer)
    return embedder


def run(folder: Path, data: Noise, module: nn.Module | None = None) -> Embedded:
    return embed(data, data.index(), lambda: ready(module or network()), LENS, folder, lambda n: None)


def test_features_are_what_the_last_linear_layer_is_given() -> None:
    module = network()
    embedder = ready(module)
    stored = (np.random.default_rng(0).random((3, 1, 8, 8)) * 65535).astype(np.uint16)
    features, logits = embedder(stored)
    images = torch.from_numpy(stored.astype(np.float32) / 65535)
    np.testing.assert_allclose(features, module[0](images).mean((2, 3)).detach(), atol=1e-6)
    np.testing.assert_allclose(logits, module(images).detach(), atol=1e-6)
    assert embedder.tap == ("1.2", True, True)


def test_a_head_of_two_layers_is_linear_in_its_last_features() -> None:
    embedder = ready(network(head=2))
    assert embedder.tap == ("1.4", True, True)
    assert embedder(np.zeros((1, 1, 8, 8), np.uint16))[0].shape == (1, 4)


def test_logits_that_are_bent_after_the_linear_layer_have_features_but_no_gradient() -> None:
    assert ready(network(nn.Tanh())).tap == ("1.2", True, False)


def test_without_a_linear_layer_the_named_one_is_averaged_over_positions() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    embedder = ready(module, layer="1")
    assert embedder.tap == ("1", False, False)
    stored = (np.random.default_rng(0).random((2, 1, 8, 8)) * 65535).astype(np.uint16)
    inside = module[:2](torch.from_numpy(stored.astype(np.float32) / 65535)).mean((2, 3)).detach()
    np.testing.assert_allclose(embedder(stored)[0], inside, atol=1e-6)
    with pytest.raises(ModelRefused, match="no linear layer has features to compare; name a convolutional one"):
        ready(module)


def test_no_hook_is_left_on_the_network() -> None:
    module = network()
    ready(module)(np.zeros((1, 1, 8, 8), np.uint16))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("chunk", [3, 7, 256])
def test_an_image_is_embedded_alike_whatever_its_companions(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", Noise())
    monkeypatch.setattr(embedding, "CHUNK", chunk)
    parts = run(tmp_path / "parts", Noise())
    assert [s.id for s in parts.samples] == [s.id for s in whole.samples]
    np.testing.assert_array_equal(parts.features, whole.features)
    np.testing.assert_array_equal(parts.logits, whole.logits)


def test_each_image_is_read_once_and_a_second_run_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK", 6)
    READS.clear()
    first = run(tmp_path, Noise())
    assert set(READS.values()) == {1}
    READS.clear()

    def never() -> Embedder:
        raise AssertionError("the network was opened")

    again = embed(Noise(), Noise().index(), never, LENS, tmp_path, lambda n: None)
    assert not READS
    np.testing.assert_array_equal(first.features, again.features)


def test_a_run_that_was_stopped_reads_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK", 6)
    whole = run(tmp_path, Noise())
    (tmp_path / "000001.npz").unlink()
    READS.clear()
    steps: list[int] = []
    again = embed(Noise(), Noise().index(), lambda: ready(network()), LENS, tmp_path, steps.append)
    assert sorted(READS) == [f"image-{n:03d}" for n in range(6, 12)]
    assert sum(steps) == 20
    np.testing.assert_array_equal(whole.features, again.features)


def test_what_cannot_be_read_or_gives_no_number_is_set_apart_with_its_reason(tmp_path: Path) -> None:
    class Bursts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = network()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.inside(images)
            return out / (images.amin((1, 2, 3)) < 1)[:, None]

    found = run(tmp_path, Noise(broken=(2, 5), white=(7,)), Bursts())
    assert found.quarantined == (
        ("image-002", "decode:truncated"),
        ("image-005", "decode:truncated"),
        ("image-007", "nonfinite"),
    )
    assert len(found.samples) == len(found.features) == len(found.logits) == len(found.prints) == 17
    assert np.isfinite(found.features).all()


def test_equal_pictures_have_equal_prints_and_others_have_not(tmp_path: Path) -> None:
    found = run(tmp_path, Noise(images=103))
    prints = dict(zip([s.id for s in found.samples], found.prints, strict=True))
    assert prints["image-101"] == prints["image-001"]
    assert len(set(found.prints)) == 100


def test_a_chunk_of_unreadable_images_leaves_the_others_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK", 5)
    found = run(tmp_path, Noise(broken=(5, 6, 7, 8, 9)))
    assert len(found.samples) == 15
    assert found.features.shape == (15, 6)


def test_a_network_that_fails_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="the network fails on two images: RuntimeError"):
        ready(nn.Sequential(nn.Flatten(), nn.Linear(3, 3)))
