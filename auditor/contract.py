"""What the contract checks share: how a broken promise is said, what every component keeps, and no trace on a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .errors import PluginError


class ContractBroken(PluginError):
    """A plugin does not do what its kind promises."""


def expect(holds: object, message: str) -> None:
    """ContractBroken with this message unless it holds."""
    if not holds:
        raise ContractBroken(message)


def check_component(component: Any, kind: type) -> None:
    """What holds for all six kinds: a named, documented, frozen value."""
    cls = type(component)
    expect(isinstance(component, kind), f"{cls.__name__} is not a {kind.__name__}")
    expect(isinstance(getattr(cls, "name", None), str) and cls.name, f"{cls.__name__} has no name")
    expect(
        (cls.__doc__ or "").strip().split("\n")[0].endswith("."),
        f"{cls.__name__} has no docstring whose first line is a sentence",
    )
    if dataclasses.is_dataclass(cls):
        expect(cls.__dataclass_params__.frozen, f"{cls.__name__} is a dataclass that is not frozen")  # type: ignore[attr-defined]
        expect(component == dataclasses.replace(component), f"{cls.__name__} does not equal a copy of itself")


@contextmanager
def no_trace(module: nn.Module) -> Iterator[None]:
    """Hooks, gradients, modes, flags, weights and running statistics are afterwards as they were."""
    before = _state(module)
    yield
    for what, value in _state(module).items():
        expect(value == before[what], f"left {what} on the network")


def _state(module: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "hooks": sum(len(getattr(part, kind, ())) for part in module.modules() for kind in hooks),
        "gradients": [p.grad if p.grad is None else _sum(p.grad) for p in module.parameters()],
        "requires_grad flags": [parameter.requires_grad for parameter in module.parameters()],
        "another training mode": [part.training for part in module.modules()],
        "changed weights": [_sum(value) for value in module.parameters()],
        "changed running statistics": [_sum(value) for value in module.buffers()],
    }


def _sum(value: Tensor) -> float:
    return float(value.detach().double().sum())
