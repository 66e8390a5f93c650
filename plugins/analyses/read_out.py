"""Can it be read off the features how, where or of whom a picture was taken?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditor import Analysis, ConfigError, Metric, hookimpl

if TYPE_CHECKING:
    from auditor import Sample
    from auditor.embedded import Concluded, Decision, Embedded

REFERENCE = "docs/methods.md G.4; linear probe, Alain and Bengio, arXiv 1610.01644"
NOT_USE = "That it can be read does not mean that the network uses it; that a straight line cannot read it does not mean that it is not there."


@dataclass(frozen=True)
class ReadOut(Analysis):
    """How well a straight line through the embeddings tells groups of images apart, such as view, site, device or sex (docs/methods.md G.4).

    `of` names attributes that audit.yaml lists under `subgroups`. A ridge regression is fitted on four fifths of the patients and read on the
    others, in turn; once on all images and once on those without any finding, so that how common findings are in a group is not what is read.
    At most `images` images are drawn, the same for all networks.
    """

    name = "read_out"
    needs = frozenset({"embeddings"})
    concludes = True

    of: tuple[str, ...] = ("view",)
    images: int = 2000

    def __post_init__(self) -> None:
        if not self.of or len(set(self.of)) < len(self.of):
            raise ConfigError("read_out: of: names no attribute, or one twice; allowed: attributes of subgroups, each once")
        if self.images < 1:
            raise ConfigError(f"read_out: images: found {self.images}; allowed: at least 1")

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """`of`."""
        return self.of

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Two numbers for each attribute, of the network as a whole."""
        common: dict[str, Any] = {
            "low": 0, "high": 1, "chance": "0.5", "statistic": "none", "reference": REFERENCE, "pitfall": NOT_USE, "undefined": "too few patients",
        }  # fmt: skip
        return tuple(
            metric
            for by in self.of
            for metric in (
                Metric(
                    _called(by), f"How well {by} can be read off the features by a straight line, on patients that the line was not fitted on: the "
                    "AUROC of each group against the others, averaged over the groups.", **common,
                ),
                Metric(_called(by, "_no_finding"), f"The same among images without any finding: {by} itself, and not how common findings are.", **common),
            )
        )  # fmt: skip

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]]:
        """Nothing, on the images that were drawn."""
        return {sample.id: () for sample in samples[: self.images]}

    def conclude(self, decision: Decision, audited: Embedded, training: Embedded | None) -> Concluded:
        """Two numbers for each attribute."""
        import numpy as np

        from auditor.embedded import Concluded
        from auditor.read_out import told, without_finding

        every = np.ones(len(audited.vectors), bool)
        numbers = [
            told(_called(by, ending), audited, audited.groups[by], among)
            for by in self.of
            for ending, among in (("", every), ("_no_finding", without_finding(audited)))
        ]
        return Concluded({}, numbers=numbers)


def _called(by: str, ending: str = "") -> str:
    return f"read_out_{re.sub(r'[^0-9a-zA-Z]+', '_', by)}{ending}"


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [ReadOut]
