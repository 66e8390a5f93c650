"""The same network before training: every weight drawn again, so that nothing of what it learned is left."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def forget_training(module: nn.Module, seed: int) -> nn.Module:
    """The module itself, every parameter drawn again from this seed and the running statistics of its norms reset.

    A layer that knows how it is drawn (`reset_parameters`) draws itself. What no layer has drawn is drawn from a normal
    distribution with the mean and standard deviation of its own entries; a single number, and entries that are all the
    same, have no spread and stay. (Model randomisation: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018.)
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        before = {id(parameter): parameter._version for parameter in module.parameters()}
        for part in module.modules():
            for reset in ("reset_running_stats", "reset_parameters"):
                if callable(draw := getattr(part, reset, None)):
                    draw()
        for parameter in module.parameters():
            # Not every layer's own draw reaches what it is made of: under weight normalisation it fills a copy.
            if parameter._version == before.get(id(parameter)):
                _draw_alike(parameter)
    return module


def _draw_alike(parameter: Tensor) -> None:
    values = parameter.double()
    spread = values.std(correction=0)
    parameter.copy_(values.mean() + spread * torch.randn(parameter.shape, dtype=torch.float64))
