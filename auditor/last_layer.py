"""The linear layer that a network ends in: what goes into it is the embedding of an image, its weights say what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

NOT_LINEAR = "the network does not end in one linear layer, so its outputs are no sum over features"


class LastLayer(NamedTuple):
    """Weights [K, d] and biases [K], float64 on the CPU, in the audit's class order; `module` is the layer itself."""

    weight: Tensor
    bias: Tensor
    module: nn.Linear


@contextmanager
def watched(module: nn.Module) -> Iterator[dict[nn.Linear, Tensor]]:
    """What every linear layer of a network gives while this is open, in the order in which they run."""
    seen: dict[nn.Linear, Tensor] = {}

    def keep(layer: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(layer, nn.Linear) and isinstance(output, Tensor):
            seen[layer] = output.detach().clone()

    handles = [layer.register_forward_hook(keep) for layer in module.modules() if isinstance(layer, nn.Linear)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def last_layer(seen: dict[nn.Linear, Tensor], raw: Tensor, outputs: Sequence[int]) -> LastLayer | None:
    """The layer whose output is the network's own, `raw` [N, all]; None where there is none."""
    for layer, output in reversed(seen.items()):
        if output.shape == raw.shape and torch.equal(output, raw):
            weight = layer.weight.detach().double().cpu()[list(outputs)]
            bias = (
                layer.bias.detach().double().cpu()[list(outputs)] if layer.bias is not None else weight.new_zeros(len(weight))
            )
            return LastLayer(weight, bias, layer)
    return None
