"""Does the answer survive a picture taken a little differently?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from auditor import Analysis, ConfigError, Metric, hookimpl
from auditor.corruptions import Corruption

from ._changes import ALL, REFERENCE, Change, asked, checked, on_the_first, pictures

if TYPE_CHECKING:
    from torch import Tensor

    from auditor import Sample, View

BEFORE = "logit_unchanged"
NO_ANSWER = "no finite score for the picture or for one of its changes"
SIMULATED = "The changes are simulated, one at a time and mild; another hospital differs in many things at once."


@dataclass(frozen=True)
class Corruptions(Analysis):
    """What clinically likely changes of the picture do to ranking, decisions and scores (docs/methods.md G).

    Every change acts on the grey values that the network is about to be fed, before its normalisation: `brighter`, `darker`,
    `narrow_window`, `wide_window`, `noise`, `blur`, `low_resolution`, `jpeg`, `rotation`, `shift`, `crop`. At most `images` images are
    drawn, the same for all networks, and each goes through every network once more per change. Decisions are those at the threshold
    that the share `specificity` of the negatives does not exceed on unchanged pictures.
    """

    name = "corruptions"
    needs = frozenset({"logits", "labels", "image"})
    per_trial: ClassVar[int] = 1

    changes: tuple[Change, ...] = ALL
    images: int = 1000
    specificity: float = 0.9

    def __post_init__(self) -> None:
        checked("corruptions", self.changes, self.images)
        if not 0 < self.specificity < 1:
            raise ConfigError(
                f"corruptions: specificity: {self.specificity} is not between 0 and 1: it is the share of negatives not called positive"
            )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Numbers over all changes, then those of each change, which repeat them."""
        every = tuple(_of(change) for change in asked(self.changes))
        common: dict[str, Any] = {"of": BEFORE, "undefined": NO_ANSWER, "reference": REFERENCE}
        change = Metric(
            "auroc_change",
            "AUROC with the picture changed less AUROC with the picture as it is, averaged over the changes: below 0 the network tells "
            "positives from negatives less well.",
            "higher", -1, 1, chance="0", statistic="ranking_change", over=every, pitfall=SIMULATED, **common,
        )  # fmt: skip
        flips = Metric(
            "decisions_changed",
            "The share of images that the network decides otherwise once the picture is changed, averaged over the changes, at the threshold "
            f"that {self.specificity:.0%} of the images without the finding do not exceed as they are.",
            "lower", 0, 1, chance="0", statistic="flipped", over=every, at=self.specificity,
            pitfall="Images near the threshold change sides easily; a network whose scores all move together changes many decisions and no ranking.",
            **common,
        )  # fmt: skip
        moved = Metric(
            "score_moved",
            "How far the log-odds move when the picture is changed, averaged over the changes, in standard deviations of the unchanged log-odds.",
            "lower", 0, chance="0", unit="standard deviations", statistic="moved", over=every,
            pitfall="Says how much moves, not whether it matters; read it with the decisions and the ranking.", **common,
        )  # fmt: skip
        return (change, flips, moved, *self._kept(common), *self._single(common))

    def _kept(self, common: Mapping[str, Any]) -> tuple[Metric, ...]:
        """The log-odds behind it all, and the AUROC that changes are held against."""
        kept: dict[str, Any] = {"unit": "log-odds", "statistic": "none", "undefined": NO_ANSWER}
        return (
            Metric(BEFORE, "The network's score as log-odds for the picture as it is, on the images that were drawn.", **kept),
            Metric(
                "auroc_unchanged", "AUROC on the images that were drawn, as they are.", "higher", 0, 1, chance="0.5",
                statistic="ranking", repeats="auroc", assuming="images drawn for the changes", **common,
            ),
            *(
                Metric(_of(change), f"The same for the picture {change.words}.", repeats=BEFORE, assuming=change.words, card=False, **kept)
                for change in asked(self.changes)
            ),
        )  # fmt: skip

    def _single(self, common: Mapping[str, Any]) -> tuple[Metric, ...]:
        """The numbers of each change by itself."""
        found = []
        for change in asked(self.changes):
            alone: dict[str, Any] = {**common, "over": (_of(change),), "chance": "0", "card": False}
            told = {"assuming": change.words, **alone}
            found += [
                Metric(
                    f"auroc_change_{change.name}", f"auroc_change of one change. {change.reading}", "higher", -1, 1,
                    statistic="ranking_change", repeats="auroc_change", **told,
                ),
                Metric(
                    f"decisions_changed_{change.name}", f"decisions_changed of one change. {change.reading}", "lower", 0, 1,
                    statistic="flipped", at=self.specificity, repeats="decisions_changed", **told,
                ),
                Metric(
                    f"score_shift_{change.name}", f"The change of the log-odds with its sign, of one change. {change.reading}", "neither",
                    unit="standard deviations", statistic="moved_signed", repeats="score_moved",
                    **{**told, "assuming": f"with its sign, {change.words}"},
                ),
            ]  # fmt: skip
        return tuple(found)

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]]:
        """The changes, on the images that were drawn."""
        return on_the_first(self.images, samples, asked(self.changes))

    def measure(self, batch: View) -> Mapping[str, Any]:
        """The log-odds [P] of the picture as it is and under each change; a case with one that is not finite has none."""
        import torch

        changes = asked(self.changes)
        answers = batch.log_odds_of(pictures(changes, batch)).unflatten(0, (len(changes), len(batch.samples)))
        rows = torch.cat([batch.logits[None], answers[:, batch.cases.image, batch.cases.target]])
        rows = torch.where(torch.isfinite(rows).all(0), rows, torch.nan)
        return dict(zip([BEFORE, *map(_of, changes)], rows.numpy(), strict=True))

    def changed(self, batch: View) -> Mapping[tuple[int, str], tuple[Tensor]]:
        """Every image under each change."""
        return {
            (image, change.words): (picture,) for change in asked(self.changes) for image, picture in pictures([change], batch)
        }


def _of(change: Corruption) -> str:
    return f"logit_{change.name}"


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [Corruptions]
