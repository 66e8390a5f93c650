"""What is wanted: of each rare class the labelled images that the network misses, and the point where it begins to say yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Head = Literal["sigmoid", "softmax"]


class Seen(NamedTuple):
    """What a network gave for n images: features [n, d] and all its logits [n, K]."""

    features: Tensor
    logits: Tensor

    def at(self, rows: Tensor) -> Seen:
        """The same for these images, in ascending order."""
        if len(rows) == len(self.features):
            return self
        return Seen(self.features[rows], self.logits[rows])


@dataclass(frozen=True)
class Target:
    """A rare class: its output, the logit from which on the network is taken to say yes, and the query images by their rows.

    `fallback` says why the query is not what was asked for. With a softmax head yes means the likeliest class, and `threshold` is None.
    """

    name: str
    output: int
    head: Head
    threshold: float | None
    positives: int
    rows: tuple[int, ...]
    fallback: str | None = None

    def hypothesised(self, logits: Tensor) -> Tensor:
        """Whether the network would label each image with the class [n]."""
        if self.threshold is None:
            return logits.argmax(1) == self.output
        return logits[:, self.output] >= self.threshold

    def delta(self, logits: Tensor) -> Tensor:
        """Derivative of the loss in the logits if the truth is this class [n, C]: p - onehot, or p - 1 in its own output alone.

        Other outputs of a sigmoid head are left out: their common classes would outweigh the one that is wanted.
        """
        if self.head == "sigmoid":
            return -torch.sigmoid(-logits[:, [self.output]].double())
        delta = logits.double().softmax(1)
        others = delta.clone()
        others[:, self.output] = 0
        delta[:, self.output] = -others.sum(1)  # 1 - p to the last digit, also where p is nearly 1
        return delta


def target(
    name: str, output: int, head: Head, seen: Seen, labels: Tensor, choose: str, q_min: int, named: Sequence[int] = ()
) -> Target:
    """The query of a class from labelled images; `labels` [m] are 1, 0, or -1 where unknown; `named` are rows that were asked for.

    Fewer than `q_min` missed images are too few to say what is wanted: then all of the class are the query. Raises ValueError where
    there is none.
    """
    positive = labels == 1
    threshold = youden(seen.logits[:, output], labels) if head == "sigmoid" else None
    draft = Target(name, output, head, threshold, int(positive.sum()), ())
    every = torch.nonzero(positive)[:, 0].tolist()
    if named:
        every = [row for row in named if bool(positive[row])]
    if not every:
        raise ValueError(f"found no {'image of query.ids' if named else 'image'} with {name}; allowed: at least one")
    rows, fallback = every, None
    if choose == "misclassified" and not named:
        missed = torch.nonzero(positive & ~draft.hypothesised(seen.logits))[:, 0].tolist()
        rows = missed if len(missed) >= q_min else every
        if rows is every:
            fallback = f"{len(missed)} of {len(every)} images are missed, fewer than q_min {q_min}: all are the query"
    return Target(name, output, head, threshold, draft.positives, tuple(rows), fallback)


def youden(scores: Tensor, labels: Tensor) -> float:
    """The score from which on to say yes, so that sensitivity + specificity is highest; of several the highest score.

    0, a probability of a half, where there are only positives. Source: Youden, Cancer 3 (1950).
    """
    known = labels >= 0
    scores, positive = scores[known].double(), labels[known] == 1
    if bool(positive.all()) or not bool(positive.any()):
        return 0.0
    order = scores.sort(descending=True, stable=True)
    hits = positive[order.indices].long().cumsum(0)
    alarms = (~positive[order.indices]).long().cumsum(0)
    last_of_equals = torch.cat([order.values[1:] < order.values[:-1], torch.ones(1, dtype=torch.bool, device=scores.device)])
    gain = torch.where(last_of_equals, hits * alarms[-1] - alarms * hits[-1], -(len(scores) ** 2))
    return float(order.values[int(torch.nonzero(gain == gain.max())[0])])
