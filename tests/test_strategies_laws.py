"""What holds for every loss: the contract, right gradients, no logit too large, maps as rows, and cross-entropy to the bit."""

from __future__ import annotations

import inspect
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from auditor_plugins.strategies.asl import Asl
from auditor_plugins.strategies.asymmetric_adversarial import AsymmetricAdversarial
from auditor_plugins.strategies.asymmetric_augmentation import AsymmetricAugmentation
from auditor_plugins.strategies.asymmetric_combined import AsymmetricCombined
from auditor_plugins.strategies.asymmetric_focal import AsymmetricFocal
from auditor_plugins.strategies.asymmetric_margin import AsymmetricMargin
from auditor_plugins.strategies.asymmetric_mixup import AsymmetricMixup
from auditor_plugins.strategies.balanced_sampling import BalancedSampling
from auditor_plugins.strategies.bce import Bce
from auditor_plugins.strategies.cb_focal import CbFocal
from auditor_plugins.strategies.focal import Focal
from auditor_plugins.strategies.inter_wbce import InterWbce
from auditor_plugins.strategies.ldam import Ldam
from auditor_plugins.strategies.logit_adjustment import LogitAdjustment
from auditor_plugins.strategies.multi_task import MultiTask
from auditor_plugins.strategies.wbce import Wbce

from auditor import ClassCounts, Strategy
from auditor.registry import Registry
from auditor.testing import check_strategy

HOOKS = [BalancedSampling(), AsymmetricMixup(), AsymmetricAdversarial(), AsymmetricAugmentation()]
LOSSES = [
    Bce(), Wbce(), Wbce("pos_weight"), Wbce("batch_pos_weight"), InterWbce(), InterWbce(scale=15), Focal(), Focal(None, 0.5),
    CbFocal(), CbFocal(gamma=0.1), CbFocal(normalise="sum1"), Asl(), Asl(0, 4, 0), Asl(0.5, 0.1, 0.3), MultiTask(),
    MultiTask("sum"), Ldam(), Ldam(logit_scale=30, reweight_after=0), LogitAdjustment(), LogitAdjustment(2), AsymmetricMargin(),
    AsymmetricMargin(symmetric=True), AsymmetricFocal(), AsymmetricFocal(0.5), AsymmetricFocal(symmetric=True),
    AsymmetricCombined(), AsymmetricCombined(symmetric=True),
]  # fmt: skip
EVERY = pytest.mark.parametrize("strategy", LOSSES, ids=str)
TWO = ClassCounts(("rare", "common"), (10, 700), (290, 300))


def example(shape: tuple[int, ...] = (6, 2), scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(shape, generator=draw, dtype=torch.float64)
    return logits, torch.randint(0, 2, shape, generator=draw).double()


def with_gradient(strategy: Strategy, logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    loss = strategy.loss(TWO)(logits, labels)
    return loss.detach(), torch.autograd.grad(loss.mean(), logits)[0]


def test_the_list_of_losses_is_complete() -> None:
    assert {strategy.name for strategy in [*LOSSES, *HOOKS]} == set(Registry().all("strategies"))


@pytest.mark.parametrize(
    "strategy",
    [*LOSSES, AsymmetricMixup(symmetric=True), AsymmetricMixup(rare=("never",)), AsymmetricAdversarial(symmetric=True)],
    ids=str,
)
def test_every_variant_keeps_the_contract(strategy: Strategy) -> None:
    check_strategy(strategy)


@EVERY
def test_gradients_are_those_of_finite_differences(strategy: Strategy) -> None:
    logits, labels = example()
    criterion: Any = strategy.loss(TWO)
    learned = []
    if isinstance(criterion, torch.nn.Module):
        learned = list(criterion.double().parameters())
        learned[0].data += torch.tensor([0.3, -0.7])
    for marks in (labels, 0.2 + 0.5 * labels):
        inputs = (logits.requires_grad_(), *learned)
        assert torch.autograd.gradcheck(lambda z, *_, y=marks: criterion(z, y), inputs)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [80.0, 1e4])
def test_confident_logits_keep_loss_and_gradient_finite(strategy: Strategy, dtype: torch.dtype, size: float) -> None:
    logits = torch.tensor([[size, size], [-size, -size]], dtype=dtype)
    loss, gradient = with_gradient(strategy, logits, torch.tensor([[1, 0], [1, 0]]))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss).all()
    assert loss.sum() > 0
    assert torch.isfinite(gradient).all()


@EVERY
def test_a_more_confident_mistake_never_costs_less(strategy: Strategy) -> None:
    """Over -80 to 80 in float32: no step back where an exponential or a logarithm would give out."""
    logits = torch.linspace(-80, 80, 321)[:, None].expand(-1, 2)
    criterion = strategy.loss(TWO)
    for side in (0.0, 1.0):
        costs = criterion(logits, torch.full_like(logits, side)).detach().double()
        steps = [(after - before) * (1 - 2 * side) for before, after in pairwise(costs)]
        assert min(float(step.min()) for step in steps) >= -1e-6


@EVERY
def test_maps_of_logits_weigh_as_the_same_entries_in_rows(strategy: Strategy) -> None:
    logits, labels = example((3, 2, 4, 5))
    criterion = strategy.loss(TWO)
    rows = (values.movedim(1, -1).reshape(-1, 2) for values in (logits, labels))
    found = criterion(logits, labels).movedim(1, -1).reshape(-1, 2)
    assert torch.allclose(found, criterion(*rows), rtol=1e-12)


@EVERY
@pytest.mark.parametrize("shapes", [((4, 2), (4, 1)), ((4, 1), (4, 1)), ((4,), (4,)), ((4, 3), (4, 3)), ((4, 2), (2,))])
def test_shapes_that_only_broadcast_are_an_error(strategy: Strategy, shapes: tuple[tuple[int, ...], ...]) -> None:
    criterion = strategy.loss(TWO)
    with pytest.raises(ValueError, match="the loss is made for 2 classes"):
        criterion(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.parametrize("strategy", [s for s in LOSSES if s != Wbce("batch_pos_weight")], ids=str)
def test_the_cost_of_a_label_in_between_lies_on_the_line_between_both(strategy: Strategy) -> None:
    """A mixed label is so much of a positive and so much of a negative; weights taken from the labels are another matter."""
    logits, _ = example()
    criterion = strategy.loss(TWO)
    negative, between, positive = (criterion(logits, torch.full_like(logits, label)) for label in (0.0, 0.3, 1.0))
    assert torch.allclose(between, 0.3 * positive + 0.7 * negative, rtol=1e-12)


PLAIN = [
    Focal(None, 0), CbFocal(beta=0, gamma=0), Asl(0, 0, 0), MultiTask(), MultiTask("sum"), Ldam(max_margin=0),
    Ldam(max_margin=0, reweight_after=0, beta=0), LogitAdjustment(0), AsymmetricMargin(0), AsymmetricMargin(0, symmetric=True),
    AsymmetricFocal(0), AsymmetricFocal(0, symmetric=True), AsymmetricCombined(0, 0), AsymmetricCombined(0, 0, symmetric=True),
    *HOOKS,
]  # fmt: skip


@pytest.mark.parametrize("strategy", PLAIN, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_reduces_to_cross_entropy_does_so_to_the_bit(strategy: Strategy, dtype: torch.dtype) -> None:
    logits, labels = (values.to(dtype) for values in example((50, 2), 20))
    wanted, found = with_gradient(Bce(), logits, labels), with_gradient(strategy, logits, labels)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


PAIRS = [
    (AsymmetricFocal(2, ("rare", "common")), Asl(0, 2, 0)),
    (AsymmetricFocal(3, symmetric=True), Focal(None, 3)),
    (AsymmetricCombined(0, 2), AsymmetricFocal(2)),
    (AsymmetricCombined(0.7, 0), AsymmetricMargin(0.7)),
    (CbFocal(beta=0, gamma=2), Focal(None, 2)),
    (Asl(2, 2, 0), Focal(None, 2)),
    (AsymmetricMargin(2, ("common", "rare")), AsymmetricMargin(2, ("rare", "common"))),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=str)
def test_two_names_for_one_loss_agree_to_the_bit(one: Strategy, other: Strategy) -> None:
    logits, labels = example((50, 2))
    for found, wanted in zip(with_gradient(one, logits, labels), with_gradient(other, logits, labels), strict=True):
        assert torch.equal(found, wanted)


def test_halved_weights_halve_the_loss_to_the_bit() -> None:
    logits, labels = example((50, 2), 20)
    even = ClassCounts(("a", "b"), (5, 7), (5, 7))
    wanted = Bce().loss(even)(logits, labels)
    assert torch.equal(Focal(0.5, 0).loss(even)(logits, labels) * 2, wanted)
    assert torch.equal(Wbce().loss(even)(logits, labels) * 2, wanted)


def test_an_easy_negative_keeps_its_digits_in_float32() -> None:
    """Imbalanced data are mostly easy negatives; (1 - y) z - log sigmoid(z) is 0 for them."""
    logits = torch.tensor([[-15.0], [-20.0], [-80.0]])
    found = Bce().loss(ClassCounts(("a",), (1,), (1,)))(logits, torch.zeros(3, 1))
    wanted = [math.log1p(math.exp(z)) for z in logits.flatten().tolist()]
    assert found.flatten().tolist() == pytest.approx(wanted, rel=1e-6)


def test_no_option_is_without_a_bound() -> None:
    """Every number is refused where it is not a number: NaN would train to the end and give nothing."""
    for cls in Registry().all("strategies").values():
        for name, parameter in inspect.signature(cls).parameters.items():
            if isinstance(parameter.default, float):
                with pytest.raises(ValueError, match=f"{name}: found nan; allowed: "):
                    cls(**{name: math.nan})
