"""A network made ready to be looked into: one forward pass, shared by everyone who asks about the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from . import pixel_answers
from .errors import ModelRefused, nearest
from .last_layer import NOT_LINEAR, LastLayer, last_layer, watched

Role = Literal["attribution", "dissection"]


class Cases(NamedTuple):
    """P pairs of an image (its row in the batch) and a class; both int64 [P]."""

    image: Tensor
    target: Tensor


class Network:
    """A classifier in eval mode with frozen weights, its outputs in the audit's class order.

    `layers` names the module whose output is looked at for each role ("attribution", "dissection"). Whoever asks for logits,
    features or gradients of one batch of images shares one forward pass: nothing before the attribution layer records a
    graph, and the gradient of a class is taken through the head only. With `output` "pixels" all logits have two axes more,
    [N, K, h, w].
    """

    def __init__(
        self,
        module: nn.Module,
        outputs: Sequence[int],
        layers: Mapping[str, str] | None = None,
        output: Literal["image", "pixels"] = "image",
    ) -> None:
        self.module = module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self.parameters = sum(parameter.numel() for parameter in module.parameters())
        self.layers = dict(layers or {})
        self.forwards = 0
        self._form = torch.contiguous_format
        self.pooled_head: Tensor | None = None
        self.last_layer: LastLayer | None = None
        self.outputs, self.output = list(outputs), output
        self._in_place: set[str] = set()
        self._images: Tensor | None = None
        self._raw: Tensor | None = None
        self._logits: Tensor | None = None
        self._features: dict[str, Tensor] = {}
        self._embeddings: Tensor | None = None
        self._root: Tensor | None = None
        known = {name for name, _ in module.named_modules() if name}
        for role, name in self.layers.items():
            if name not in known:
                raise ModelRefused(f"layers.{role}: no layer {name!r} in {type(module).__name__}{nearest(name, known)}")

    def __call__(self, images: Tensor) -> Tensor:
        """Logits [N, K] by a plain forward pass of its own, differentiable with respect to `images`."""
        self.forwards += 1
        return self._checked(self.module(images), images)[:, self.outputs]

    def asked_apart(self, images: Tensor) -> Tensor:
        """All the network's outputs [N, all] by a forward pass of its own, without a graph; the shared pass is not forgotten."""
        self.forwards += 1
        with torch.no_grad():
            return self._checked(self.module(images), images)

    def logits(self, images: Tensor) -> Tensor:
        """Logits [N, K] from the shared forward pass, without a graph."""
        self._look(images)
        assert self._logits is not None
        return self._logits.detach()

    def every_logit(self, images: Tensor) -> Tensor:
        """All the network's outputs [N, all] in its own order, audited or not, from the shared forward pass."""
        self._look(images)
        assert self._raw is not None
        return self._raw.detach()

    def features(self, images: Tensor, role: Role = "attribution") -> Tensor:
        """Output [N, C, h, w] of the layer of this role from the shared forward pass, without a graph."""
        if role not in self.layers:
            raise ModelRefused(f"layers.{role} is not set for this model; name a convolutional layer in audit.yaml")
        self._look(images)
        return self._features[role]

    def embeddings(self, images: Tensor) -> Tensor:
        """Input [N, d] of the last linear layer from the shared forward pass, without a graph."""
        if self.last_layer is None:
            raise ModelRefused(NOT_LINEAR)
        self._look(images)
        assert self._embeddings is not None
        return self._embeddings

    def gradients(self, images: Tensor, cases: Cases) -> Tensor:
        """Gradient [P, C, h, w] of each case's logit with respect to the attribution layer's output."""
        if self.pooled_head is not None:
            height, width = self.features(images).shape[2:]
            return self.channel_weights(images, cases)[:, :, None, None].expand(-1, -1, height, width)
        found: Tensor | None = None
        for rows, gradient in self._by_rank(images, cases):
            if found is None:
                found = gradient.new_zeros((len(cases.image), *gradient.shape[1:]))
            found[rows] = gradient[cases.image[rows]]
        return found if found is not None else self.features(images)[:0]

    def channel_weights(self, images: Tensor, cases: Cases) -> Tensor:
        """Mean over positions of `gradients`, [P, C]; read off the weights when the head is pooling and one linear layer."""
        features = self.features(images)
        if self.pooled_head is not None:
            return self.pooled_head[cases.target] / (features.shape[2] * features.shape[3])
        weights = features.new_zeros((len(cases.image), features.shape[1]))
        for rows, gradient in self._by_rank(images, cases):
            weights[rows] = gradient.mean((2, 3))[cases.image[rows]]
        return weights

    def use(self, form: torch.memory_format) -> None:
        """Lay the weights out in this memory format; channels_last is faster where the network can take it."""
        self._form = form
        self.module.to(memory_format=form)

    def laid_out(self, images: Tensor) -> Tensor:
        """Images in the memory format of the weights."""
        return images.contiguous(memory_format=self._form)

    def forget(self) -> None:
        """Let go of the last batch."""
        self._images = self._raw = self._logits = self._root = self._embeddings = None
        self._features = {}

    def probe(self, images: Tensor, names: Sequence[str] = ()) -> None:
        """Check outputs and layers on a few images and learn the shape of the head; raises ModelRefused with the way out.

        `names` are the declared classes of all the outputs, in order.
        """
        calls: dict[str, int] = dict.fromkeys(self.layers, 0)
        seen: dict[str, tuple[Tensor, int]] = {}

        def watch(role: str, output: object) -> None:
            calls[role] += 1
            if not isinstance(output, Tensor) or output.ndim != 4:
                shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ModelRefused(
                    f"layers.{role}: {self.layers[role]!r} gives {shape}, not maps [N, C, h, w]; name a convolutional layer"
                )
            seen[role] = (output, output._version)

        watchers = {role: lambda out, role=role: watch(role, out) for role in self.layers}
        with torch.no_grad(), self._hooked(watchers), watched(self.module) as linear:
            raw = self._checked(self.module(images), images)
        if names and raw.shape[1] != len(names):
            raise ModelRefused(
                f"the network gives {raw.shape[1]} outputs, and {len(names)} classes are declared: {', '.join(names)}"
            )
        for role, count in calls.items():
            if count != 1:
                raise ModelRefused(
                    f"layers.{role}: {self.layers[role]!r} runs {count} times in one forward pass; name a layer that runs once"
                )
        self._in_place = {role for role, (output, version) in seen.items() if output._version != version}
        self.forwards += 1
        self.forget()
        self.last_layer = last_layer(linear, raw, self.outputs) if self.output == "image" else None
        if "attribution" in self.layers and "attribution" not in self._in_place:
            self.pooled_head = self._pooled_linear(seen["attribution"][0], raw)

    def _pooled_linear(self, features: Tensor, raw: Tensor) -> Tensor | None:
        linear = [m for m in self.module.modules() if isinstance(m, nn.Linear)]
        if not linear or linear[-1].weight.shape != (raw.shape[1], features.shape[1]):
            return None
        with torch.no_grad():
            rebuilt = linear[-1](features.mean((2, 3)))
        same = torch.allclose(rebuilt, raw, rtol=1e-4, atol=1e-4 * max(1.0, float(raw.abs().max())))
        return linear[-1].weight.detach()[self.outputs] if same else None

    def _checked(self, raw: object, images: Tensor) -> Tensor:
        if self.output == "pixels":
            return pixel_answers.checked(raw, images)
        count = len(images)
        if isinstance(raw, Tensor) and raw.ndim == 1:
            raw = raw[:, None]
        if not isinstance(raw, Tensor) or raw.ndim != 2 or len(raw) != count:
            shape = list(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
            way = ""
            if isinstance(raw, Tensor) and raw.ndim == 4:
                way = "; write output: pixels for a network that answers for every pixel"
            raise ModelRefused(f"the network gives {shape} for {count} images, not logits [{count}, K]{way}")
        return raw

    def _look(self, images: Tensor) -> None:
        if images is self._images:
            return
        self.forget()

        def tap(role: str, output: Tensor) -> Tensor | None:
            if role == "attribution" and self.pooled_head is None:
                self._root = output.detach().requires_grad_()
                self._features[role] = self._root.detach()
                return self._root.clone() if role in self._in_place else self._root
            self._features[role] = output.detach().clone() if role in self._in_place else output.detach()
            return None

        with torch.set_grad_enabled("attribution" in self.layers and self.pooled_head is None):
            with self._hooked({role: lambda out, role=role: tap(role, out) for role in sorted(self.layers, reverse=True)}):
                self._raw = self._checked(self.module(images), images)
                self._logits = self._raw[:, self.outputs]
        self.forwards += 1
        self._images = images

    @contextmanager
    def _hooked(self, watchers: Mapping[str, object]) -> Iterator[None]:
        handles = []
        try:
            if self.last_layer is not None:
                handles.append(self.last_layer.module.register_forward_pre_hook(self._keep_embeddings))
            for role, watch in watchers.items():
                layer = self.module.get_submodule(self.layers[role])
                handles.append(layer.register_forward_hook(lambda _m, _i, out, watch=watch: watch(out)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _keep_embeddings(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._embeddings = inputs[0].detach()

    def _by_rank(self, images: Tensor, cases: Cases) -> Iterator[tuple[Tensor, Tensor]]:
        """(cases, gradient [N, C, h, w]) for the first case of every image, then the second ...: one backward pass each.

        Images are independent in eval mode, so one backward pass through the head serves one case of every image.
        """
        self._look(images)
        if self._root is None:
            raise ModelRefused("layers.attribution is not set; gradients need it")
        assert self._logits is not None
        rank = torch.zeros_like(cases.image)
        for image in torch.unique(cases.image):
            rows = cases.image == image
            rank[rows] = torch.arange(int(rows.sum()), device=rank.device)
        for turn in range(int(rank.max()) + 1 if len(rank) else 0):
            rows = torch.nonzero(rank == turn)[:, 0]
            score = self._logits[cases.image[rows], cases.target[rows]].sum()
            (gradient,) = torch.autograd.grad(score, self._root, retain_graph=True)
            yield rows, gradient
