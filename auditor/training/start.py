"""The network before training: drawn from its seed, or filled from a file or from torchvision's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint import read_weights
from ..errors import ModelRefused
from .config import IMAGENET, TrainingRun

if TYPE_CHECKING:
    from torch import Tensor, nn

ENOUGH = 0.5
"""Share of a network's weights, by number of tensors, that a file must fill to be called a start for it."""

RELATIVES = {"t_densenet": "densenet121"}
"""Networks that are part of one of torchvision's and start from its weights."""


def fresh(run: TrainingRun) -> tuple[nn.Module, list[str]]:
    """The network to train, on the CPU, and what a reader should know of where it starts; raises ModelRefused."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(run.seed)  # a loader that draws without a seed is given that of the run
        network = run.loader.load()
    for weight in network.parameters():
        weight.requires_grad_(True)
    if run.pretrained is None:
        return network, []
    weights = read_weights(run.pretrained) if isinstance(run.pretrained, Path) else _imagenet(run.loader.family())
    return network, [fill(network, weights, str(run.pretrained))]


def fill(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> str:
    """Copy every tensor whose name and shape fit; the head of another task does not fit and stays as drawn.

    Gives a sentence that says how many were taken and which were not; raises ModelRefused if fewer than half were.
    """
    own = network.state_dict()
    taken = [name for name in own if name in weights and own[name].shape == weights[name].shape]
    fresh_ones = [name for name in own if name not in taken and not name.endswith("num_batches_tracked")]
    counted = len(own) - sum(name.endswith("num_batches_tracked") for name in own)
    if counted - len(fresh_ones) < ENOUGH * counted:
        raise ModelRefused(
            f"pretrained: {source} fills {counted - len(fresh_ones)} of the {counted} weights of {type(network).__name__}"
            f" (not {', '.join(fresh_ones[:3])}, ...); is it another architecture?"
        )
    network.load_state_dict({**own, **{name: weights[name] for name in taken}})
    said = ", ".join(fresh_ones[:6]) + (", ..." if len(fresh_ones) > 6 else "")
    return f"pretrained weights: {counted - len(fresh_ones)} of {counted} taken; drawn anew: {said or 'none'}"


def _imagenet(family: str) -> Mapping[str, Tensor]:
    """The weights that torchvision offers for an architecture; it downloads them where it can."""
    from torchvision import models

    name = RELATIVES.get(family, family)
    try:
        offered = models.get_model_weights(name)["DEFAULT"]
    except (ValueError, KeyError) as error:
        raise ModelRefused(
            f"pretrained: torchvision has no {IMAGENET} weights for {family}; name a checkpoint file instead"
        ) from error
    try:
        found: Mapping[str, Tensor] = offered.get_state_dict(check_hash=True, progress=False)
    except Exception as error:  # what a download can end in is anything
        raise ModelRefused(
            f"pretrained: the {IMAGENET} weights of {name} cannot be downloaded here ({type(error).__name__}); on a machine with"
            f" internet, save them: safetensors.torch.save_file(torchvision.models.{name}(weights='DEFAULT').state_dict(),"
            f" '{name}.safetensors'), and write pretrained: {name}.safetensors"
        ) from error
    return _renamed(found)


def _renamed(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The oldest DenseNet files of torchvision call norm1 norm.1; the network itself does not."""
    import re

    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)")
    return {old.sub(r"\1\2", name): value for name, value in weights.items()}
