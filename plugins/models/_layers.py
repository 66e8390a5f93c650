"""Finds the layer to look at when audit.yaml names none: the last feature maps before they are pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

from auditor import Layers, ModelRefused

if TYPE_CHECKING:
    from torch import nn

NAME_THEM = "name them: `layers: {attribution: ..., dissection: ...}`"


class Step(NamedTuple):
    """One module that ran: its dotted name, the module, the shape it gave."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


def proposed_layers(module: nn.Module, size: tuple[int, int, int], chosen: Layers, who: str) -> Layers:
    """Layers with what `chosen` leaves open filled in, for inputs of this (channels, height, width).

    Attribution: the last maps [N, C, h, w] with h, w > 1 before pooling. Dissection: layer3 of networks that end in layer4
    (as in the ResNet experiments of imba-explain), otherwise the same layer. Raises ModelRefused for networks that keep
    tokens and not maps: what a CAM of a token is, is a choice that is not made silently.
    """
    attribution = chosen.attribution or last_maps(module, size, who)
    stages = {name for name, _ in module.named_children()}
    earlier = "layer3" if attribution == "layer4" and "layer3" in stages else attribution
    return Layers(attribution=attribution, dissection=chosen.dissection or earlier)


def last_maps(module: nn.Module, size: tuple[int, int, int], who: str) -> str:
    """The dotted name of the last module that gives feature maps and runs once."""
    try:
        steps = trace(module, size)
    except Exception as error:  # a network may do anything in a forward pass without data
        why = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ModelRefused(f"{who}: no default layers for an input of {list(size)} ({why}); {NAME_THEM}") from error
    places = _maps(steps)
    after = steps[places[-1] + 1 :] if places else steps
    tokens = next((step for step in after if len(step.shape) == 3 and step.shape[1] > 1), None)
    if tokens or not places or _channels_last(steps[places[-1]], after):
        seen = f"{tokens.name} gives tokens {list(tokens.shape)}" if tokens else "none gives [N, C, h, w] before the head"
        raise ModelRefused(f"{who} has no feature maps to take by default ({seen}): a transformer? {NAME_THEM}")
    return steps[places[-1]].name


def trace(module: nn.Module, size: tuple[int, int, int]) -> list[Step]:
    """Every module that runs in one forward pass, in the order in which they end, with no arithmetic done (meta device)."""
    import torch

    steps: list[Step] = []

    def watch(name: str) -> Callable[..., None]:
        def note(part: nn.Module, _: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                steps.append(Step(name, part, tuple(output.shape)))

        return note

    ghost = deepcopy(module).to("meta").eval()
    for name, part in ghost.named_modules():
        part.register_forward_hook(watch(name))
    with torch.no_grad():
        ghost(torch.empty(1, *size, device="meta"))
    return steps


def _maps(steps: Sequence[Step]) -> list[int]:
    """Places of the steps that give feature maps: neither what a pooling gives, nor maps that are scores already."""
    from torch import nn

    runs = Counter(step.name for step in steps)
    outputs = steps[-1].shape[1:2] if steps else ()
    last_linear = max((place for place, step in enumerate(steps) if isinstance(step.module, nn.Linear)), default=-1)
    passing = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Dropout, nn.Dropout2d, nn.Identity)
    return [
        place
        for place, step in enumerate(steps)
        if step.name and runs[step.name] == 1 and not isinstance(step.module, passing)
        if len(step.shape) == 4 and min(step.shape[2:]) > 1
        if step.shape[1:2] != outputs or place < last_linear
    ]


def _channels_last(step: Step, after: Sequence[Step]) -> bool:
    """Whether [N, h, w, C] was taken for [N, C, h, w]: the linear layers that follow are as wide as the last axis."""
    from torch import nn

    widths = {later.module.in_features for later in after if isinstance(later.module, nn.Linear)}
    return step.shape[3] in widths and step.shape[1] not in widths
