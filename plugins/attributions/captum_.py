"""Captum's attribution methods, by name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auditor import Attribution, ConfigError, PluginError, among, hookimpl

from ._trace import Trace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from auditor import Cases, Network

METHODS = (
    "Saliency", "InputXGradient", "IntegratedGradients", "GradientShap", "DeepLift", "Occlusion", "Deconvolution",
    "GuidedBackprop", "GuidedGradCam", "LayerGradCam", "NoiseTunnel",
)  # fmt: skip
RANDOM = ("GradientShap", "NoiseTunnel")
OURS = frozenset({
    "self", "inputs", "target", "additional_forward_args", "return_convergence_delta", "custom_attribution_func", "abs",
    "attr_dim_summation", "grad_kwargs", "show_progress", "kwargs",
})  # fmt: skip
SIZE = 16
"""Images per forward pass of Captum's own."""


@dataclass(frozen=True)
class CaptumAttribution(Attribution):
    """Any image method of Captum by name, such as IntegratedGradients or Occlusion.

    A method of `captum.attr`, [P, H, W] on the grid of the network's input (LayerGradCam: of the attribution layer).

    `options` go to the method's `attribute`. Occlusion's window and stride are one number of pixels (default 16 and 8) or
    [channels, height, width]; baselines are one number in units of the preprocessed input (default 0). NoiseTunnel is put
    around Saliency. The colour channels are summed, by magnitude when `absolute` is true; LayerGradCam has none and keeps
    its sign. Random methods draw the same noise for every case, from `seed`. GuidedBackprop, Deconvolution and DeepLift
    see the activations that are modules of the network, not those called as functions. Kokhlikyan et al., arXiv 2009.07896.
    """

    name = "captum"

    method: str = "IntegratedGradients"
    options: Mapping[str, int | float | bool | str | list[int]] = field(default_factory=dict, hash=False)
    absolute: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method: captum has no method {self.method!r}; there are {among(self.method, METHODS)}")

    def explain(self, network: Network, images: Tensor, cases: Cases) -> Tensor:
        import torch

        if not len(cases.image):
            return images.new_zeros((0, *images.shape[2:]))
        size = 1 if self.method in RANDOM else SIZE
        with _no_trace(network.module, self.method), torch.enable_grad():
            attributor = self._attributor(network)
            parts = [
                self._maps(attributor, images[cases.image[rows]], cases.target[rows])
                for rows in torch.split(torch.arange(len(cases.image), device=cases.image.device), size)
            ]
        return torch.cat(parts)

    def _attributor(self, network: Network) -> Any:
        from captum import attr

        kind = getattr(attr, self.method)
        allowed = sorted(set(inspect.signature(kind.attribute).parameters) - OURS - {"feature_mask"})
        for option in self.options:
            if option not in allowed:
                there = among(option, allowed) or "none"
                raise ConfigError(f"captum {self.method}: no option {option!r}; there are: {there}")
        classifier = _as_module(network)
        if self.method == "NoiseTunnel":
            return kind(attr.Saliency(classifier))
        if self.method in ("GuidedGradCam", "LayerGradCam"):
            if "attribution" not in network.layers:
                raise PluginError(f"captum {self.method}: layers.attribution is not set")
            return kind(classifier, network.module.get_submodule(network.layers["attribution"]))
        return kind(classifier)

    def _maps(self, attributor: Any, images: Tensor, targets: Tensor) -> Tensor:
        import torch

        images = images.detach().requires_grad_()
        try:
            with warnings.catch_warnings(), _seeded(self.seed):
                warnings.filterwarnings("ignore", category=UserWarning)
                found = attributor.attribute(images, target=targets, **self._arguments(images))
        except (RuntimeError, ValueError, AssertionError, TypeError, AttributeError, IndexError) as error:
            raise PluginError(f"captum {self.method} cannot explain this network: {error}") from error
        found = found.detach()
        if self.absolute and self.method != "LayerGradCam":
            found = found.abs()
        return torch.sum(found, 1)

    def _arguments(self, images: Tensor) -> dict[str, Any]:
        given: dict[str, Any] = dict(self.options)
        channels = images.shape[1]
        if self.method == "IntegratedGradients":
            given.setdefault("internal_batch_size", SIZE)
        elif self.method in ("Saliency", "NoiseTunnel"):
            given["abs"] = False
        elif self.method == "GradientShap":
            given["baselines"] = images.detach()[:1] * 0 + given.get("baselines", 0.0)
        elif self.method == "Occlusion":
            for option, usual in (("sliding_window_shapes", 16), ("strides", 8)):
                side = given.get(option, usual)
                given[option] = tuple(side) if isinstance(side, (list, tuple)) else (channels, side, side)
        return given


def _as_module(network: Network) -> nn.Module:
    """The network with its outputs in the audit's class order, as the module that some methods insist on."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network.module
            self.training = network.module.training

        def forward(self, images: Tensor) -> Tensor:
            return network(images)

    return Classifier()


@contextmanager
def _no_trace(module: nn.Module, method: str) -> Iterator[None]:
    """Out-of-place activations meanwhile, as hooks need; afterwards everything as before, or an error saying what was not."""
    trace = Trace(module)
    left: list[str] = []
    try:
        for part in module.modules():
            if getattr(part, "inplace", False):
                setattr(part, "inplace", False)  # noqa: B010 - nn.Module types every attribute as a tensor
        yield
    finally:
        left = trace.restore()
    if left:
        raise PluginError(f"captum {method} left a trace in the network: {', '.join(left)}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global random numbers that Captum draws, from this seed; afterwards as before."""
    import numpy as np
    import torch

    kept = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(kept)


@hookimpl
def register_attributions() -> list[type]:
    return [CaptumAttribution]
