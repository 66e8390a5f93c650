"""How else one might choose: at random, where the network is unsure, or spread over what is unlike the rest.

None of them knows what is wanted. Probabilities are given as [n, questions, outcomes]: one question of C outcomes for a softmax head,
a question of two outcomes for every targeted class of a sigmoid head; a score is the mean over the questions.
Sources: Ash et al., BADGE (2020); Sener and Savarese, CoreSet (2018).
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor

from .greedy import Pick
from .points import parts


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the answers [n], in nats; 0 log 0 is 0."""
    return -torch.xlogy(probabilities, probabilities).sum(-1).mean(-1)


def margin(probabilities: Tensor) -> Tensor:
    """How little the likeliest answer is ahead of the second [n], 0 where they are far apart and 1 where they are equal."""
    first, second = probabilities.topk(2, -1).values.unbind(-1)
    return 1 - (first - second).mean(-1)


def least_confidence(probabilities: Tensor) -> Tensor:
    """1 - the probability of the likeliest answer [n]."""
    return 1 - probabilities.amax(-1).mean(-1)


UNSURE = MappingProxyType({"entropy": entropy, "margin": margin, "least_confidence": least_confidence})
BASELINES = ("random", *UNSURE, "badge", "coreset")


def best(scores: Tensor, budget: int) -> list[Pick]:
    """The rows of the highest scores; of equal ones the first."""
    order = torch.sort(scores, descending=True, stable=True).indices[:budget].tolist()
    return [Pick(row, float(scores[row])) for row in order]


def at_random(size: int, budget: int, draw: torch.Generator) -> list[Pick]:
    """Any rows; every order is as likely."""
    return [Pick(row, 0.0) for row in torch.randperm(size, generator=draw)[:budget].tolist()]


def badge(features: Tensor, delta: Tensor, budget: int, draw: torch.Generator) -> list[Pick]:
    """k-means++ seeds among the gradients delta (x) features, which are never made: large ones, unlike each other.

    The first is the longest; each further one is drawn with a chance in proportion to its squared distance to the nearest chosen.
    """
    e, d = features.double(), delta.double()
    square = e.square().sum(1) * d.square().sum(1)
    nearest = torch.full_like(square, torch.inf)
    picks: list[Pick] = []
    for _ in range(min(budget, len(e))):
        row = _drawn(nearest, picks, draw) if picks else int(square.argmax())
        picks.append(Pick(row, float(nearest[row]) ** 0.5 if picks else float(square[row]) ** 0.5))
        apart = square + square[row] - 2 * (d @ d[row]) * (e @ e[row])
        nearest = torch.minimum(nearest, apart.clamp(min=0))
        nearest[row] = 0
    return picks


def _drawn(weights: Tensor, picks: list[Pick], draw: torch.Generator) -> int:
    """A row by chance in proportion to its weight; where all weigh nothing, any that is not chosen yet."""
    if float(weights.sum()) <= 0:
        weights = torch.ones_like(weights)
        weights[[pick.row for pick in picks]] = 0
    rising = weights.cumsum(0).cpu()
    lot = torch.rand((), generator=draw, dtype=torch.float64) * rising[-1]
    return int(torch.searchsorted(rising, lot, right=True).clamp(max=len(rising) - 1))


def coreset(features: Tensor, labelled: Tensor, budget: int) -> list[Pick]:
    """Again and again the image farthest from all labelled [m, d] and chosen ones, in the Euclidean distance of the features."""
    e = features.double()
    nearest = torch.full((len(e),), torch.inf, dtype=torch.float64, device=e.device)
    for part in parts(labelled.double(), 256):
        nearest = torch.minimum(nearest, torch.cdist(e, part).amin(1))
    picks: list[Pick] = []
    for _ in range(min(budget, len(e))):
        row = int(nearest.argmax())
        picks.append(Pick(row, float(nearest[row])))
        nearest = torch.minimum(nearest, (e - e[row]).norm(dim=1))
        nearest[[pick.row for pick in picks]] = -torch.inf
    return picks
