"""Multi-task loss: how much a class weighs is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor import ClassCounts, Criterion, Strategy, hookimpl

from ._weighted import one_sided


@dataclass(frozen=True)
class MultiTask(Strategy):
    """Binary cross-entropy l whose weight per class is learned with the network: exp(-s_k) l + s_k / 2.

    s_k is the log-variance of class k and 0 at first. At its optimum the weight is 1/(2 l), so classes that are learned
    well, often the rare ones with their many easy negatives, weigh more. Classes without positives or without negatives
    keep weight 1. The loss can be negative, and weight decay draws the weights towards 1.

    `penalty: sum` has half the sum of all s in place of s_k / 2, as imba-explain's repository does, which makes the penalty
    K times as large and the weights accordingly smaller. The paper reports no result of it.
    Source: Kendall et al., Multi-Task Learning Using Uncertainty (arXiv 1705.07115), with s = log sigma^2.
    """

    name: ClassVar[str] = "multi_task"

    penalty: Literal["mean", "sum"] = "mean"

    def loss(self, counts: ClassCounts) -> Criterion:
        """A module with one log-variance per class."""
        from ._task_weights import TaskWeights

        return TaskWeights(one_sided(counts, self.name), self.penalty == "sum")


@hookimpl
def register_strategies() -> list[type]:
    """The strategy of this file."""
    return [MultiTask]
