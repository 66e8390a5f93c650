"""The weight of a class by its effective number of samples."""

from __future__ import annotations

import math


def effective_weight(count: int, beta: float) -> float:
    """(1 - beta)/(1 - beta^count) in float64: 1 for one sample, nearly 1/count for few, never below 1 - beta.

    expm1 keeps the digits that 1 - beta^count loses for small counts. `count` is at least 1, beta from 0 to below 1.
    Source: Cui et al., Class-Balanced Loss Based on Effective Number of Samples.
    """
    return (1 - beta) / -math.expm1(count * math.log(beta)) if beta else 1.0
