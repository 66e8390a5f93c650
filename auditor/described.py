"""Who is on the images, as far as the data set says it: every key of the samples' metadata counted, nobody named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import Sample
    from .plan import Plan

SEVERAL = 12
"""Values of a key that are counted one by one; of more only their number is told, since they may name somebody."""


def both(plan: Plan, audited: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """{partition: {key: what it holds}} of the audited images and, where audit.yaml names them, of the training images."""
    found = {"audited": described(audited)}
    return found if plan.training is None else found | {"training": described(plan.training.samples)}


def described(samples: Sequence[Sample]) -> dict[str, Any]:
    """{key: {known, and counts by value, or median, low and high of numbers, or how many different values}}.

    `known` counts the images that say anything; a key with the same few values reads as a category, also where they are digits.
    """
    keys = dict.fromkeys(key for sample in samples for key in sample.metadata)
    return {key: _values([said for sample in samples if (said := str(sample.metadata.get(key, "")).strip())]) for key in keys}


def _values(said: Sequence[str]) -> dict[str, Any]:
    counts = Counter(said)
    if len(counts) <= SEVERAL:
        return {"known": len(said), "counts": dict(sorted(counts.items()))}
    try:
        numbers = sorted(float(value) for value in said)
    except ValueError:
        return {"known": len(said), "different": len(counts)}
    middle = len(numbers) // 2
    median = numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2
    return {"known": len(said), "median": median, "low": numbers[0], "high": numbers[-1]}
