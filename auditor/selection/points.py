"""Images as points, and how alike they are: in their features, or in the gradients they would give the last layer.

The gradient of the last linear layer is the product of two short vectors, delta (what is wrong with the answer) and the features
with a 1 for the bias, so that the cosine of two gradients is the product of two cosines. The gradients themselves, C (d + 1) numbers an
image, are never made, and neither is a matrix of the pool with itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

SHORTEST = 1e-12
"""A vector shorter than this has no direction: its cosine with anything is 0."""
KEPT = 2**26
"""Similarities to the query that are kept rather than computed again, 256 MiB; with more of them none is."""
BLOCK = 4096


@dataclass(frozen=True)
class Points:
    """n images, each by the factors of its embedding: rows [n, d_f] of length 1, or of zeros where there is no direction."""

    factors: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.factors[0])

    def at(self, rows: Tensor) -> Points:
        """The points of these rows."""
        return Points(tuple(factor[rows] for factor in self.factors))

    def parts(self, size: int) -> Iterator[Points]:
        """All points, so many at a time."""
        return (Points(tuple(f[start : start + size] for f in self.factors)) for start in range(0, len(self), size))


def in_features(features: Tensor) -> Points:
    """Points by their penultimate features [n, d]; raises ValueError where one is not a number."""
    return Points((_unit(features),))


def in_gradients(features: Tensor, delta: Tensor) -> Points:
    """Points by the gradient of the loss in weights and biases of the last layer.

    `delta` [n, C] is the derivative of the loss in the logits: softmax(z) - onehot(y), or sigmoid(z) - y for outputs of their own.
    Source: Kothawade et al., SIMILAR (2021), and DISTIL's gradient embeddings of type bias_linear.
    """
    return Points((_unit(delta), _unit(torch.cat([features, torch.ones_like(features[:, :1])], 1))))


def similarity(some: Points, others: Points) -> Tensor:
    """(1 + cosine) / 2 of every pair [n, m] in 0..1, in the precision of the points.

    The shift matters: concave functions of sums of negative similarities are not defined, and facility location cuts them off.
    """
    cosine = some.factors[0] @ others.factors[0].T
    for mine, theirs in zip(some.factors[1:], others.factors[1:], strict=True):
        cosine *= mine.to(cosine.dtype) @ theirs.to(cosine.dtype).T
    return cosine.clamp_(-1, 1).add_(1).div_(2)


class Kernel:
    """How alike the images of a pool are to those of a query and to each other, row by row as it is asked for.

    Similarities come in the precision of the points; what is added up of them is added in float64.
    """

    def __init__(self, pool: Points, query: Points) -> None:
        self._pool, self._query = pool, query
        self.pool, self.query = len(pool), len(query)
        self.device = pool.factors[0].device
        self._kept: Tensor | None = None

    def to_query(self, rows: Tensor) -> Tensor:
        """Similarity of these pool images to the query [m, q]."""
        if self._kept is None and self.pool * self.query <= KEPT:
            self._kept = self._query.factors[0].new_empty((self.pool, self.query))
            for number, part in enumerate(self._pool.parts(BLOCK)):
                self._kept[number * BLOCK : number * BLOCK + len(part)] = similarity(part, self._query)
        return similarity(self._pool.at(rows), self._query) if self._kept is None else self._kept[rows]

    def to_pool(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Similarity of these pool images to those [m, l]."""
        return similarity(self._pool.at(rows), self._pool.at(columns))

    def of_query(self) -> Tensor:
        """Similarity of the query images to each other [q, q]."""
        return similarity(self._query, self._query)

    def to_itself(self) -> Tensor:
        """Similarity of each pool image to itself [n]: 1, or a half where it has no direction."""
        directed = [factor.abs().amax(1) > 0 for factor in self._pool.factors]
        return (1 + torch.stack(directed).all(0).double()) / 2


def parts(rows: Tensor, size: int) -> Iterator[Tensor]:
    """The rows in blocks of at most so many; none where there are no rows."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _unit(vectors: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    if not bool(torch.isfinite(length).all()):
        raise ValueError("an embedding holds values that are not numbers; allowed: finite numbers")
    return vectors * torch.where(length < SHORTEST, 0.0, 1 / length.clamp(min=SHORTEST))
