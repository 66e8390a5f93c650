"""An attribution says where a network looked: one map per case."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from .network import Cases, Network


class Attribution:
    """Turns (image, class) cases into maps. Write a frozen dataclass whose fields are its options."""

    name: ClassVar[str]

    def explain(self, network: Network, images: Tensor, cases: Cases) -> Tensor:
        """Maps [P, h, w], one per case, raw: not normalised, not resized, higher = more evidence for the class.

        `images` [N, C, H, W] are preprocessed; case p is image `cases.image[p]` and class `cases.target[p]`.
        `network(images)` gives logits [N, K] in the audit's class order and can be differentiated;
        `network.features(images)` and `network.gradients(images, cases)` share the audit's one forward pass.
        Leave no trace: no hook, gradient, mode or weight may differ afterwards.
        """
        raise NotImplementedError


def label(attribution: Attribution | None) -> str | None:
    """How an attribution is called in tables: its name, and its method where it has one."""
    if attribution is None:
        return None
    method = getattr(attribution, "method", None)
    return f"{attribution.name}:{method}" if method else attribution.name
