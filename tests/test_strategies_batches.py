"""Strategies that choose images, spare them the augmentation, mix them, or move them against the network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from auditor_plugins.strategies.asymmetric_adversarial import AsymmetricAdversarial, unit
from auditor_plugins.strategies.asymmetric_augmentation import AsymmetricAugmentation
from auditor_plugins.strategies.asymmetric_mixup import AsymmetricMixup, beta, mixed_hard
from auditor_plugins.strategies.balanced_sampling import BalancedSampling
from auditor_plugins.strategies.bce import Bce
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from auditor import ClassCounts, TrainingBatch

ONE = ClassCounts(("Hernia",), (20,), (980,))
TWO = ClassCounts(("Effusion", "Hernia"), (400, 20), (600, 980))


def sampled(rows: list[list[int]]) -> list[float]:
    labels = np.array(rows, dtype=np.int8)
    names = tuple(map(str, range(labels.shape[1])))
    sizes = ClassCounts(names, tuple((labels == 1).sum(0).tolist()), tuple((labels == 0).sum(0).tolist()))
    return BalancedSampling().sampling(labels, sizes).tolist()


def test_each_image_is_drawn_by_the_rarest_group_it_is_in() -> None:
    """Six images; groups: Effusion 3, Hernia 1, no positive 2 (one of them with a label that is not known)."""
    weights = sampled([[1, 0], [1, 0], [1, 1], [0, 0], [-1, 0], [0, -1]])
    assert weights == pytest.approx([6 / (3 * 3)] * 2 + [6 / (3 * 1)] + [6 / (3 * 3)] * 3)


def test_positives_and_negatives_of_a_binary_task_are_drawn_alike() -> None:
    weights = sampled([[1]] * 3 + [[0]] * 97)
    assert math.fsum(weights[:3]) == pytest.approx(50)
    assert math.fsum(weights[3:]) == pytest.approx(50)


def test_more_than_the_first_images_are_drawn() -> None:
    """One weight per class in place of one per image would draw the first two images only."""
    weights = torch.tensor(sampled([[0, 0], [1, 0], [0, 1]] * 20))
    drawn = torch.utils.data.WeightedRandomSampler(weights.tolist(), 600, generator=torch.Generator().manual_seed(0))
    assert len(set(drawn)) == 60


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4).flatmap(lambda k: st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=k, max_size=k), min_size=1)))
def test_weights_per_image_are_their_definition_written_out(rows: list[list[int]]) -> None:
    groups = {k: [r for r in rows if r[k] == 1] for k in range(len(rows[0]))} | {-1: [r for r in rows if 1 not in r]}
    sizes = {k: len(members) for k, members in groups.items() if members}
    wanted = [
        len(rows) / (len(sizes) * min([sizes[k] for k, label in enumerate(row) if label == 1] or [sizes.get(-1, 0)]))
        for row in rows
    ]
    assert sampled(rows) == pytest.approx(wanted)


def test_images_of_rare_classes_are_always_augmented() -> None:
    labels = np.array([[1, 0], [1, 1], [0, -1], [-1, 1]], dtype=np.int8)
    assert AsymmetricAugmentation().augmentation(labels, TWO).tolist() == [0.5, 1, 0.5, 1]
    assert AsymmetricAugmentation(0.1, ("Effusion",)).augmentation(labels, TWO).tolist() == [1, 1, 0.1, 0.1]


def batch(labels: list[list[float]], known: list[list[bool]] | None = None) -> TrainingBatch:
    marks = torch.tensor(labels)
    images = torch.arange(len(labels) * 12.0).reshape(len(labels), 3, 2, 2)
    return TrainingBatch(images, marks, torch.tensor(known) if known else torch.ones_like(marks, dtype=torch.bool))


MIXES = [
    (1, 0, 0.9, 1), (1, 0, 0.3, 1), (1, 0, 0.2, None), (0, 1, 0.1, 1), (0, 1, 0.79, 1), (0, 1, 0.8, None), (0, 0, 0.4, 0),
    (1, 1, 0.3, 1),
]  # fmt: skip


@pytest.mark.parametrize(("here", "there", "share", "label"), MIXES)
def test_the_worked_example_of_mixing_is_reproduced(here: int, there: int, share: float, label: int | None) -> None:
    mixed = mixed_hard(batch([[here], [there]]), share, 0.2, [True])
    assert mixed.labels[0].tolist() == [float(label or 0)]
    assert mixed.known[0].tolist() == [label is not None]
    assert torch.allclose(mixed.images[0], share * batch([[0], [0]]).images[0] + (1 - share) * batch([[0], [0]]).images[1])


def test_two_common_classes_that_differ_count_for_nothing() -> None:
    """Classes 0 and 2 are common and differ; class 1, rare, is absent from both, which is known."""
    mixed = mixed_hard(batch([[1, 0, 0], [0, 0, 1]]), 0.4, 0.2, [False, True, False])
    assert mixed.known[0].tolist() == [False, True, False]
    assert mixed.labels[0].tolist() == [0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.sampled_from([0, 1, None])] * 3), min_size=1, max_size=5),
    share=st.floats(0, 1), margin=st.floats(0, 1), rare=st.lists(st.booleans(), min_size=3, max_size=3),
)  # fmt: skip
def test_mixed_labels_are_their_rule_written_out(rows: Any, share: float, margin: float, rare: list[bool]) -> None:
    given_batch = batch([[float(v or 0) for v in row] for row in rows], [[v is not None for v in row] for row in rows])
    mixed = mixed_hard(given_batch, share, margin, rare)
    for i, (row, other) in enumerate(zip(rows, reversed(rows), strict=True)):
        for k, (a, b) in enumerate(zip(row, other, strict=True)):
            label = a if a == b else None
            if None not in (a, b) and a != b and rare[k] and (share if a else 1 - share) > margin:
                label = 1
            assert mixed.known[i, k] == (label is not None)
            assert mixed.labels[i, k] == (label or 0)


def test_the_share_is_drawn_from_the_generator_once_per_batch_and_stays_below_one_minus_the_margin() -> None:
    draw = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(200):
        (mixed,) = AsymmetricMixup(alpha=2, margin=0.2).extra(batch([[0], [0]]), nn.Identity(), ONE, draw)
        shares.append(float((mixed.images[0, 0, 0, 0] - 12) / -12))  # 0 and 12 mixed
    assert 0 < min(shares) < max(shares) < 0.8
    assert stats.kstest(np.array(shares) / 0.8, stats.beta(2, 2).cdf).pvalue > 0.01
    again = torch.Generator().manual_seed(0)
    assert beta(2, again) * 0.8 == pytest.approx(shares[0], abs=1e-6)


def test_a_mixed_batch_of_which_nothing_counts_is_left_out() -> None:
    common = ClassCounts(("a", "b"), (500, 500), (500, 500))
    strategy = AsymmetricMixup(rare=("a",))
    differ = batch([[0, 1], [0, 0]], [[False, True], [False, True]])
    assert strategy.extra(differ, nn.Identity(), common, torch.Generator()) == []


def test_symmetric_mixing_mixes_labels_as_images() -> None:
    (mixed,) = AsymmetricMixup(symmetric=True).extra(batch([[1], [0]]), nn.Identity(), ONE, torch.Generator().manual_seed(1))
    share = beta(1.0, torch.Generator().manual_seed(1))
    assert mixed.labels.flatten().tolist() == pytest.approx([share, 1 - share])
    assert mixed.images[0, 0, 0, 0].item() == pytest.approx((1 - share) * 12)
    assert mixed.known.all()


def linear() -> nn.Module:
    """z = 3 x_1 - 4 x_2."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False)).double()
    network[1].weight.data.copy_(torch.tensor([[3.0, -4.0]]))
    return network


def moved(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, known: Any = None, **options: Any) -> TrainingBatch:
    known = torch.ones_like(labels, dtype=torch.bool) if known is None else known
    strategy = AsymmetricAdversarial(**{"eps_rms": 1 / math.sqrt(2), **options})
    sizes = ONE if labels.shape[1] == 1 else TWO
    (more,) = strategy.extra(TrainingBatch(images, labels, known), network, sizes, torch.Generator())
    return more


def test_the_worked_example_of_an_attack_is_reproduced() -> None:
    """One step of length 1 on two values: 1/sqrt(2) per value."""
    x, one = torch.tensor([[[[0.2, 0.1]]]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    more = moved(linear(), x, one)
    assert more.images.flatten().tolist() == pytest.approx([-0.4, 0.9], abs=1e-6)
    logits = [linear()(images) for images in (x, more.images)]
    assert logits[1].item() == pytest.approx(-4.8, abs=1e-6)
    losses = [Bce().loss(ONE)(z, one).item() for z in logits]
    assert losses == pytest.approx([0.598139, 4.808196], abs=1e-6)
    assert torch.equal(moved(linear(), x, 0 * one).images, x)
    assert moved(linear(), x, 0 * one, symmetric=True).images.flatten().tolist() == pytest.approx([0.8, -0.7], abs=1e-6)


def test_a_gradient_without_a_positive_value_keeps_its_sign() -> None:
    assert unit(torch.tensor([[-3.0, -1.0]])).tolist()[0] == pytest.approx([-0.948683, -0.316228], abs=1e-6)
    assert unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])).flatten().tolist() == pytest.approx([0.6, 0.8, 0, 0])


def small_network() -> nn.Module:
    torch.manual_seed(0)
    parts = (nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.5))
    return nn.Sequential(*parts, nn.Linear(32, 2))


def four_images() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn((4, 1, 9, 9), generator=torch.Generator().manual_seed(2)), torch.tensor(
        [[1.0, 0], [1, 1], [0, 0], [0, 1]]
    )


def test_only_images_with_a_known_rare_positive_are_moved_and_all_by_the_same_length() -> None:
    images, labels = four_images()
    known = torch.ones_like(labels, dtype=torch.bool)
    known[3, 1], labels[3, 1] = False, 0
    more = moved(small_network(), images, labels, known, eps_rms=0.02)
    assert (more.images != images).flatten(1).any(1).tolist() == [False, True, False, False]
    assert (more.images - images)[1].square().mean().sqrt().item() == pytest.approx(0.02, rel=1e-4)
    assert torch.equal(more.labels, labels)
    assert torch.equal(more.known, known)
    every = moved(small_network(), images, labels, known, eps_rms=0.02, symmetric=True).images - images
    assert every.square().mean((1, 2, 3)).sqrt().tolist() == pytest.approx([0.02] * 4, rel=1e-4)


def test_the_step_makes_the_rare_finding_harder_and_ignores_companions() -> None:
    images, labels = four_images()
    network = small_network()
    more = moved(network, images, labels, eps_rms=0.02).images
    network.eval()
    harder = network(more)[:, 1] < network(images)[:, 1]
    assert harder[[1, 3]].all()
    network.train()
    alone = moved(network, images[1:2], labels[1:2], eps_rms=0.02).images
    assert torch.allclose(alone[0], more[1], atol=1e-6)


def test_the_network_is_as_before_even_if_it_fails() -> None:
    network = small_network()
    network[1].eval()  # a frozen part
    modes = [part.training for part in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images, labels = four_images()
    moved(network, images, labels)
    with pytest.raises(RuntimeError):
        moved(network, images[:, :, :2], labels)
    assert [part.training for part in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_attack_works_inside_no_grad() -> None:
    images, labels = four_images()
    with torch.no_grad():
        more = moved(small_network(), images, labels)
    assert torch.equal(more.images, moved(small_network(), images, labels).images)
