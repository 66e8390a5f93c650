"""What an apparatus, its processing or a network cable does to grey values: pictures [n, C, H, W] in 0..1 in, the same range out."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

Draws = Sequence[np.random.Generator]
"""One generator per picture; most changes draw nothing."""

EXPOSURES = 100.0
"""How many times more quanta reach the detector where a picture is black than where it is white."""


def gamma(pictures: Tensor, draws: Draws, exponent: float) -> Tensor:
    """Grey values raised to a power: below 1 brightens, above 1 darkens, black and white stay."""
    return pictures.pow(exponent)


def window(pictures: Tensor, draws: Draws, contrast: float) -> Tensor:
    """Contrast about middle grey: above 1 a narrower display window, which clips; below 1 a wider one."""
    return ((pictures - 0.5) * contrast + 0.5).clamp(0.0, 1.0)


def quantum_noise(pictures: Tensor, draws: Draws, deviation: float) -> Tensor:
    """Gaussian noise, the same in all channels, of this standard deviation where the picture is white.

    A radiograph shows the logarithm of the quanta, so noise goes with 1 / sqrt(quanta): EXPOSURES times more quanta in black leave
    a tenth of the noise there.
    """
    shape = (1, *pictures.shape[2:])
    drawn = np.stack([draw.standard_normal(shape, np.float32) for draw in draws])
    level = deviation * torch.exp((pictures - 1.0) * (math.log(EXPOSURES) / 2))
    return (pictures + level * torch.from_numpy(drawn).to(pictures)).clamp(0.0, 1.0)


def blur(pictures: Tensor, draws: Draws, share: float) -> Tensor:
    """A Gaussian whose standard deviation is this share of the width; edges are continued."""
    sigma = share * pictures.shape[3]
    reach = max(math.ceil(4 * sigma), 1)
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pictures)
    n, channels, height, width = pictures.shape
    planes = pad(pictures.reshape(n * channels, 1, height, width), (reach, reach, reach, reach), mode="replicate")
    planes = conv2d(conv2d(planes, kernel[None, None, None, :]), kernel[None, None, :, None])
    return planes.reshape(pictures.shape).clamp(0.0, 1.0)


def lower_resolution(pictures: Tensor, draws: Draws, share: float) -> Tensor:
    """Pixels averaged to this share of rows and columns, then scaled up again bilinearly."""
    height, width = pictures.shape[2:]
    fewer = max(round(height * share), 1), max(round(width * share), 1)
    small = interpolate(pictures, fewer, mode="area")
    return interpolate(small, (height, width), mode="bilinear", align_corners=False).clamp(0.0, 1.0)


def jpeg(pictures: Tensor, draws: Draws, quality: float) -> Tensor:
    """Rounded to 8 bits, compressed at this quality (1 to 95) and read again."""
    from PIL import Image

    found = []
    for picture in (pictures.cpu().double() * 255).round().to(torch.uint8).numpy():
        image = Image.fromarray(picture[0] if len(picture) == 1 else np.ascontiguousarray(np.moveaxis(picture, 0, -1)))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=round(quality))
        with Image.open(file, formats=("JPEG",)) as read:
            values = np.asarray(read, np.float32) / np.float32(255)
        found.append(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0))
    return torch.from_numpy(np.stack(found)).to(pictures)
