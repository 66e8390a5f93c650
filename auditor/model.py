"""A model under audit: how it was trained, how to load it, and what its inputs and outputs are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels in 0..1 become what the network was trained on.

    `fit: stretch` resizes to size x size; `fit: crop` resizes the shorter side to `resize` (default size * 256 / 224) and
    cuts the centre. Bilinear with antialiasing. Grey images are repeated to `channels`. Then (x - mean) / std.
    """

    size: int = 224
    channels: Literal[1, 3] = 3
    fit: Literal["stretch", "crop"] = "stretch"
    resize: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def mistakes(self) -> Iterator[str]:
        """What cannot be meant, each begun by its option."""
        for name, given in (("mean", self.mean), ("std", self.std)):
            if len(given) not in (1, self.channels):
                yield f"preprocessing.{name}: found {len(given)} values; allowed: 1, or one for each of {self.channels} channels"
        if min(self.std, default=1.0) <= 0:
            yield f"preprocessing.std: found {min(self.std):g}; allowed: more than 0"
        if self.size < 1:
            yield f"preprocessing.size: found {self.size}; allowed: at least 1"
        if self.fit == "crop" and self.resize is not None and self.resize < self.size:
            yield f"preprocessing.resize: found {self.resize}; allowed: at least the size, {self.size}"

    @property
    def recipe(self) -> str:
        """A name for what stored pixels depend on: size and fit; channels and normalisation come later."""
        return f"{self.size}-crop{self.resize or ''}" if self.fit == "crop" else f"{self.size}"


PER_PIXEL = frozenset({"pixels", "features", "image"})
"""What analyses can have of a network that answers for every pixel: no logit and no map of the image as a whole."""


@dataclass(frozen=True)
class Layers:
    """Dotted names of the layers looked at; empty means the loader's own default."""

    attribution: str = ""
    dissection: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelLoader:
    """Makes a torch module that maps images [N, C, H, W] to logits [N, K].

    With `output: pixels` the logits are [N, K, h, w], one per pixel of a grid whose step, H / h = W / w, is a whole number.
    Write a frozen, keyword-only dataclass; your fields are added to these options, which every model has. `classes` names
    the outputs in order and is matched to the data set by name; leave it empty if the checkpoint carries its class names.
    """

    name: ClassVar[str]
    provides: ClassVar[frozenset[str]] = frozenset({"logits", "features", "attribution", "embeddings", "image"})
    """What analyses can have of a network that answers for whole images."""

    strategy: str
    seed: int = 0
    classes: tuple[str, ...] = ()
    head: Literal["sigmoid", "softmax"] = "sigmoid"
    output: Literal["image", "pixels"] = "image"
    layers: Layers = field(default_factory=Layers)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def load(self) -> nn.Module:
        """The network with its weights, on the CPU; raises ModelRefused with the way out."""
        raise NotImplementedError

    def family(self) -> str:
        """The architecture in a word; strategies are contrasted within one family where they can be."""
        return self.name

    def declared_classes(self) -> tuple[str, ...]:
        """Names of the outputs in order: the `classes` option, or what the checkpoint says."""
        return self.classes

    def default_layers(self) -> Layers:
        """The layers to look at when audit.yaml names none."""
        return Layers()

    def mistakes(self) -> Iterable[str]:
        """Everything wrong with the options that a file's header or an official list shows, each begun by its option: "checkpoint: ..."."""
        return ()

    def digest(self) -> str:
        """A digest of the weights (of the file they come from); it keys everything measured with them."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ScoreTable(ModelLoader):
    """A model of which only scores are known; analyses that look inside it are reported as gaps."""

    provides: ClassVar[frozenset[str]] = frozenset({"logits"})

    def scores(self, ids: Sequence[str]) -> npt.NDArray[np.float64]:
        """Logits [N, K] for these sample ids, columns as `declared_classes`; a row of NaN where there is none."""
        raise NotImplementedError
