"""From embeddings to a ranked list: the budget is shared among the rare classes, rarest first, and whatever is filled up says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from ..wording import how_many
from . import baselines
from .functions import FL1MI, FLQMI, FUNCTIONS, REPRESENTED, Function
from .greedy import Pick, maximise
from .points import Kernel, Points, in_features, in_gradients
from .query import Seen, Target

NOTHING = 1e-9
"""A gain that is none: FL1MI has covered what it can."""


@dataclass(frozen=True)
class Wish:
    """How to choose: the function or baseline, the kernel, how much relevance weighs against variety, how many, and the seed."""

    function: str
    kernel: str
    eta: float
    budget: int
    seed: int


class Choice(NamedTuple):
    """A chosen pool image: for which class (none with a baseline), what it added, why it is a fill if it is one, and the query image
    whose features are nearest, by its row, with their similarity."""

    row: int
    target: str | None
    gain: float | None
    fill: str | None
    nearest: int
    similarity: float


@dataclass
class Selection:
    """The chosen images, best first, and what a reader should know of how they were found."""

    choices: list[Choice] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def choose(pool: Seen, query: Seen, targets: Sequence[Target], wish: Wish, labelled: Tensor | None = None) -> Selection:
    """The images of the pool to label next; `labelled` are features of images that need no label, for CoreSet (else the query's)."""
    result = Selection()
    if wish.function in baselines.BASELINES:
        picks = _baseline(pool, query.features if labelled is None else labelled, targets, wish)
        known = sorted({row for target in targets for row in target.rows})
        found = [(pick.row, None, None if wish.function == "random" else pick.gain, None) for pick in picks]
        result.choices = _with_nearest(found, pool, query, known)
        return result
    free = torch.ones(len(pool.features), dtype=torch.bool, device=pool.features.device)
    by_class = []
    ordered = sorted(targets, key=lambda target: target.positives)
    for target, share in zip(ordered, shares(wish.budget, len(targets)), strict=True):
        part = list(_for_class(pool, query, target, wish, share, free, result.messages))
        free[[row for row, *_ in part]] = False
        by_class.append(_with_nearest(part, pool, query, target.rows))
    result.choices = [choice for choice in chain.from_iterable(zip_longest(*by_class)) if choice is not None]
    return result


def shares(budget: int, parts: int) -> list[int]:
    """The budget in equal parts; what does not divide goes to the first.

    >>> shares(10, 3)
    [4, 3, 3]
    """
    return [budget // parts + (number < budget % parts) for number in range(parts)]


Found = tuple[int, str | None, float | None, str | None]


def _for_class(
    pool: Seen, query: Seen, target: Target, wish: Wish, budget: int, free: Tensor, messages: list[str]
) -> Iterator[Found]:
    """(row, class, gain, fill) of the images chosen for one class."""
    asked = query.at(torch.tensor(target.rows, device=free.device))
    if wish.kernel == "gradient":
        likely = free & target.hypothesised(pool.logits)
        candidates = torch.nonzero(likely)[:, 0]
        sides = [in_gradients(seen.features, target.delta(seen.logits)) for seen in (pool.at(candidates), asked)]
        chosen = list(_picked(sides[0], sides[1], candidates, target, wish, budget, messages)) if len(candidates) else []
        yield from ((row, target.name, gain, why) for row, gain, why in chosen)
        if len(chosen) == budget or not bool((free & ~likely).any()):
            return
        budget -= len(chosen)
        free, fill = free & ~likely, f"not taken for {target.name}; by features"
        messages.append(
            f"{target.name}: {len(candidates)} images of the pool are taken for it, {budget} fewer than its share: filled with others"
            " by the feature kernel, for a gradient that pulls the other way is no measure of likeness"
        )
    else:
        fill = None
    candidates = torch.nonzero(free)[:, 0]
    sides = [in_features(seen.features) for seen in (pool.at(candidates), asked)]
    for row, gain, why in _picked(sides[0], sides[1], candidates, target, wish, budget, messages):
        yield row, target.name, gain, why or fill


def _picked(
    some: Points, asked: Points, candidates: Tensor, target: Target, wish: Wish, budget: int, messages: list[str]
) -> Iterator[tuple[int, float, str | None]]:
    """(row of the pool, gain, fill) by the wished function; FLQMI goes on where FL1MI has nothing to add."""
    kernel = Kernel(some, asked)
    picks = maximise(_function(kernel, target, wish, messages), torch.arange(kernel.pool, device=kernel.device), budget)
    worth = [pick for pick in picks if wish.function != "fl1mi" or pick.gain > NOTHING]
    yield from ((int(candidates[pick.row]), pick.gain, None) for pick in worth)
    if len(worth) < len(picks):
        messages.append(
            f"{target.name}: fl1mi has covered what it can with {how_many(len(worth), 'image')}; the other {len(picks) - len(worth)} are by flqmi"
        )
        for pick in _going_on(kernel, worth, wish, len(picks) - len(worth)):
            yield int(candidates[pick.row]), pick.gain, "fl1mi is saturated; by flqmi"


def _going_on(kernel: Kernel, before: Sequence[Pick], wish: Wish, budget: int) -> list[Pick]:
    function = FLQMI(kernel, wish.eta)
    left = torch.ones(kernel.pool, dtype=torch.bool, device=kernel.device)
    for pick in before:
        function.add(pick.row)
        left[pick.row] = False
    return maximise(function, torch.nonzero(left)[:, 0], budget)


def _function(kernel: Kernel, target: Target, wish: Wish, messages: list[str]) -> Function:
    if wish.function != "fl1mi" or kernel.pool <= REPRESENTED:
        return FUNCTIONS[wish.function](kernel, wish.eta)
    draw = torch.Generator().manual_seed(wish.seed)
    sample = torch.randperm(kernel.pool, generator=draw)[:REPRESENTED].sort().values.to(kernel.device)
    messages.append(
        f"{target.name}: fl1mi represents a random {REPRESENTED:,} of the {kernel.pool:,} images it may choose from"
    )
    return FL1MI(kernel, wish.eta, sample)


def _baseline(pool: Seen, labelled: Tensor, targets: Sequence[Target], wish: Wish) -> list[Pick]:
    draw = torch.Generator().manual_seed(wish.seed)
    if wish.function == "random":
        return baselines.at_random(len(pool.features), wish.budget, draw)
    if wish.function == "coreset":
        return baselines.coreset(pool.features, labelled, wish.budget)
    if wish.function == "badge":
        return baselines.badge(pool.features, hypothesised_delta(pool.logits, targets), wish.budget, draw)
    return baselines.best(baselines.UNSURE[wish.function](probabilities(pool.logits, targets)), wish.budget)


def probabilities(logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """What the network answers to each question [n, questions, outcomes]: each class of a sigmoid head, or which class it is."""
    if targets[0].head == "softmax":
        return logits.double().softmax(1)[:, None]
    yes = logits[:, [target.output for target in targets]].double()
    return torch.stack([yes.sigmoid(), (-yes).sigmoid()], -1)


def hypothesised_delta(logits: Tensor, targets: Sequence[Target]) -> Tensor:
    """Derivative of the loss in the logits if the network were right [n, C]."""
    if targets[0].head == "softmax":
        p = logits.double().softmax(1)
        return p - torch.nn.functional.one_hot(p.argmax(1), p.shape[1])
    columns = [logits[:, t.output].double().sigmoid() - t.hypothesised(logits).double() for t in targets]
    return torch.stack(columns, 1)


def _with_nearest(found: Sequence[Found], pool: Seen, query: Seen, rows: Sequence[int]) -> list[Choice]:
    """The chosen images, each with the query image of the nearest features."""
    if not found:
        return []
    device = pool.features.device
    chosen, asked = (torch.tensor(which, device=device) for which in ([row for row, *_ in found], list(rows)))
    kernel = Kernel(in_features(pool.features[chosen]), in_features(query.features[asked]))
    similar, place = kernel.to_query(torch.arange(len(found), device=device)).max(1)
    near = zip(asked[place].tolist(), similar.tolist(), strict=True)
    return [Choice(*each, row, value) for each, (row, value) in zip(found, near, strict=True)]
