"""The training loop: what all networks of a seed share, what counts, and that it is nothing but a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from auditor.checkpoint import weights_digest
from auditor.errors import ConfigError, PluginError
from auditor.imaging import normalise
from auditor.strategy import TrainingBatch
from auditor.training.config import read

Write = Callable[..., Path]
Make = Callable[[Path], list[Any]]

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing is treated as rare:UserWarning")

ALL = (
    "[bce, wbce, inter_wbce, focal, cb_focal, asl, multi_task, ldam, logit_adjustment, asymmetric_margin, asymmetric_focal,"
    " asymmetric_combined, balanced_sampling, {use: bce, with: [asymmetric_mixup, asymmetric_adversarial]}]"
)


def digest(training: Any) -> str:
    return weights_digest(training.network.state_dict())


def after(training: Any, epochs: int = 2) -> dict[str, Tensor]:
    for number in range(1, epochs + 1):
        training.epoch(number, lambda _: None)
    return dict(training.network.state_dict())


def test_every_strategy_of_a_seed_starts_from_the_same_weights_and_sees_the_same_order(
    write_training: Write, trainings: Make
) -> None:
    made = trainings(write_training(strategies=ALL, seeds="[0, 1]"))
    assert len({digest(training) for training in made}) == 2
    same = [training for training in made if training.seed == 0 and training._drawn is None]
    assert len(same) == 13
    for epoch in (1, 2):
        assert len({training._order(epoch).tobytes() for training in same}) == 1
    assert sorted(same[0]._order(1)) == list(range(24))
    assert (same[0]._order(1) != same[0]._order(2)).any()
    other = next(training for training in made if training.seed == 1)
    assert (other._order(1) != same[0]._order(1)).any()


@pytest.mark.parametrize(
    "neutral",
    [
        "{use: focal, gamma: 0.0, alpha: null}",
        "{use: cb_focal, gamma: 0.0, beta: 0.0}",
        "{use: asymmetric_margin, margin: 0.0, rare: [Mass]}",
        "{use: asymmetric_focal, gamma: 0.0, rare: [Mass]}",
        "{use: asymmetric_combined, gamma: 0.0, margin: 0.0, rare: [Mass]}",
        "{use: asl, gamma_pos: 0.0, gamma_neg: 0.0, clip: 0.0}",
    ],
)
def test_a_strategy_without_its_strength_trains_as_plain_cross_entropy_to_the_bit(
    neutral: str, write_training: Write, trainings: Make
) -> None:
    plain, other = trainings(write_training(network="normed", strategies=f"[bce, {neutral}]"))
    assert plain.epoch(1, lambda _: None) == other.epoch(1, lambda _: None)
    assert digest(plain) == digest(other)


def twin(training: Any, path: Path, epochs: int) -> dict[str, Tensor]:
    """The loop that a user would write, one image and one label at a time where it can be."""
    plan, setting = read(path), training.setting
    from auditor.training.start import fresh

    network = fresh(plan.runs[0])[0].train()
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.recipe.rate, weight_decay=plan.recipe.decay)
    samples = {sample.id: sample for sample in plan.dataset.index()}
    step, steps = 0, epochs * setting.steps
    for epoch in range(1, epochs + 1):
        order = training._order(epoch)
        for start in range(0, setting.steps * setting.batch, setting.batch):
            rows = [setting.training.samples[row] for row in order[start : start + setting.batch]]
            stored = np.stack(
                [np.rint(plan.dataset.read(samples[row.id]) * np.float32(65535)).astype(np.uint16) for row in rows]
            )
            logits = network(normalise(stored, setting.lens))
            entries = [
                binary_cross_entropy_with_logits(logits[i, k], torch.tensor(float(label)))
                for i, row in enumerate(rows)
                for k, label in enumerate(row.labels)
                if label is not None
            ]
            optimiser.param_groups[0]["lr"] = plan.recipe.rate_at(step, steps)
            optimiser.zero_grad()
            torch.stack(entries).mean().backward()
            optimiser.step()
            step += 1
    return dict(network.state_dict())


@pytest.mark.parametrize("unknown", ["", "Effusion"])
def test_it_is_a_plain_loop_over_the_known_labels(unknown: str, write_training: Write, trainings: Make) -> None:
    path = write_training(dataset=f"{{use: squares, split: train, unknown: '{unknown}'}}")
    (training,) = trainings(path)
    found, wanted = after(training), twin(training, path, 2)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=2e-6, rtol=2e-5)


def test_a_class_that_is_never_known_teaches_nothing(write_training: Write, trainings: Make) -> None:
    recipe = "{use: small, epochs: 2, batch: 8, decay: 0.0}"
    made = [
        trainings(write_training(recipe=recipe, dataset=f"{{use: squares, split: train, never: Mass{absent}}}"))[0]
        for absent in ("", ", absent: Mass")
    ]
    before = made[0].network.state_dict()["3.weight"][2].clone()
    first, second = (after(training)["3.weight"] for training in made)
    assert torch.equal(first[2], before)
    assert not torch.equal(first[0], before)
    assert made[0].setting.counts.positives[2] == made[0].setting.counts.negatives[2] == 0
    assert first.shape == second.shape


def test_a_loss_that_learns_is_trained_and_goes_on_where_it_was(write_training: Write, trainings: Make) -> None:
    path = write_training(strategies="[multi_task]", network="normed")
    (straight,), (half,), (resumed,) = (trainings(path) for _ in range(3))
    straight.epoch(1, lambda _: None)
    assert all((weight != 0).all() for weight in straight.criterion.parameters())
    half.epoch(1, lambda _: None)
    resumed.restore({name: value.contiguous().clone() for name, value in half.state().items()}, {})
    assert straight.epoch(2, lambda _: None) == resumed.epoch(2, lambda _: None)
    for name, value in straight.state().items():
        assert torch.equal(value, resumed.state()[name]), name


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_a_restored_optimiser_keeps_its_tensors_as_the_weights_lie_in_memory(
    optimiser: str, write_training: Write, trainings: Make
) -> None:
    path = write_training(recipe=f"{{use: small, epochs: 2, batch: 8, optimiser: {optimiser}}}")
    (half,), (resumed,) = trainings(path), trainings(path)
    half.epoch(1, lambda _: None)
    resumed.restore({name: value.contiguous().clone() for name, value in half.state().items()}, {})
    for weight, kept in resumed.optimiser.state.items():
        assert all(value.stride() == weight.stride() for value in kept.values() if value.shape == weight.shape)
    half.epoch(2, lambda _: None)
    resumed.epoch(2, lambda _: None)
    assert digest(half) == digest(resumed)


def test_balanced_sampling_draws_images_of_rare_classes_more_often(write_training: Write, trainings: Make) -> None:
    path = write_training(dataset="{use: squares, split: train, images: 240}", strategies="[balanced_sampling]")
    (training,) = trainings(path)
    labels = training.setting.training.labels
    drawn = np.bincount(np.concatenate([training._order(epoch) for epoch in range(1, 21)]), minlength=240)
    assert drawn.sum() == 20 * 240
    weights = training._drawn
    expected = 20 * 240 * weights / weights.sum()
    assert (np.abs(drawn - expected) < 5 * np.sqrt(expected) + 1).all()
    assert drawn[labels[:, 2] == 1].mean() > 1.3 * drawn[labels[:, 2] == 0].mean()


@pytest.mark.parametrize("loss", ["focal", "multi_task", "ldam", "asymmetric_margin"])
def test_strategies_that_add_images_go_with_any_loss(loss: str, write_training: Write, trainings: Make) -> None:
    rare = "rare: [Mass]"
    path = write_training(
        strategies=f"[{loss}, {{use: {loss}, with: [{{use: asymmetric_mixup, {rare}}}]}},"
        f" {{use: {loss}, with: [{{use: asymmetric_adversarial, {rare}}}]}},"
        f" {{use: {loss}, with: [{{use: asymmetric_augmentation, {rare}}}, balanced_sampling]}}]",
        recipe="{use: small, epochs: 1, batch: 8, augmentation: paper}",
    )
    made = trainings(path)
    losses = [training.epoch(1, lambda _: None).loss for training in made]
    assert np.isfinite(losses).all()
    assert len({digest(training) for training in made}) == 4


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_on_a_cpu_too(precision: str, write_training: Write, trainings: Make) -> None:
    path = write_training(recipe=f"{{use: small, epochs: 2, batch: 8, precision: {precision}}}")
    (training,), (full,) = trainings(path), trainings(write_training(recipe="{use: small, epochs: 2, batch: 8}"))
    assert training.epoch(1, lambda _: None).loss == pytest.approx(full.epoch(1, lambda _: None).loss, abs=0.02)
    assert all(value.dtype == torch.float32 for value in training.network.state_dict().values())
    assert training.logits().dtype == np.float32


def test_one_number_for_the_batch_is_refused_where_a_label_is_not_known(write_training: Write, trainings: Make) -> None:
    (training,) = trainings(write_training())
    training.criterion = torch.nn.BCEWithLogitsLoss()
    images = torch.zeros(2, 1, 16, 16)
    labels, known = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    assert training._loss(TrainingBatch(images, labels, known)).ndim == 0
    known[0, 0] = False
    with pytest.raises(PluginError, match="bce gives one number for the batch, and some labels are not known"):
        training._loss(TrainingBatch(images, labels, known))


def test_two_strategies_that_decide_the_same_are_refused(write_training: Write, trainings: Make) -> None:
    path = write_training(strategies="[{use: bce, with: [balanced_sampling, asymmetric_augmentation]}]")
    (training,) = trainings(path)
    first, second = training.strategies[1:]
    from auditor.training.strategies import the_one

    labels, counts = training.setting.training.labels, training.setting.counts
    with pytest.raises(PluginError, match="balanced_sampling and other both decide on sampling; allowed: one of them"):
        the_one([first, type("Other", (type(first),), {"name": "other"})()], "sampling", labels, counts)
    assert the_one([second], "sampling", labels, counts) is None


def test_what_a_strategy_names_wrongly_is_said_before_anything_is_trained(write_training: Write, tmp_path: Path) -> None:
    from auditor.training.train import train

    path = write_training(strategies="[bce, {use: bce, with: [{use: asymmetric_mixup, rare: [Masss]}], as: mixed}]")
    with pytest.raises(ConfigError, match=r"train\.yaml:4:10: .*found 'Masss', which is no class.*did you mean Mass\?"):
        train(read(path), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/model.safetensors"))
