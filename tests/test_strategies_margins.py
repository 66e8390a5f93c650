"""inter_wbce, asl, multi_task, ldam and logit_adjustment, held to their definitions and to the softmax they come from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from auditor_plugins.strategies.asl import Asl
from auditor_plugins.strategies.bce import Bce
from auditor_plugins.strategies.inter_wbce import InterWbce
from auditor_plugins.strategies.ldam import Ldam
from auditor_plugins.strategies.logit_adjustment import LogitAdjustment
from auditor_plugins.strategies.multi_task import MultiTask
from torch.nn.functional import cross_entropy

from auditor import ClassCounts, Strategy
from auditor.registry import Registry

NIH = (11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227, 60361)


def counts(*pairs: tuple[int, int]) -> ClassCounts:
    return ClassCounts(tuple(f"class{number}" for number in range(len(pairs))), *zip(*pairs, strict=True))


def example(shape: tuple[int, ...] = (8, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return 3 * torch.randn(shape, generator=draw, dtype=torch.float64), torch.randint(0, 2, shape, generator=draw).double()


def cost(strategy: Strategy, sizes: ClassCounts, label: float, logit: float = 0.0) -> list[float]:
    """What one entry of each class costs."""
    entries = torch.full((1, len(sizes.classes)), logit, dtype=torch.float64)
    return [float(value) for value in strategy.loss(sizes)(entries, torch.full_like(entries, label))[0]]


def two_class(logits: torch.Tensor) -> torch.Tensor:
    """[N, 1] as the softmax of two classes sees it: the negative's logit is 0."""
    return torch.cat([torch.zeros_like(logits), logits], 1)


def test_inter_class_weights_grow_with_the_root_of_the_positives() -> None:
    """10 and 5 over their mean, 7.5."""
    for label in (0.0, 1.0):
        found = cost(InterWbce(), counts((100, 900), (25, 975)), label)
        assert found == pytest.approx([4 / 3 * math.log(2), 2 / 3 * math.log(2)])


def test_inter_class_weights_are_those_of_the_repository_for_its_fifteen_classes() -> None:
    raw = [math.sqrt(n / (max(NIH) + sum(NIH))) for n in NIH]
    wanted = [15 * math.log(2) * weight / sum(raw) for weight in raw]
    found = cost(InterWbce(), counts(*[(n, 112_120 - n) for n in NIH]), 1)
    assert found == pytest.approx(wanted, rel=1e-12)
    assert found[13] == min(found), "Hernia, the rarest, weighs least"


@pytest.mark.parametrize("clip", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(("gamma_pos", "gamma_neg"), [(1.0, 4.0), (0.0, 4.0), (0.5, 0.3), (0.0, 0.0)])
def test_the_asymmetric_loss_is_its_definition_written_out(gamma_pos: float, gamma_neg: float, clip: float) -> None:
    logits, labels = example()
    found = Asl(gamma_pos, gamma_neg, clip).loss(counts(*[(1, 1)] * 3))(logits, labels)
    for z, y, loss in zip(logits.flatten().tolist(), labels.flatten().tolist(), found.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        shifted = max(p - clip, 0.0)
        wanted = -((1 - p) ** gamma_pos) * math.log(p) if y else -(shifted**gamma_neg) * math.log(1 - shifted)
        assert loss == pytest.approx(wanted, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("gamma_neg", [0.0, 0.1, 1.0, 4.0])
def test_negatives_below_the_clip_cost_nothing_and_pull_at_nothing(gamma_neg: float) -> None:
    edge = math.log(0.05 / 0.95)
    logits = torch.tensor([[-80.0], [-10.0], [edge - 0.01], [edge + 0.01]], requires_grad=True)
    loss = Asl(1, gamma_neg, 0.05).loss(counts((1, 1)))(logits, torch.zeros(4, 1))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert loss[:3].abs().sum() == 0
    assert gradient[:3].abs().sum() == 0
    assert loss[3] > 0
    assert gradient[3] > 0


@pytest.mark.parametrize("logit_scale", [1.0, 30.0])
def test_ldam_is_the_softmax_of_two_classes_with_margins(logit_scale: float) -> None:
    """The paper's loss with the negatives as class 0 and the positives as class 1, written with torch's cross-entropy."""
    logits, labels = example((40, 1))
    sizes = torch.tensor([90.0, 10.0], dtype=torch.float64)
    margins = 0.5 * (sizes.min() / sizes) ** 0.25
    moved = two_class(logits) - margins * torch.nn.functional.one_hot(labels[:, 0].long(), 2)
    wanted = cross_entropy(logit_scale * moved, labels[:, 0].long(), reduction="none")
    found = Ldam(logit_scale=logit_scale).loss(counts((10, 90)))(logits, labels)
    assert torch.allclose(found[:, 0], wanted, rtol=1e-9)


def test_the_rarest_label_of_all_has_the_largest_margin_and_others_by_the_fourth_root() -> None:
    """At z = 0 the loss is softplus(m), so m can be read off: 16 times as many samples, half the margin."""
    sizes = counts((10, 160), (160, 2560))
    margins = [[math.log(math.expm1(loss)) for loss in cost(Ldam(max_margin=0.8), sizes, label)] for label in (1.0, 0.0)]
    assert margins[0] == pytest.approx([0.8, 0.4])
    assert margins[1] == pytest.approx([0.4, 0.2])


def test_weights_of_ldam_start_after_their_share_of_the_epochs_and_not_before() -> None:
    sizes = counts((10, 90), (300, 700))
    criterion: Any = Ldam(max_margin=0, reweight_after=0.8, beta=0.99).loss(sizes)
    logits = torch.zeros(1, 2, dtype=torch.float64)
    found = {}
    for epoch in (1, 160, 161, 200, 3):  # 3: a training that is resumed
        criterion.begin_epoch(epoch, 200)
        found[epoch] = [criterion(logits, torch.full_like(logits, label))[0] / math.log(2) for label in (1.0, 0.0)]
    for epoch in (1, 160, 3):
        assert torch.stack(found[epoch]).flatten().tolist() == pytest.approx([1.0] * 4)
    raw = [(1 - 0.99) / (1 - 0.99**n) for n in (10, 300, 90, 700)]
    for epoch in (161, 200):
        assert torch.stack(found[epoch]).flatten().tolist() == pytest.approx([4 * w / sum(raw) for w in raw])


@pytest.mark.parametrize(("share", "epochs"), [(0.29, 100), (0.1, 30), (0.7, 10), (0.0, 3)])
def test_a_share_of_the_epochs_is_counted_without_rounding(share: float, epochs: int) -> None:
    sizes = counts((10, 90))
    criterion: Any = Ldam(max_margin=0, reweight_after=share).loss(sizes)
    logits = torch.zeros(1, 1, dtype=torch.float64)
    plain = 0
    for epoch in range(1, epochs + 1):
        criterion.begin_epoch(epoch, epochs)
        plain += criterion(logits, torch.ones_like(logits)).item() == pytest.approx(math.log(2))
    assert plain == round(share * epochs)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_is_the_softmax_of_two_classes_with_their_priors(tau: float) -> None:
    logits, labels = example((40, 1))
    priors = torch.tensor([0.9, 0.1], dtype=torch.float64)
    wanted = cross_entropy(two_class(logits) + tau * priors.log(), labels[:, 0].long(), reduction="none")
    found = LogitAdjustment(tau).loss(counts((10, 90)))(logits, labels)
    assert torch.allclose(found[:, 0], wanted, rtol=1e-9)


def test_a_network_that_knows_nothing_is_drawn_to_even_odds_by_logit_adjustment() -> None:
    """10 positives and 90 negatives: cross-entropy pulls a constant logit to log(1/9), the adjusted loss to 0."""
    labels = torch.tensor([[1.0]] * 10 + [[0.0]] * 90, dtype=torch.float64)
    for strategy, rest in ((LogitAdjustment(), 0.0), (Bce(), math.log(1 / 9))):
        constant = torch.tensor(rest, dtype=torch.float64, requires_grad=True)
        strategy.loss(counts((10, 90)))(constant.expand(100, 1), labels).sum().backward()
        assert constant.grad is not None
        assert constant.grad.item() == pytest.approx(0, abs=1e-9)


def test_the_multi_task_loss_is_the_published_one_over_the_number_of_classes() -> None:
    logits, labels = example()
    sizes = counts(*[(10, 90)] * 3)
    entries = Bce().loss(sizes)(logits, labels)
    variances = torch.tensor([0.4, -1.1, 2.0], dtype=torch.float64)
    for penalty, rest in (("mean", variances.mean() / 2), ("sum", variances.sum() / 2)):
        criterion: Any = MultiTask(penalty).loss(sizes).double()
        criterion.log_variance.data.copy_(variances)
        wanted = (entries / variances.exp()).mean() + rest
        assert criterion(logits, labels).mean().item() == pytest.approx(wanted.item(), rel=1e-12)


def test_the_learned_weight_of_a_class_settles_at_half_over_its_loss() -> None:
    sizes = counts((10, 90), (50, 50))
    criterion: Any = MultiTask().loss(sizes).double()
    logits = torch.tensor([[-3.0, 0.0]], dtype=torch.float64)
    optimiser = torch.optim.Adam(criterion.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        criterion(logits, torch.zeros_like(logits)).mean().backward()
        optimiser.step()
    wanted = [0.5 / cost(Bce(), counts((1, 1)), 0, z)[0] for z in (-3.0, 0.0)]
    assert (-criterion.log_variance).exp().tolist() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (InterWbce(), "weights of 1"),
        (MultiTask(), "weights of 1"),
        (LogitAdjustment(), "no shift"),
        (Ldam(reweight_after=0), "no margin, weights of 1"),
    ],
    ids=str,
)
def test_a_class_with_one_side_only_costs_cross_entropy_and_is_named(strategy: Strategy, words: str) -> None:
    sizes = ClassCounts(("Mass", "Hernia", "Every", "Empty"), (10, 0, 100, 0), (90, 100, 0, 0))
    with pytest.warns(UserWarning, match=f"^{strategy.name}: {words} for classes without .*: Hernia, Every, Empty$"):
        criterion: Any = strategy.loss(sizes)
    if hasattr(criterion, "begin_epoch"):
        criterion.begin_epoch(1, 1)
    logits, labels = example((6, 4))
    if isinstance(criterion, torch.nn.Module):
        learned: Any = criterion.double()
        learned.log_variance.data += 2.0  # what a step with weight decay might do
    plain = Bce().loss(sizes)(logits, labels)
    assert torch.allclose(criterion(logits, labels)[:, 1:], plain[:, 1:], rtol=1e-12)


@pytest.mark.parametrize(
    ("strategy", "options"),
    [(InterWbce, {"scale": -1.0}), (Asl, {"gamma_pos": -0.1}), (Asl, {"gamma_neg": -1.0}), (Asl, {"clip": 1.0}),
     (Ldam, {"max_margin": -1.0}), (Ldam, {"logit_scale": 0.0}), (Ldam, {"beta": 1.0}), (Ldam, {"reweight_after": 1.1}),
     (LogitAdjustment, {"tau": -1.0})],
)  # fmt: skip
def test_options_out_of_range_are_refused(strategy: type[Strategy], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found .*; allowed: "):
        strategy(**options)


def test_losses_are_built_from_yaml_values(tmp_path: Path) -> None:
    registry = Registry()
    assert registry.options("strategies", "asl").make({"gamma_pos": 0, "clip": 0}, tmp_path) == Asl(0, clip=0)
    assert registry.options("strategies", "ldam").make({"reweight_after": 0.8}, tmp_path) == Ldam(reweight_after=0.8)
