"""The contract check of strategies can fail: each of this zoo is wrong in one way, and is caught for that reason."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from auditor import Strategy, TrainingBatch, testing
from auditor.testing import ContractBroken


class PlainLoss(Strategy):
    """Binary cross-entropy, one number for the batch: right."""

    name = "plain"

    def loss(self, counts: Any) -> Any:
        return binary_cross_entropy_with_logits


class PerEntry(PlainLoss):
    """Binary cross-entropy of every entry: right."""

    def loss(self, counts: Any) -> Any:
        return torch.nn.BCEWithLogitsLoss(reduction="none")


class Explodes(PlainLoss):
    """log(sigmoid(z)) without care: infinite at -80."""

    def loss(self, counts: Any) -> Any:
        return lambda z, y: -(y * z.sigmoid().log() + (1 - y) * (1 - z.sigmoid()).log()).mean()


class NoGradient(PlainLoss):
    """A focal loss with a power: finite, but its gradient is NaN where p is 1."""

    def loss(self, counts: Any) -> Any:
        from torchvision.ops import sigmoid_focal_loss

        return lambda z, y: sigmoid_focal_loss(z, y, gamma=0.5)


class DividesByNothing(PlainLoss):
    """Weights by N-/N+ without asking whether N+ is 0."""

    def loss(self, counts: Any) -> Any:
        weights = torch.tensor(counts.negatives) / torch.tensor(counts.positives)
        return lambda z, y: weights * binary_cross_entropy_with_logits(z, y, reduction="none")


class WrongWay(PlainLoss):
    """Pushes logits away from their labels."""

    def loss(self, counts: Any) -> Any:
        return lambda z, y: binary_cross_entropy_with_logits(-z, y)


class PerClass(PlainLoss):
    """The mean over images: neither every entry nor one number."""

    def loss(self, counts: Any) -> Any:
        return lambda z, y: binary_cross_entropy_with_logits(z, y, reduction="none").mean(0)


class HardLabelsOnly(PlainLoss):
    """A probability of 0 for labels that are neither 0 nor 1."""

    def loss(self, counts: Any) -> Any:
        return lambda z, y: binary_cross_entropy_with_logits(z, y, reduction="none") - torch.log(((y == 0) | (y == 1)).float())


class RowsOnly(PlainLoss):
    """Sums maps into rows."""

    def loss(self, counts: Any) -> Any:
        return lambda z, y: binary_cross_entropy_with_logits(z, y, reduction="none").flatten(2).sum(2) if z.ndim > 2 else (
            binary_cross_entropy_with_logits(z, y, reduction="none")
        )  # fmt: skip


class Jittery(PlainLoss):
    """Smooths the labels by chance."""

    def loss(self, counts: Any) -> Any:
        noise = np.random.default_rng()
        return lambda z, y: binary_cross_entropy_with_logits(z, y) * float(noise.uniform(0.9, 1))


class RanksTheBatch(PlainLoss):
    """The first image of the batch counts twice."""

    def loss(self, counts: Any) -> Any:
        def criterion(z: Any, y: Any) -> Any:
            entries = binary_cross_entropy_with_logits(z, y, reduction="none")
            return torch.cat([2 * entries[:1], entries[1:]])

        return criterion


class LearnsNothingFinite(PlainLoss):
    """A learned weight whose gradient is infinite."""

    def loss(self, counts: Any) -> Any:
        class Learned(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.zeros(3))

            def forward(self, z: Any, y: Any) -> Any:
                shape = (1, -1, *[1] * (z.ndim - 2))
                return binary_cross_entropy_with_logits(z, y, reduction="none") * (1 + self.weight.reshape(shape).sqrt())

        return Learned()


class BreaksLater(PlainLoss):
    """Changes sides in the second epoch."""

    def loss(self, counts: Any) -> Any:
        class Later:
            sign = 1.0

            def begin_epoch(self, epoch: int, epochs: int) -> None:
                self.sign = 1.0 if epoch < 2 else -1.0

            def __call__(self, z: Any, y: Any) -> Any:
                return binary_cross_entropy_with_logits(self.sign * z, y)

        return Later()


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Explodes, "the loss is not finite at logits of"),
        (NoGradient, "the gradient is not finite at logits of"),
        (DividesByNothing, "not finite"),
        (WrongWay, "away from a label"),
        (PerClass, r"the loss of labels \[4, 3\] is \[3\]; allowed: one number per entry or one in all"),
        (HardLabelsOnly, "not finite for labels between 0 and 1"),
        (RowsOnly, r"logits \[N, K, H, W\] are not accepted"),
        (Jittery, "the loss differs from call to call"),
        (RanksTheBatch, "order of the batch"),
        (LearnsNothingFinite, "the gradient is not finite"),
        (BreaksLater, "away from a label"),
    ],
)
def test_a_wrong_loss_is_caught(plugin: type[Strategy], words: str) -> None:
    testing.check_strategy(PlainLoss())
    testing.check_strategy(PerEntry())
    with pytest.raises(ContractBroken, match=words):
        testing.check_strategy(plugin())


class ByImage(PlainLoss):
    """Images with a positive are drawn twice as often and always augmented: right. `fault` makes it wrong."""

    fault, of = "", "sampling"

    def sampling(self, labels: Any, counts: Any) -> Any:
        return self.numbers(labels, 2.0, "sampling")

    def augmentation(self, labels: Any, counts: Any) -> Any:
        return self.numbers(labels, 0.5, "augmentation")

    def numbers(self, labels: Any, factor: float, method: str) -> Any:
        right = np.where((labels == 1).any(1), factor, factor / 2)
        if method != self.of:
            return right
        if self.fault == "labels":
            labels[labels == -1] = 0
        if self.fault == "global":
            random.random()
        wrong = {
            "classes": np.ones(labels.shape[1]), "tensor": torch.ones(len(labels)), "nothing": 0 * right, "negative": -right,
            "nan": right * np.nan, "order": np.linspace(0, 1, len(labels)), "percent": 100 * right,
        }  # fmt: skip
        return wrong.get(self.fault, right)


BOTH = [
    ("classes", r"of 6 images gave \[3\]; allowed: an array of one number per image"), ("tensor", "allowed: an array"),
    ("negative", "allowed: finite numbers of 0 or more"), ("nan", "allowed: finite numbers"), ("order", "order of the images"),
    ("labels", "changes the labels"), ("global", "random numbers from the global generator"),
]  # fmt: skip
CASES = [(of, fault, words) for of in ("sampling", "augmentation") for fault, words in BOTH]


@pytest.mark.parametrize(
    ("of", "fault", "words"),
    [*CASES, ("sampling", "nothing", "none can be drawn"), ("augmentation", "percent", "allowed: probabilities")],
)
def test_wrong_numbers_per_image_are_caught(of: str, fault: str, words: str) -> None:
    testing.check_strategy(ByImage())
    wrong = ByImage()
    wrong.fault, wrong.of = fault, of
    with pytest.raises(ContractBroken, match=words):
        testing.check_strategy(wrong)


class Noisy(PlainLoss):
    """Adds the batch with noise: right."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        noise = torch.randn(batch.images.shape, generator=draw)
        return [TrainingBatch(batch.images + noise, batch.labels, batch.known)]


class NoisyGlobally(Noisy):
    """Takes its noise from the global generator."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        return [TrainingBatch(batch.images + torch.randn(batch.images.shape), batch.labels, batch.known)]


class NoisyByItself(Noisy):
    """Has a generator of its own."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        own = torch.Generator()
        own.seed()
        return super().extra(batch, network, counts, own)


class InPlace(Noisy):
    """Writes over the batch that was given."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        batch.images.mul_(2)
        return [batch]


class Trains(Noisy):
    """Backpropagates into the weights."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        network.eval()(batch.images).sum().backward()
        network.train()[3].eval()
        return super().extra(batch, network, counts, draw)


class MovesStatistics(Noisy):
    """Attacks the network as it stands, in training: batch statistics move, and dropout draws."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        with torch.no_grad():
            network[:6](batch.images)
        return super().extra(batch, network, counts, draw)


class LeavesEvaluation(Noisy):
    """Forgets to go back to training."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        network.eval()
        return super().extra(batch, network, counts, draw)


class ThawsAll(Noisy):
    """Goes back to training with all parts, a frozen one as well."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        network.eval()
        network.train()
        return super().extra(batch, network, counts, draw)


class CarriesAGraph(Noisy):
    """Hands out images that still require a gradient."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        return [TrainingBatch(batch.images.clone().requires_grad_(), batch.labels, batch.known)]


class NotAList(Noisy):
    """Gives the batch itself."""

    def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
        return batch


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (NotAList, "extra gave TrainingBatch; allowed: a list of TrainingBatch"),
        (NoisyGlobally, "other batches the second time|global generator"),
        (NoisyByItself, "other batches the second time"),
        (InPlace, "changes the batch it is given"),
        (Trains, "left gradients on the network"),
        (MovesStatistics, "left changed running statistics"),
        (LeavesEvaluation, "left another training mode"),
        (ThawsAll, "left another training mode"),
        (CarriesAGraph, "carries a graph"),
    ],
)
def test_a_wrong_way_to_make_batches_is_caught(plugin: type[Strategy], words: str) -> None:
    testing.check_strategy(Noisy())
    with pytest.raises(ContractBroken, match=words):
        testing.check_strategy(plugin())


WRONG = {
    "small": (lambda b: (b.images[:, :, ::2], b.labels, b.known), "made images"),
    "double": (lambda b: (b.images.double(), b.labels, b.known), "of torch.float64 from"),
    "infinite": (lambda b: (b.images / 0, b.labels, b.known), "images that are not finite"),
    "fewer": (lambda b: (b.images[:2], b.labels, b.known), "for 2 images"),
    "one class": (lambda b: (b.images, b.labels[:, :1], b.known[:, :1]), "made labels"),
    "whole numbers": (lambda b: (b.images, b.labels.long(), b.known), "labels that are no floats"),
    "marks": (lambda b: (b.images, b.labels, b.known.float()), "known no bool"),
    "nothing": (lambda b: (b.images, 0 * b.labels, b.known & False), "no label is known"),
    "two": (lambda b: (b.images, 2 * b.labels, b.known), "labels outside 0..1"),
    "unknown": (lambda b: (b.images, b.labels + (~b.known).float(), b.known), "unknown but not 0"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_badly_formed_batch_is_caught(fault: str) -> None:
    make, words = WRONG[fault]

    class Wrong(PlainLoss):
        """Makes a batch of the wrong form."""

        def extra(self, batch: Any, network: Any, counts: Any, draw: Any) -> Any:
            return [TrainingBatch(*make(batch))]

    with pytest.raises(ContractBroken, match=words):
        testing.check_strategy(Wrong())
