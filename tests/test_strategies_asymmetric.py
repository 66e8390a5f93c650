"""Asymmetric margin, focal and combined: the worked examples, the softmax they come from, and which classes are rare."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from auditor_plugins.strategies._rarity import rare_classes, rare_images
from auditor_plugins.strategies.asymmetric_adversarial import AsymmetricAdversarial
from auditor_plugins.strategies.asymmetric_augmentation import AsymmetricAugmentation
from auditor_plugins.strategies.asymmetric_combined import AsymmetricCombined
from auditor_plugins.strategies.asymmetric_focal import AsymmetricFocal
from auditor_plugins.strategies.asymmetric_margin import AsymmetricMargin
from auditor_plugins.strategies.asymmetric_mixup import AsymmetricMixup
from auditor_plugins.strategies.bce import Bce

from auditor import ClassCounts, ConfigError, Strategy
from auditor.registry import Registry

ONE = ClassCounts(("Hernia",), (227,), (111_893,))
CHEST = ClassCounts(("Infiltration", "Pneumonia", "Hernia"), (19_894, 1431, 227), (92_226, 110_689, 111_893))


def cost(strategy: Strategy, sizes: ClassCounts, logits: list[float], labels: list[float]) -> list[float]:
    found = strategy.loss(sizes)(torch.tensor([logits], dtype=torch.float64), torch.tensor([labels], dtype=torch.float64))
    return [float(value) for value in found[0]]


COLUMNS = [
    Bce(), AsymmetricMargin(1), AsymmetricMargin(1, symmetric=True), AsymmetricFocal(2, symmetric=True), AsymmetricFocal(2),
    AsymmetricCombined(1, 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("z", "y", "losses"),
    [
        (0.8, 1, (0.371101, 0.798139, 0.798139, 0.035669, 0.371101, 0.798139)),
        (0.8, 0, (1.171101, 1.171101, 1.952978, 0.557520, 0.557520, 0.557520)),
        (-1.5, 1, (1.701413, 2.578890, 2.578890, 1.137272, 1.701413, 2.578890)),
        (-1.5, 0, (0.201413, 0.201413, 0.474077, 0.006703, 0.006703, 0.006703)),
    ],
)
def test_the_worked_example_of_one_rare_class_is_reproduced(z: float, y: int, losses: tuple[float, ...]) -> None:
    for strategy, wanted in zip(COLUMNS, losses, strict=True):
        assert cost(strategy, ONE, [z], [y]) == pytest.approx([wanted], abs=1e-6), strategy


def test_the_worked_example_of_three_labels_is_reproduced() -> None:
    losses = cost(AsymmetricFocal(2), CHEST, [0.8, -1.5, 0.3], [1, 1, 0])
    assert losses == pytest.approx([0.035669, 1.701413, 0.281924], abs=1e-6)
    assert math.fsum(losses) / 3 == pytest.approx(0.673002, abs=1e-6)


def softmax_loss(z: list[float], label: int, rare: list[float], margin: float, gamma: float) -> float:
    """The paper's loss of one image with one label among several: margin for its own logit, focus where it is not rare."""
    moved = [value - margin * rare[j] * (j == label) for j, value in enumerate(z)]
    q = math.exp(moved[label]) / math.fsum(math.exp(value) for value in moved)
    return -((1 - q) ** gamma if not rare[label] else 1.0) * math.log(q)


@pytest.mark.parametrize(
    ("label", "rare", "margin", "gamma", "wanted"),
    [
        (2, [0, 0, 1], 0, 0, 1.845911), (2, [1, 1, 1], 0.5, 0, 2.281777), (2, [0, 0, 1], 0.5, 0, 2.281777),
        (2, [0, 0, 0], 0, 2, 1.309054), (2, [0, 0, 1], 0, 2, 1.845911), (2, [0, 0, 1], 0.5, 2, 2.281777),
        (0, [0, 0, 1], 0, 0, 0.645911), (0, [0, 0, 1], 0.5, 0, 0.645911), (0, [1, 1, 1], 0.5, 0, 0.914924),
        (0, [0, 0, 0], 0, 2, 0.146235), (0, [0, 0, 1], 0, 2, 0.146235), (0, [0, 0, 1], 0.5, 2, 0.146235),
    ],
)  # fmt: skip
def test_the_softmax_written_out_reproduces_its_worked_example(
    label: int, rare: list[float], margin: float, gamma: float, wanted: float
) -> None:
    assert softmax_loss([1, 0.5, -0.2], label, rare, margin, gamma) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("z", [-3.0, -0.4, 0.0, 0.7, 2.5])
@pytest.mark.parametrize("label", [0, 1])
def test_the_losses_are_the_softmax_of_two_classes(z: float, label: int) -> None:
    """The negative's logit is 0, and the positive is the rare class."""
    for strategy, margin, gamma in (
        (AsymmetricMargin(0.8), 0.8, 0.0),
        (AsymmetricFocal(3), 0.0, 3.0),
        (AsymmetricCombined(0.8, 3), 0.8, 3.0),
    ):
        wanted = softmax_loss([0, z], label, [0, 1], margin, gamma)
        assert cost(strategy, ONE, [z], [label]) == pytest.approx([wanted], rel=1e-12)
    wanted = softmax_loss([0, z], label, [1, 1], 0.8, 0.0)
    assert cost(AsymmetricMargin(0.8, symmetric=True), ONE, [z], [label]) == pytest.approx([wanted], rel=1e-12)


def test_positives_of_rare_classes_cost_cross_entropy_to_the_bit_whatever_the_focus() -> None:
    logits = torch.linspace(-30, 30, 61)[:, None].requires_grad_()
    entries = [strategy.loss(ONE)(logits, torch.ones_like(logits)) for strategy in (AsymmetricFocal(4), Bce())]
    gradients = [torch.autograd.grad(entry.sum(), logits)[0] for entry in entries]
    assert torch.equal(*entries)
    assert torch.equal(*gradients)


def test_a_class_with_under_five_percent_positives_is_rare() -> None:
    sizes = ClassCounts(("49", "50", "none", "all", "nothing"), (49, 50, 0, 100, 0), (951, 950, 100, 0, 0))
    assert rare_classes(sizes, None, "x") == [True, False, True, False, False]
    assert rare_classes(CHEST, None, "x") == [False, True, True]
    assert rare_classes(CHEST, ("Infiltration",), "x") == [True, False, False]


KINDS = [AsymmetricMargin, AsymmetricFocal, AsymmetricCombined, AsymmetricMixup, AsymmetricAdversarial, AsymmetricAugmentation]


def asked(strategy: Any, sizes: ClassCounts) -> None:
    """Whatever of the strategy asks which classes are rare."""
    from auditor import TrainingBatch

    number = len(sizes.classes)
    batch = TrainingBatch(torch.zeros(2, 1, 1, number), torch.zeros(2, number), torch.ones(2, number, dtype=torch.bool))
    strategy.loss(sizes)
    strategy.augmentation(batch.labels.numpy().astype("int8"), sizes)
    strategy.extra(batch, torch.nn.Flatten(), sizes, torch.Generator())


@pytest.mark.parametrize("kind", KINDS)
def test_a_rare_class_that_is_none_is_refused_with_the_nearest_name(kind: Any) -> None:
    words = f"^{kind.name}: rare: found 'Hernai', which is no class; allowed: .*; did you mean Hernia\\?$"
    with pytest.raises(ConfigError, match=words):
        asked(kind(rare=("Pneumonia", "Hernai")), CHEST)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_being_rare_is_said(kind: Any) -> None:
    balanced = ClassCounts(("Unhealthy",), (51_759,), (60_361,))
    with pytest.warns(UserWarning, match=f"^{kind.name}: rare: found no class has under 5 % positives, so nothing is treated"):
        asked(kind(), balanced)
    with pytest.warns(UserWarning, match="rare: found an empty list"):
        asked(kind(rare=()), balanced)
    asked(kind(rare=("Unhealthy",)), balanced)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_symmetric_variant_takes_no_rare_classes_and_asks_for_none(kind: Any) -> None:
    with pytest.raises(ValueError, match="rare: found a list beside symmetric: true; allowed: one of the two"):
        kind(rare=("Hernia",), symmetric=True)
    asked(kind(symmetric=True), ClassCounts(("Unhealthy",), (51_759,), (60_361,)))


def test_an_image_is_rare_by_any_positive_of_a_rare_class() -> None:
    import numpy as np

    labels = np.array([[1, 0, 0], [1, 0, 1], [0, -1, -1], [0, 1, -1], [0, 0, 0]], dtype=np.int8)
    assert rare_images(labels, [False, True, True]).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("kind", "options"),
    [(AsymmetricMargin, {"margin": -0.1}), (AsymmetricFocal, {"gamma": -1.0}), (AsymmetricCombined, {"margin": -1.0}),
     (AsymmetricCombined, {"gamma": -1.0}), (AsymmetricMixup, {"alpha": 0.0}), (AsymmetricMixup, {"margin": 1.5}),
     (AsymmetricAdversarial, {"eps_rms": -0.1}), (AsymmetricAugmentation, {"p_common": 1.5})],
)  # fmt: skip
def test_options_out_of_range_are_refused(kind: Any, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found .*; allowed: "):
        kind(**options)


def test_rare_classes_are_named_in_yaml(tmp_path: Path) -> None:
    options = Registry().options("strategies", "asymmetric_margin")
    assert options.make({"margin": 0.2, "rare": ["Hernia"]}, tmp_path) == AsymmetricMargin(0.2, ("Hernia",))
