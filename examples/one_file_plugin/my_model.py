from dataclasses import dataclass
from pathlib import Path

from auditor import Layers, ModelLoader, hookimpl
from auditor.checkpoint import file_digest, load_into, read_weights


@dataclass(frozen=True, kw_only=True)
class MyModel(ModelLoader):
    """One convolution, pooling and a linear layer; audit.yaml names its outputs with `classes`."""

    name = "my_model"
    checkpoint: Path
    layers: Layers = Layers(attribution="0", dissection="0")

    def load(self):
        from torch import nn

        maps = nn.Sequential(nn.Conv2d(self.preprocessing.channels, 8, 3, padding=1), nn.ReLU())
        network = nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, len(self.classes)))
        load_into(network, read_weights(self.checkpoint), self.checkpoint)
        return network

    def digest(self):
        return file_digest(self.checkpoint)


@hookimpl
def register_models():
    return [MyModel]
