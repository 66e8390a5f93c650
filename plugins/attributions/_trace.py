"""What a look into a network may leave behind, seen before and put right after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Trace:
    """The hooks, modes, flags and weights' versions of a module, as they are when this is made."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._hooks = {(name, kind): set(hooks) for name, kind, hooks in self._all_hooks()}
        self._flags = {(name, flag): getattr(part, flag) for name, part, flag in self._all_flags()}
        self._attributes = {name: set(vars(part)) for name, part in module.named_modules()}
        self._weights = {name: (w.requires_grad, w.grad, w._version) for name, w in self._all_weights()}

    def restore(self) -> list[str]:
        """Put everything back; what had been left that only a fault leaves, in words."""
        left = []
        for name, kind, hooks in self._all_hooks():
            for extra in set(hooks) - self._hooks[name, kind]:
                del hooks[extra]
                left.append(f"a {kind.strip('_')[:-1].replace('_', ' ')} on {name or 'the network'}")
        for name, part, flag in self._all_flags():
            if getattr(part, flag) != self._flags[name, flag]:
                setattr(part, flag, self._flags[name, flag])
                if flag == "training":
                    left.append(f"training mode of {name or 'the network'}")
        for name, part in self._module.named_modules():
            for extra in sorted(set(vars(part)) - self._attributes[name]):
                delattr(part, extra)
                left.append(f"attribute {extra} on {name or 'the network'}")
        return left + self._restore_weights()

    def _restore_weights(self) -> list[str]:
        left = []
        for name, weight in self._all_weights():
            wanted, gradient, version = self._weights[name]
            if weight.requires_grad != wanted:
                weight.requires_grad_(wanted)
                left.append(f"requires_grad of {name}")
            if weight.grad is not gradient:
                weight.grad = gradient
                left.append(f"a gradient on {name}")
            if weight._version != version:
                left.append(f"a change of {name}")
        return left

    def _all_hooks(self) -> list[tuple[str, str, Any]]:
        return [(name, kind, getattr(part, kind)) for name, part in self._module.named_modules() for kind in HOOKS]

    def _all_flags(self) -> list[tuple[str, Any, str]]:
        flags = ("training", "inplace")
        return [(name, part, flag) for name, part in self._module.named_modules() for flag in flags if hasattr(part, flag)]

    def _all_weights(self) -> list[tuple[str, Any]]:
        return [*self._module.named_parameters(), *self._module.named_buffers()]
