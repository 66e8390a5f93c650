"""The four losses, held to the worked example, to their definitions written out, and to torchvision's own."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from auditor_plugins.strategies.bce import Bce
from auditor_plugins.strategies.cb_focal import CbFocal
from auditor_plugins.strategies.focal import Focal
from auditor_plugins.strategies.wbce import Wbce
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from auditor import ClassCounts, Strategy
from auditor.registry import Registry

NIH = 112_120
ALL = [
    Bce(),
    Wbce(),
    Wbce("pos_weight"),
    Wbce("batch_pos_weight"),
    Focal(),
    Focal(None, 0.5),
    CbFocal(),
    CbFocal(normalise="sum1"),
]


def counts(*pairs: tuple[int, int]) -> ClassCounts:
    names = tuple(f"class{number}" for number in range(len(pairs)))
    return ClassCounts(names, tuple(p for p, _ in pairs), tuple(n for _, n in pairs))


def example(seed: int = 0, shape: tuple[int, ...] = (6, 3), scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(shape, generator=draw, dtype=torch.float64)
    return logits, torch.randint(0, 2, shape, generator=draw).double()


@pytest.mark.parametrize(
    ("strategy", "mean"),
    [
        (Bce(), 0.365714),
        (Wbce(), 0.061957),
        (Wbce("pos_weight"), 0.619570),
        (Wbce("batch_pos_weight"), 0.429177),
        (Focal(), 0.0751463),
        (CbFocal(), 0.00116167),
        (CbFocal(normalise="sum1"), 0.0104462),
        (CbFocal(normalise="sum1", scale=50), 0.522308),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_worked_example_is_reproduced(strategy: Strategy, mean: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[2], [-1], [0.5], [-3]], dtype=dtype)
    labels = torch.tensor([[1], [0], [0], [0]], dtype=dtype)
    loss = strategy.loss(counts((10, 90)))(logits, labels).mean()
    assert loss.item() == pytest.approx(mean, abs=1e-6 if mean > 0.01 else 1e-8)


def test_the_paper_and_the_repository_differ_by_the_published_factor() -> None:
    logits, labels = example(shape=(40, 1))
    paper, repository = (CbFocal(normalise=how).loss(counts((10, 90)))(logits, labels).mean() for how in ("none", "sum1"))
    assert float(repository / paper) == pytest.approx(8.99235, abs=1e-5)
    paper, repository = (Wbce(how).loss(counts((10, 90)))(logits, labels).mean() for how in ("paper", "pos_weight"))
    assert float(repository / paper) == pytest.approx(10)


@pytest.mark.parametrize(
    ("positives", "cb_ratio", "wbce_ratio"),
    [(227, 44.55, 492.92), (1431, 7.50, 77.35), (19894, 1.158, 4.636), (51759, 1.003, 1.166)],
)
def test_weights_of_the_nih_data_are_the_published_ones(positives: int, cb_ratio: float, wbce_ratio: float) -> None:
    """Hernia, Pneumonia, Infiltration and the binary task; read off the loss at p = 1/2, where both sides are alike."""
    logits, nih = torch.zeros(1, 1, dtype=torch.float64), counts((positives, NIH - positives))
    for strategy, ratio in ((CbFocal(), cb_ratio), (Wbce(), wbce_ratio), (CbFocal(normalise="sum1"), cb_ratio)):
        loss = strategy.loss(nih)
        found = loss(logits, torch.ones_like(logits)) / loss(logits, torch.zeros_like(logits))
        assert float(found) == pytest.approx(ratio, rel=5e-4)


def written_out(strategy: Strategy, sizes: ClassCounts, logits: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """The loss as the paper writes it, entry by entry, with probabilities."""
    terms = []
    for row in range(logits.shape[0]):
        for k in range(logits.shape[1]):
            p, y = 1 / (1 + math.exp(-float(logits[row, k]))), float(labels[row, k])
            n_pos, n_neg = sizes.positives[k], sizes.negatives[k]
            match strategy:
                case Bce():
                    plus, minus = 1.0, 1.0
                case Wbce(weights="paper"):
                    plus, minus = n_neg / (n_pos + n_neg), n_pos / (n_pos + n_neg)
                case Wbce(weights="pos_weight"):
                    plus, minus = n_neg / n_pos, 1.0
                case Wbce():
                    seen = float(labels[:, k].sum()), float((1 - labels[:, k]).sum())
                    least = min(n / q for n, q in zip(sizes.negatives, sizes.positives, strict=True))
                    plus, minus = seen[1] / (seen[0] + 1e-6) if all(seen) else least, 1.0
                case Focal():
                    alpha = (1.0, 1.0) if strategy.alpha is None else (strategy.alpha, 1 - strategy.alpha)
                    plus, minus = alpha[0] * (1 - p) ** strategy.gamma, alpha[1] * p**strategy.gamma
                case CbFocal():
                    ends = [(1 - strategy.beta) / (1 - strategy.beta**n) for n in (n_pos, n_neg)]
                    total = sum(ends) if strategy.normalise == "sum1" else 1
                    plus, minus = ends[0] / total * (1 - p) ** strategy.gamma, ends[1] / total * p**strategy.gamma
            terms.append(-(plus * y * math.log(p) + minus * (1 - y) * math.log(1 - p)))
    return terms


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_loss_is_its_definition_written_out(strategy: Strategy, seed: int) -> None:
    logits, labels = example(seed)
    labels[:, 2] = seed % 2  # a class with one side only in the batch
    sizes = counts((10, 90), (300, 700), (4000, 60))
    found = strategy.loss(sizes)(logits, labels)
    assert found.flatten().tolist() == pytest.approx(written_out(strategy, sizes, logits, labels), rel=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 5), alpha=st.floats(0, 1))
def test_focal_loss_is_that_of_torchvision(seed: int, gamma: float, alpha: float) -> None:
    logits, labels = example(seed)
    wanted = sigmoid_focal_loss(logits, labels, alpha, gamma)
    assert torch.allclose(Focal(alpha, gamma).loss(counts(*[(1, 1)] * 3))(logits, labels), wanted, rtol=1e-9)
    without = sigmoid_focal_loss(logits, labels, -1, gamma)
    assert torch.allclose(Focal(None, gamma).loss(counts(*[(1, 1)] * 3))(logits, labels), without, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_cross_entropy_and_its_pos_weight_are_those_of_torch(seed: int) -> None:
    logits, labels = example(seed)
    sizes = counts((10, 90), (300, 700), (4000, 60))
    assert torch.allclose(
        Bce().loss(sizes)(logits, labels), binary_cross_entropy_with_logits(logits, labels, reduction="none"), rtol=1e-12
    )
    weights = torch.tensor([9, 7 / 3, 60 / 4000], dtype=torch.float64)
    wanted = binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none")
    assert torch.allclose(Wbce("pos_weight").loss(sizes)(logits, labels), wanted, rtol=1e-12)


def test_the_modulating_factor_is_part_of_the_graph() -> None:
    """d/dz of -(1 - p)^2 log p at z = 0: -(1/2)^3 + 2 (1/2)^3 log(1/2), and not the first term alone."""
    logits = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    Focal(None, 2).loss(counts((1, 1)))(logits, torch.ones(1, 1)).backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(-0.125 + 0.25 * math.log(0.5))


@pytest.mark.parametrize("strategy", [s for s in ALL if isinstance(s, Wbce | CbFocal)], ids=str)
def test_a_class_with_one_side_only_weighs_one_and_is_listed(strategy: Strategy) -> None:
    sizes = ClassCounts(("Mass", "Hernia", "Every"), (10, 0, 100), (90, 100, 0))
    with pytest.warns(UserWarning, match=f"{strategy.name}: weights of 1 .*: Hernia, Every$"):
        criterion = strategy.loss(sizes)
    if strategy == Wbce("batch_pos_weight"):
        return  # its weights are those of each batch
    logits = torch.zeros(1, 3, dtype=torch.float64)
    gamma = getattr(strategy, "gamma", 0.0)
    for column in (1, 2):
        for value in (0.0, 1.0):
            logits = torch.full((1, 3), 80.0 if value == 0 else -80.0, dtype=torch.float64)  # every other entry costs nothing
            labels = 1 - torch.full((1, 3), value, dtype=torch.float64)
            labels[0, column] = value
            cost = float(criterion(logits, labels).sum())
            assert cost == pytest.approx(80.0, rel=1e-9), (column, value, gamma)


def test_small_counts_keep_their_digits() -> None:
    """1 - beta^N in float32 is wrong in the fourth digit for N = 10."""
    logits = torch.zeros(1, 1, dtype=torch.float64)
    for count in (1, 10):
        loss = CbFocal(gamma=0).loss(counts((count, 50)))(logits, torch.ones_like(logits))
        effective = math.fsum(0.9999**power for power in range(count))  # (1 - beta^N)/(1 - beta) as the sum it is
        assert float(loss) == pytest.approx(math.log(2) / effective, rel=1e-11)


@pytest.mark.parametrize(
    ("strategy", "options"),
    [(Focal, {"gamma": -1.0}), (Focal, {"alpha": 1.5}), (Focal, {"alpha": math.nan}), (CbFocal, {"beta": 1.0}),
     (CbFocal, {"beta": -0.1}), (CbFocal, {"gamma": -0.5}), (Bce, {"scale": -1.0}), (Wbce, {"scale": math.nan})],
)  # fmt: skip
def test_options_out_of_range_are_refused(strategy: type[Strategy], options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found .*; allowed: "):
        strategy(**options)


def test_the_four_are_registered_and_built_from_yaml_values(tmp_path: Path) -> None:
    registry = Registry()
    assert {"bce", "wbce", "focal", "cb_focal"} <= set(registry.all("strategies"))
    assert registry.options("strategies", "focal").make({"alpha": None, "gamma": 1}, tmp_path) == Focal(None, 1)
    assert registry.options("strategies", "cb_focal").make({"normalise": "sum1", "scale": 50}, tmp_path) == CbFocal(
        normalise="sum1", scale=50
    )
