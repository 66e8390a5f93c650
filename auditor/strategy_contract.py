"""Contract check of a strategy: its loss, and what it does to images and batches."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from .contract import check_component, expect
from .strategy import ClassCounts, Criterion, Strategy

COUNTS = ClassCounts(("common", "rare", "never"), (600, 20, 0), (400, 980, 1000))
LABELS = ((1.0, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0))


def check_strategy(strategy: Strategy) -> None:
    """A finite, differentiable, order-free loss that pulls logits towards their labels, also for a class without positives."""
    check_component(strategy, Strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one class has no positives, and a strategy may well say so
        _check_loss(strategy.loss(COUNTS))


def _check_loss(criterion: Criterion) -> None:
    labels = torch.tensor(LABELS)
    logits = torch.linspace(-2, 2, 12).reshape(4, 3)
    loss, gradient = _loss_and_gradient(criterion, logits, labels)
    expect(
        loss.ndim == 0 or loss.shape == labels.shape,
        f"the loss of labels {list(labels.shape)} is {list(loss.shape)}; allowed: one number per entry or one in all",
    )
    expect(torch.isfinite(loss).all(), "the loss is not finite")
    expect(torch.isfinite(gradient).all(), "the gradient is not finite")
    expect(
        ((gradient <= 0) | (labels == 0)).all() and ((gradient >= 0) | (labels == 1)).all(),
        "the gradient pushes away from a label",
    )
    order = torch.tensor([2, 0, 3, 1])
    turned = criterion(logits[order], labels[order])
    expect(torch.allclose(turned, loss[order] if loss.ndim else loss), "the loss depends on the order of the batch")
    for size in (80.0, -80.0):
        ends = _loss_and_gradient(criterion, torch.full_like(labels, size), labels)
        expect(all(torch.isfinite(end).all() for end in ends), f"loss or gradient is not finite at logits of {size:g}")
    maps = labels[..., None, None].expand(-1, -1, 2, 2)
    dense = criterion(logits[..., None, None].expand_as(maps), maps)
    expect(
        dense.shape == (maps.shape if loss.ndim else ()) and torch.isfinite(dense).all(), "logits [N, K, H, W] are not accepted"
    )


def _loss_and_gradient(criterion: Criterion, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().requires_grad_()
    loss = criterion(logits, labels)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss.detach(), gradient
