"""Contract check of a strategy: its loss, the images it chooses or spares, and what it makes of a batch."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .contract import check_component, expect, no_trace
from .strategy import ClassCounts, Criterion, Strategy, TrainingBatch

COUNTS = ClassCounts(("common", "rare", "never"), (600, 20, 0), (400, 980, 1000))
LABELS = ((1.0, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0))


def check_strategy(strategy: Strategy) -> None:
    """A finite, differentiable, order-free loss that pulls logits towards their labels, also for a class without positives.

    Weights and probabilities per image, batches made of a batch without a trace on the network, and no other source of
    chance than the generator that was given.
    """
    check_component(strategy, Strategy)
    with warnings.catch_warnings(), _no_chance():
        warnings.simplefilter("ignore", UserWarning)  # one class has no positives, and a strategy may well say so
        criterion = strategy.loss(COUNTS)
        for epoch in (1, 2) if hasattr(criterion, "begin_epoch") else (1,):
            if hasattr(criterion, "begin_epoch"):
                criterion.begin_epoch(epoch, 2)
            _check_loss(criterion)
        _check_per_image("sampling", strategy.sampling)
        _check_per_image("augmentation", strategy.augmentation)
        _check_extra(strategy)


def _check_loss(criterion: Criterion) -> None:
    labels = torch.tensor(LABELS)
    logits = torch.linspace(-2, 2, 12).reshape(4, 3)
    loss, gradient = _loss_and_gradient(criterion, logits, labels, "")
    expect(
        loss.ndim == 0 or loss.shape == labels.shape,
        f"the loss of labels {list(labels.shape)} is {list(loss.shape)}; allowed: one number per entry or one in all",
    )
    expect(
        ((gradient <= 0) | (labels == 0)).all() and ((gradient >= 0) | (labels == 1)).all(),
        "the gradient pushes away from a label",
    )
    expect(torch.equal(loss, criterion(logits, labels)), "the loss differs from call to call")
    order = torch.tensor([2, 0, 3, 1])
    turned = criterion(logits[order], labels[order])
    expect(torch.allclose(turned, loss[order] if loss.ndim else loss), "the loss depends on the order of the batch")
    for size in (80.0, -80.0):
        _loss_and_gradient(criterion, torch.full_like(labels, size), labels, f" at logits of {size:g}")
    _loss_and_gradient(criterion, logits, 0.1 + 0.8 * labels, " for labels between 0 and 1")
    maps = labels[..., None, None].expand(-1, -1, 2, 2)
    dense = criterion(logits[..., None, None].expand_as(maps), maps)
    expect(
        dense.shape == (maps.shape if loss.ndim else ()) and torch.isfinite(dense).all(), "logits [N, K, H, W] are not accepted"
    )


def _loss_and_gradient(criterion: Criterion, logits: Tensor, labels: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Both are finite, as is the gradient of what the criterion learns itself."""
    logits = logits.detach().requires_grad_()
    learned = tuple(criterion.parameters()) if isinstance(criterion, nn.Module) else ()
    loss = criterion(logits, labels)
    expect(torch.isfinite(loss).all(), f"the loss is not finite{where}")
    gradient, *others = torch.autograd.grad(loss.sum(), (logits, *learned))
    expect(all(torch.isfinite(found).all() for found in (gradient, *others)), f"the gradient is not finite{where}")
    return loss.detach(), gradient


def _check_per_image(method: str, ask: Callable[[Any, ClassCounts], Any]) -> None:
    """One number for every image: weights, not all of them 0, for `sampling`, probabilities for `augmentation`."""
    labels = np.array([*LABELS, (-1, 1, 0), (1, -1, -1)], dtype=np.int8)
    given = labels.copy()
    numbers = ask(given, COUNTS)
    if numbers is None:
        return
    expect(np.array_equal(given, labels), f"{method} changes the labels it is given")
    expect(
        isinstance(numbers, np.ndarray) and numbers.shape == (len(labels),),
        f"{method} of {len(labels)} images gave {_shape(numbers)}; allowed: an array of one number per image",
    )
    expect(
        np.isfinite(numbers).all() and (numbers >= 0).all(), f"{method} gave {numbers}; allowed: finite numbers of 0 or more"
    )
    if method == "sampling":
        expect(numbers.any(), "sampling gave 0 for every image, so that none can be drawn")
    else:
        expect((numbers <= 1).all(), f"{method} gave {numbers}; allowed: probabilities")
    order = [4, 2, 0, 5, 3, 1]
    expect(np.allclose(ask(labels[order], COUNTS), numbers[order]), f"{method} depends on the order of the images")


def _check_extra(strategy: Strategy) -> None:
    batch, given, network = _batch(), _batch(), _network()
    with no_trace(network):
        made = _extra(strategy, given, network)
        again = _extra(strategy, given, network)
    expect(_same([given], [batch]), "extra changes the batch it is given")
    for more in made:
        _check_batch(more, batch)
    expect(_same(made, again), "extra gives other batches the second time: it takes chance from elsewhere than `draw`")


def _extra(strategy: Strategy, batch: TrainingBatch, network: nn.Module) -> Sequence[TrainingBatch]:
    made = strategy.extra(batch, network, COUNTS, torch.Generator().manual_seed(5))
    whole = isinstance(made, list | tuple) and all(isinstance(more, TrainingBatch) for more in made)
    expect(whole, f"extra gave {type(made).__name__}; allowed: a list of TrainingBatch")
    return made


def _batch() -> TrainingBatch:
    """The four images of LABELS, one label of which is not known."""
    images = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    known = torch.ones((4, 3), dtype=torch.bool)
    known[3, 0] = False
    return TrainingBatch(images, torch.tensor(LABELS), known)


def _network() -> nn.Module:
    """A network in training with all that can be disturbed: batch statistics, dropout, a frozen part, gradients."""
    chance = torch.Generator().manual_seed(1)
    frozen = nn.BatchNorm2d(4)
    with torch.random.fork_rng(devices=[]):
        parts = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), frozen, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network = nn.Sequential(*parts, nn.Dropout(0.5), nn.Linear(4, 3))
    frozen.eval()
    for parameter in network.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=chance))
        parameter.grad = torch.ones_like(parameter)
    return network


def _check_batch(more: TrainingBatch, batch: TrainingBatch) -> None:
    """As a training batch must be: images like those of the batch, labels in 0..1 that are 0 where they are not known."""
    images, labels, known = more.images, more.labels, more.known
    expect(
        images.shape[1:] == batch.images.shape[1:] and len(images) and images.dtype == batch.images.dtype,
        f"extra made images {list(images.shape)} of {images.dtype} from {list(batch.images.shape)} of {batch.images.dtype}",
    )
    expect(torch.isfinite(images).all(), "extra made images that are not finite")
    expect(not images.requires_grad and not labels.requires_grad, "extra made a batch that still carries a graph")
    expect(
        labels.shape == known.shape == (len(images), labels.shape[-1]) and labels.shape[1:] == batch.labels.shape[1:],
        f"extra made labels {list(labels.shape)} and known {list(known.shape)} for {len(images)} images",
    )
    expect(known.dtype == torch.bool and labels.is_floating_point(), "extra made labels that are no floats, or known no bool")
    expect(known.any(), "extra made a batch of which no label is known")
    expect(
        ((labels >= 0) & (labels <= 1)).all() and not labels[~known].any(),
        "extra made labels outside 0..1, or unknown but not 0",
    )


def _same(first: Sequence[TrainingBatch], second: Sequence[TrainingBatch]) -> bool:
    pairs = [pair for two in zip(first, second, strict=False) for pair in zip(_parts(two[0]), _parts(two[1]), strict=True)]
    return len(first) == len(second) and all(torch.equal(*pair) for pair in pairs)


def _parts(batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.images, batch.labels, batch.known


@contextmanager
def _no_chance() -> Iterator[None]:
    """The global random numbers are afterwards where they were."""
    before = _chance()
    yield
    expect(_chance() == before, "takes random numbers from the global generator; a resumed training would differ")


def _chance() -> tuple[object, ...]:
    _, words, place, *_ = np.random.get_state()
    return random.getstate(), torch.get_rng_state().numpy().tobytes(), np.asarray(words).tobytes(), place


def _shape(value: object) -> str:
    return str(list(value.shape)) if isinstance(value, np.ndarray | Tensor) else type(value).__name__
