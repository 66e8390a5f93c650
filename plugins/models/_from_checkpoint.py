"""What every loader does that fills a network from a checkpoint file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor import Layers, ModelLoader, ModelRefused, nearest
from auditor.checkpoint import file_digest, fit, load_into, read_card, read_shapes, read_weights, weights_digest

from ._layers import proposed_layers

if TYPE_CHECKING:
    from torch import nn

_COMMON = {field.name for field in fields(ModelLoader)} - {"classes"}


@dataclass(frozen=True, kw_only=True)
class CheckpointLoader(ModelLoader):
    """A network built by name and filled with the weights of a file.

    `checkpoint: null` is the network as it is before training, drawn with the model's `seed`: a control that has learned
    nothing. It has to be written, so that a forgotten line is not one. What the checkpoint's card says (architecture,
    strategy, head, order of classes, preprocessing) must not contradict audit.yaml.
    """

    checkpoint: Path | None

    def build(self, outputs: int) -> nn.Module:
        """The network before training, with this many outputs, drawing its weights from torch's default generator."""
        raise NotImplementedError

    def load(self) -> nn.Module:
        """The network with its weights, in eval mode on the CPU; raises ModelRefused with the way out."""
        outputs = len(self.declared_classes())
        if not outputs:
            raise ModelRefused(f"{self._who()} carries no class names: name the outputs in order, `classes: [...]`")
        module = self._built(outputs)
        if self.checkpoint is not None:
            if said := contradictions(self.card(), self):
                raise ModelRefused(f"{self.checkpoint} says otherwise than audit.yaml: {'; '.join(said)}")
            self.fill(module, self.checkpoint)
        return module.eval()

    def fill(self, module: nn.Module, checkpoint: Path) -> None:
        """Copy the weights of the checkpoint into the network."""
        load_into(module, read_weights(checkpoint), checkpoint)

    def card(self) -> dict[str, Any]:
        """What the checkpoint says of itself; {} for an untrained network."""
        return {} if self.checkpoint is None else read_card(self.checkpoint)

    def declared_classes(self) -> tuple[str, ...]:
        """The `classes` option, or the card's, or () where neither says."""
        return self.classes or tuple(self.card().get("classes", ()))

    def mistakes(self) -> Iterator[str]:
        """An architecture that nobody knows, a file that is no checkpoint, weights or layers that do not fit the network."""
        outputs = 0
        try:
            outputs = len(self.declared_classes()) if self.checkpoint is None or self.checkpoint.exists() else len(self.classes)
        except ModelRefused as error:
            yield f"checkpoint: {error}"
        try:
            module = self._sketched(max(1, outputs))
        except ModelRefused as error:
            yield str(error)
            return
        known = {name for name, _ in module.named_modules() if name}
        for role, name in asdict(self.layers).items():
            if name and name not in known:
                yield f"layers.{role}: no layer {name!r} in {type(module).__name__}{nearest(name, known)}"
        if self.checkpoint is not None and self.checkpoint.exists() and outputs:
            yield from self._misfits(module, self.checkpoint)

    def _misfits(self, module: nn.Module, checkpoint: Path) -> Iterator[str]:
        try:
            if said := contradictions(self.card(), self):
                yield f"checkpoint: {checkpoint} says otherwise than audit.yaml: {'; '.join(said)}"
            fit(module, self.shapes(checkpoint), checkpoint)
        except ModelRefused as error:
            yield f"checkpoint: {error}"

    def shapes(self, checkpoint: Path) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the weights of the checkpoint."""
        return read_shapes(checkpoint)

    def default_layers(self) -> Layers:
        """The last feature maps for attribution, and for dissection the stage before where it is called layer3."""
        if self.layers.attribution and self.layers.dissection:
            return self.layers
        size = (self.preprocessing.channels, self.preprocessing.size, self.preprocessing.size)
        return proposed_layers(self._built(max(1, len(self.declared_classes()))), size, self.layers, self._who())

    def digest(self) -> str:
        """sha256 of the weights' file, or of the weights drawn if there is none, and of the options of this loader."""
        if self.checkpoint is None:
            weights = weights_digest(self.load().state_dict())
        else:
            weights = self.checkpoint_digest(self.checkpoint)
        told = json.dumps([self.name, weights, self.recipe()], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()

    def checkpoint_digest(self, checkpoint: Path) -> str:
        """sha256 of the file that the weights come from."""
        return file_digest(checkpoint)

    def recipe(self) -> dict[str, object]:
        """The options that, with the weights, decide what the network computes."""
        own = {field.name for field in fields(self)} - _COMMON - {"checkpoint"}
        return {name: getattr(self, name) for name in own}

    def _who(self) -> str:
        return str(self.checkpoint) if self.checkpoint is not None else f"the untrained {self.family()}"

    def _sketched(self, outputs: int) -> nn.Module:
        """The network without room for its weights; where it cannot be made so, because it computes with them, the network itself."""
        import torch

        try:
            with torch.device("meta"):
                return self._built(outputs)
        except Exception:
            return self._built(outputs)

    def _built(self, outputs: int) -> nn.Module:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return self.build(outputs)


def contradictions(card: Mapping[str, Any], loader: ModelLoader) -> list[str]:
    """Where a checkpoint's card and audit.yaml disagree, a phrase each."""
    pairs: list[tuple[str, Any, Any]] = [
        ("architecture", card.get("architecture"), loader.family()),
        ("strategy", card.get("strategy"), loader.strategy),
        ("head", card.get("head"), loader.head),
        ("output", card.get("output"), loader.output),
    ]
    chosen = asdict(loader.preprocessing)
    pairs += [
        (f"preprocessing.{key}", value, list(chosen[key]) if isinstance(chosen[key], tuple) else chosen[key])
        for key, value in card.get("preprocessing", {}).items()
        if key in chosen
    ]
    said = [f"{what} {theirs}, not {ours}" for what, theirs, ours in pairs if theirs is not None and theirs != ours]
    classes = tuple(card.get("classes", ()))
    if loader.classes and classes != loader.classes and set(classes) == set(loader.classes):
        said.append(f"the classes in another order: {', '.join(classes)}")
    return said
