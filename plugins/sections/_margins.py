"""What is shown of an analysis of margins: which numbers, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Look(NamedTuple):
    """`sides` are the per-case margins and what their cases are called; `alone` is shown where there are no training images."""

    sides: Mapping[str, str]
    overview: tuple[str, ...]
    alone: tuple[str, ...]
    blocks: tuple[str, ...]
    heading: str
    caption: str = (
        "The first network of each strategy. Right of the upright line an image is on its right side of the decision boundary. Where "
        "the filled shape lies to the left of the outline, unseen images are less safe than those trained on. Heights are shares."
    )
