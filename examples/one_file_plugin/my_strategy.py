from dataclasses import dataclass

from auditor import Strategy, hookimpl


@dataclass(frozen=True)
class MyStrategy(Strategy):
    """Binary cross-entropy whose positives weigh (negatives / positives) ** power."""

    name = "my_strategy"
    power: float = 0.5

    def loss(self, counts):
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        pairs = zip(counts.positives, counts.negatives, strict=True)
        weights = torch.tensor([(no / max(yes, 1)) ** self.power for yes, no in pairs])

        def criterion(logits, labels):
            per_class = weights.to(logits).reshape(-1, *[1] * (logits.ndim - 2))
            return binary_cross_entropy_with_logits(logits, labels, pos_weight=per_class, reduction="none")

        return criterion


@hookimpl
def register_strategies():
    return [MyStrategy]
