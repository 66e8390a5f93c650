"""A U-Net small enough to train on one core in a minute; its answers have the size of the image."""

import torch
from torch import nn


def _stage(channels, out):
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.Conv2d(out, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()
    )  # fmt: skip


class SmallUNet(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        sizes = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList(_stage(c, out) for c, out in zip([1, *sizes], sizes, strict=False))
        self.up = nn.ModuleList(_stage(a + b, b) for a, b in ((sizes[2], sizes[1]), (sizes[1], sizes[0])))
        self.smaller = nn.MaxPool2d(2)
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(width, classes, 1)
        nn.init.constant_(self.head.bias, -3.0)  # nearly no pixel belongs to a finding, which need not be learnt first

    def forward(self, images):
        fine = self.down[0](images)
        middle = self.down[1](self.smaller(fine))
        coarse = self.down[2](self.smaller(middle))
        middle = self.up[0](torch.cat([self.larger(coarse), middle], 1))
        return self.head(self.up[1](torch.cat([self.larger(middle), fine], 1)))


def build(classes=6, width=8):
    return SmallUNet(classes, width)
