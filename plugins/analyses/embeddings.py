"""Which features carry a class, how many it takes, and how much of them arrives when the images are new?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from auditor import Analysis, ConfigError, Metric, hookimpl

from ._features import conclude

if TYPE_CHECKING:
    from auditor.embedded import Concluded, Decision, Embedded

PAPER = "Dablain et al., arXiv 2210.09465 and 2407.10165; docs/methods.md E"
OURS = "docs/methods.md E, ours"
NEIGHBOURS = "archetypes of Dablain et al., arXiv 2212.07743, per class; docs/methods.md E.5"
NO_SUCH = "no such image"


def _retained(name: str, of: str, says: str) -> Metric:
    return Metric(name, says, low=None, chance="1", reference=PAPER, statistic="retained", of=of, undefined=NO_SUCH)


def _share(name: str, says: str, reference: str = NEIGHBOURS) -> Metric:
    return Metric(name, says, "neither", 0, 1, chance="none", reference=reference, undefined=NO_SUCH)


@dataclass(frozen=True)
class Embeddings(Analysis):
    """Feature embeddings and classification embeddings per class (docs/methods.md E; what is per label is ours).

    `top`: how many of a class's strongest features are followed. `of`: whether they are found on all images with the finding, or only on
    the recognised ones, as the sources do for one class per image. An image is recognised where its probability is at least
    `threshold` (softmax: where the class has the largest output). `frequent`: the share of decisions from which on a feature counts as the class's.
    `pool`: among how many audited images neighbours are looked for. `rank_images`: of at most how many images a rank is taken.
    """

    name = "embeddings"
    needs = frozenset({"embeddings", "labels", "split:train"})
    concludes = True
    metrics = (
        _retained(
            "magnitude_retained", "top_evidence", "How much of the evidence that a class's strongest features carry on training images is "
            "left on audited ones: below 1 the signal arrives weaker on new images.",
        ),
        _retained(
            "magnitude_retained_recognised", "top_evidence_recognised", "The same where the finding was recognised, in both splits.",
        ),
        _retained(
            "activation_retained", "top_activation", "How much of the activation of a class's most active features is left on audited images.",
        ),
        _retained(
            "activation_retained_recognised", "top_activation_recognised", "The same where the finding was recognised, in both splits.",
        ),
        Metric(
            "magnitude_retained_with_recall", "Whether the classes whose evidence arrives weaker are those that are missed: the rank "
            "correlation over the classes of magnitude_retained with recognised.",
            "neither", -1, 1, chance="0", reference=OURS, statistic="retained_with_share", of="top_evidence", against="recognised",
        ),
        Metric(
            "features_needed", "How many features a recognised finding needed: all that speaks against it is counted first, then the strongest "
            "features for it, until the decision is reached.",
            "neither", 0, unit="features", chance="none", reference=PAPER, undefined=NO_SUCH,
        ),
        Metric(
            "features_needed_missed", "How many features a missed finding was voted down by, counted the same way.",
            "neither", 0, unit="features", chance="none", reference=PAPER, undefined=NO_SUCH,
        ),
        Metric(
            "decision_share", "The share of all evidence for the class that its strongest features carry: near 1 the class hangs on few.",
            "neither", chance="none", reference=PAPER, statistic="ratio", of="top_sum", against="carried", undefined=NO_SUCH,
        ),
        Metric(
            "evidence", "The mean evidence of the class's strongest features over the images with the finding. Losses give log-odds "
            "scales of their own, so it is not contrasted.",
            "neither", unit="log-odds", chance="none", reference=PAPER, statistic="level", of="top_evidence", undefined=NO_SUCH,
        ),
        Metric(
            "evidence_missed", "The same over the images whose finding was missed.",
            "neither", unit="log-odds", chance="none", reference=PAPER, statistic="level", of="top_evidence_missed", undefined=NO_SUCH,
        ),
        _share("recognised", "The share of the images with the finding that the network recognises at the threshold.", OURS),
        Metric(
            "class_spread", "How far images with the finding lie apart, relative to any two images: 1 is as diverse as the whole.",
            "neither", 0, chance="1", reference=OURS, statistic="pairwise", of="distance_to_class", undefined=NO_SUCH,
        ),
        Metric(
            "neighbours_alike", "The share of an image's nearest neighbours, of other patients, that have the finding too.",
            "neither", 0, 1, chance="prevalence", reference=NEIGHBOURS, undefined=NO_SUCH,
        ),
        _share("archetype_safe", "Images of which 4 or 5 of the 5 nearest neighbours share the finding."),
        _share("archetype_border", "Images of which 2 or 3 of the 5 nearest neighbours share the finding."),
        _share("archetype_rare", "Images of which 1 of the 5 nearest neighbours shares the finding."),
        _share("archetype_outlier", "Images none of whose 5 nearest neighbours shares the finding."),
        *(
            Metric(name, says, statistic="none", undefined=NO_SUCH)
            for name, says in {
                "top_evidence": "The mean evidence of the class's strongest features.",
                "top_evidence_missed": "The same of missed images.",
                "top_evidence_recognised": "top_evidence of recognised images.",
                "top_activation": "The mean activation of the class's most active features.",
                "top_activation_recognised": "The same of recognised images.",
                "top_sum": "The evidence of the class's strongest features together.",
                "carried": "The evidence of all features that speak for the class on average.",
                "distance_to_class": "The mean distance to the other images with the finding, relative to any two images.",
            }.items()
        ),
    )  # fmt: skip

    top: Annotated[int, Field(ge=1)] = 10
    of: Literal["positives", "recognised"] = "positives"
    threshold: float = 0.5
    frequent: float = 0.5
    pool: Annotated[int, Field(ge=10)] = 4000
    rank_images: Annotated[int, Field(ge=3)] = 200

    def __post_init__(self) -> None:
        for name in ("threshold", "frequent"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"embeddings: {name}: {getattr(self, name)} is not between 0 and 1")

    def conclude(self, decision: Decision, audited: Embedded, training: Embedded | None) -> Concluded:
        """Everything from the embeddings of all images, per class."""
        return conclude(self, decision, audited, training)


@hookimpl
def register_analyses() -> list[type[Any]]:
    """The built-in."""
    return [Embeddings]
