"""A residual network small enough to train on a laptop: four stages, global average pooling, one linear layer."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3 x 3 convolutions and a way around them; halves the resolution with stride 2."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        self.around = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inside, H, W] -> [N, outside, H / stride, W / stride]."""
        straight = self.second_norm(self.second(self.relu(self.first_norm(self.first(x)))))
        return self.relu(straight + self.around(x))


class SmallCNN(nn.Module):
    """Grey images [N, 1, H, W] -> logits [N, classes]; `layer3` keeps an eighth of the resolution."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
        self.layer1 = Block(16, 24, 1)
        self.layer2 = Block(24, 40, 2)
        self.layer3 = Block(40, 64, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every class."""
        features = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return self.head(self.pool(features).flatten(1))


def build(classes: int) -> nn.Module:
    """The network of the quickstart, without weights."""
    return SmallCNN(classes)
