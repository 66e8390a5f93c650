"""Training on masks: every strategy, the loss of a plain loop, masks that move with their images, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.strategies.asymmetric_mixup import mixed_hard
from torch.nn.functional import binary_cross_entropy_with_logits

from auditor import AuditError, TrainingBatch
from auditor.masks import prepare_mask
from auditor.training.augment import LOTS, MARGIN, vary, vary_masks
from auditor.training.config import read
from auditor.training.outlines import targets
from auditor.training.train import train

Write = Callable[..., Path]
Make = Callable[[Path], list[Any]]

OUTLINING = Path(__file__).parent / "plugins_for_tests" / "outlining.py"
STRATEGIES = (
    "[bce, wbce, inter_wbce, focal, cb_focal, asl, multi_task, ldam, logit_adjustment, asymmetric_margin, asymmetric_focal,"
    " asymmetric_combined, balanced_sampling, {use: bce, with: [asymmetric_augmentation]},"
    " {use: bce, with: [asymmetric_mixup, asymmetric_adversarial]}]"
)

pytestmark = pytest.mark.filterwarnings("ignore:.*(nothing is treated as rare|without positives):UserWarning")


@pytest.fixture
def write_outlining(write_training: Write) -> Write:
    """Writes the train.yaml of a network that outlines findings on 12 planted films of 32 pixels."""

    def write(folder: Path | None = None, more: str = "", function: str = "build", **lines: str) -> Path:
        film = "preprocessing: {size: 32, channels: 1, mean: [0.4], std: [0.25]}"
        network = f"{{use: factory, file: '{OUTLINING}', function: {function}, output: pixels, {film}{more}}}"
        content = {
            "dataset": "{use: planted, split: train, images: 12, size: 32}", "validation": "{split: val, images: 8}",
            "models": f"[{network}]", "recipe": "{use: small, epochs: 2, batch: 6, warmup: 2}", "plugins": f"['{OUTLINING}']",
        }  # fmt: skip
        return write_training(folder, **{**content, **lines})

    return write


def test_every_strategy_trains_a_network_that_outlines(write_outlining: Write, trainings: Make) -> None:
    for training in trainings(
        write_outlining(strategies=STRATEGIES, dataset="{use: planted, split: train, images: 6, size: 32}")
    ):
        before = {name: value.clone() for name, value in training.network.state_dict().items()}
        epoch = training.epoch(1, lambda _: None)
        assert np.isfinite(epoch.loss)
        assert 0 <= epoch.macro <= 1
        assert not torch.equal(training.network[0].weight, before["0.weight"])


@pytest.mark.parametrize("step", [1, 2])
def test_the_loss_is_the_mean_of_cross_entropy_over_the_known_pixels(
    write_outlining: Write, trainings: Make, step: int
) -> None:
    (training,) = trainings(write_outlining(more=f", options: {{step: {step}}}"))
    setting = training.setting
    masks = np.array(setting.outlines.training)
    masks[:, :, :5] = 255
    object.__setattr__(setting.outlines, "training", masks)
    numbers = np.arange(6)
    batch = training._batch(numbers, setting.training_pixels.rows(numbers), np.zeros((6, LOTS), np.float32), np.ones(6, bool))
    logits = training.network.eval()(batch.images).detach()
    entries = [
        binary_cross_entropy_with_logits(logits[n, k, y, x], torch.tensor(float(masks[n, k, y * step + step // 2, x * step + step // 2])))
        for n in range(6) for k in range(6) for y in range(32 // step) for x in range(0, 32 // step, 4)
        if masks[n, k, y * step + step // 2, x * step + step // 2] != 255
    ]  # fmt: skip
    narrow = TrainingBatch(batch.images, batch.labels, batch.known.clone())
    narrow.known[..., torch.arange(32 // step) % 4 != 0] = False
    assert float(training._loss(narrow).detach()) == pytest.approx(float(torch.stack(entries).mean()), rel=1e-5)


def test_losses_are_balanced_by_pixels_and_images_are_chosen_by_images(write_outlining: Write, trainings: Make) -> None:
    (training,) = trainings(write_outlining(strategies="[{use: wbce, with: [balanced_sampling]}]"))
    setting = training.setting
    data, lens = setting.training.dataset, setting.lens
    inside = sum(prepare_mask(data.mask(sample), lens)[0].sum((1, 2), dtype=int) for sample in setting.training.samples)
    assert setting.balance.positives == tuple(inside.tolist())
    assert setting.balance.negatives == tuple((12 * 32 * 32 - inside).tolist())
    assert sum(setting.counts.positives) + sum(setting.counts.negatives) == 12 * 6
    assert training._drawn.shape == (12,)


@pytest.mark.parametrize("kind", ["none", "flip", "paper", "imba_explain"])
def test_masks_move_as_their_images_do(kind: Any) -> None:
    """The image is its own mask, so that the two must agree but on the blurred border."""
    size = 32 if kind in ("none", "flip") else round(32 * MARGIN)
    random = np.random.default_rng(0)
    masks = torch.zeros((24, 1, size, size), dtype=torch.uint8)
    for mask in masks:
        top, left = random.integers(2, size - 16, 2)
        mask[0, top : top + 14, left : left + 9] = 1
    lots = torch.from_numpy(random.random((24, LOTS), np.float32))
    lots[:, 9], lots[:, 12] = 1, 1  # neither holes nor other greys
    lots[:, 10:12] = 0.5
    chosen = torch.arange(24) % 4 != 0
    seen, moved = vary(masks.float(), lots, chosen, kind, 32), vary_masks(masks, lots, chosen, kind, 32)
    assert moved.shape == (24, 1, 32, 32)
    assert moved.dtype == torch.uint8
    assert (moved[seen > 0.99] == 1).all()
    assert (moved[seen < 0.01] == 0).all()
    assert (seen > 0.99).sum() > 500


def test_labels_of_pixels_are_read_at_the_middle_of_each_cell() -> None:
    masks = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    masks[0, 0, 1, 1], masks[0, 0, 3, 3] = 255, 1
    labels, known = targets(masks, (2, 2))
    assert labels.tolist() == [[[[0, 0], [0, 1]]]]
    assert known.tolist() == [[[[False, True], [True, True]]]]


def test_pixels_are_mixed_as_images_would_be_one_by_one() -> None:
    chance = torch.Generator().manual_seed(0)
    labels = (torch.rand((4, 2, 3, 3), generator=chance) < 0.5).float()
    known = torch.rand(labels.shape, generator=chance) < 0.8
    batch = TrainingBatch(torch.rand((4, 1, 3, 3), generator=chance), labels * known, known)
    for share in (0.1, 0.5, 0.75):
        whole = mixed_hard(batch, share, 0.2, [True, False])
        for y in range(3):
            for x in range(3):
                one = TrainingBatch(batch.images, batch.labels[..., y, x], batch.known[..., y, x])
                single = mixed_hard(one, share, 0.2, [True, False])
                assert torch.equal(whole.labels[..., y, x], single.labels)
                assert torch.equal(whole.known[..., y, x], single.known)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"function": "whole"}, r"models\[0\]: the network gives \[1, 6\] for 1 images, not logits \[1, K, h, w\]"),
        ({"more": ", options: {step: 3}"}, r"a grid of 11 x 11 for images of 32 x 32; allowed: every pixel, or every s-th"),
        (
            {"more": ", options: {classes: 5}"},
            r"the network gives \[2, 5, 32, 32\]; allowed: logits \[2, 6, 32, 32\], one per class",
        ),
    ],
)
def test_networks_that_do_not_outline_are_refused_before_anything_is_trained(
    write_outlining: Write, tmp_path: Path, lines: dict[str, str], words: str
) -> None:
    with pytest.raises(AuditError, match=words):
        train(read(write_outlining(**lines)), tmp_path / "runs")


def test_a_data_set_without_masks_cannot_teach_pixels(write_outlining: Write, tmp_path: Path) -> None:
    squares = Path(__file__).parent / "plugins_for_tests" / "trainable.py"
    path = write_outlining(
        dataset="{use: squares, split: train}", validation="{split: val, images: 6}", more=", options: {classes: 3}",
        plugins=f"['{OUTLINING}', '{squares}']",
    )  # fmt: skip
    with pytest.raises(
        AuditError, match=r"dataset: none of the 24 training images has a mask to learn pixels from: no mask \(24\)"
    ):
        train(read(path), tmp_path / "runs")


@pytest.mark.slow
def test_an_audit_takes_up_networks_that_outline(write_outlining: Write, write_audit: Write, tmp_path: Path) -> None:
    from auditor.run import run

    result = train(read(write_outlining(strategies="[bce, asymmetric_focal]")), tmp_path / "runs")
    assert all("on pixels of the validation images" in line for line in result.lines)
    data = "{use: planted, split: test, images: 12, size: 32}"
    lines = {
        "dataset": data, "training_images": "{split: train}", "models": f"{{from: '{tmp_path / 'runs'}'}}", "attributions": "[]",
        "analyses": "[pixel_logit_shift]", "plugins": f"['{OUTLINING}']", "batch": "6",
    }  # fmt: skip
    assert run(write_audit(tmp_path / "a", **lines), tmp_path / "out", device="cpu").exit_code == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    measured = {row["metric"] for row in found["summaries"] if row["value"] is not None}
    assert {"dice", "pixel_margin_shift_background", "pixel_crossing_background"} <= measured
    lines["models"] = f"{{from: '{tmp_path / 'runs'}', output: image}}"
    other = write_audit(tmp_path / "b", **lines | {"analyses": "[performance]"})
    with pytest.raises(AuditError, match=r"says otherwise than audit\.yaml: output pixels, not image"):
        run(other, tmp_path / "other", device="cpu")
