"""The trained criterion of the multi-task loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._weighted import plain


class TaskWeights(nn.Module):
    """exp(-s_k) l + s_k / 2 for every entry, l its cross-entropy, s_k the learned log-variance of its class, 0 at first.

    `fixed` [K] says which classes keep s_k = 0. With `summed`, every entry bears half the sum over the classes instead.
    """

    def __init__(self, fixed: Sequence[bool], summed: bool) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(len(fixed)))
        self.register_buffer("free", ~torch.tensor(fixed, dtype=torch.bool))
        self._entries, self._summed = plain(len(fixed)), summed

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every entry of logits [N, K, ...] and labels [N, K, ...]."""
        entries = self._entries(logits, labels)
        log_variance = (self.log_variance * self.free).to(entries.dtype).reshape(1, -1, *[1] * (logits.ndim - 2))
        return torch.exp(-log_variance) * entries + (log_variance.sum() if self._summed else log_variance) / 2
