"""Does the score hang on something that is no finding? Take it out, or put it in, and ask the network again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from auditor import Analysis, Metric, hookimpl
from auditor.boxes import union_mask

from ._edits import with_letter, without_border, without_object
from ._objects import ABSENT, BORDER, LETTER, REFERENCE, LooksForObjects, by_image, word

if TYPE_CHECKING:
    from torch import Tensor

    from auditor import Sample, View

    from ._edits import Pair, Pixels

SCALE = "shortcut_log_odds"


def trial(name: str) -> str:
    """How the names of its metrics begin: what is done, and to what."""
    return f"paste_{LETTER}" if name == LETTER else f"erase_{word(name)}"


def _says(name: str) -> tuple[str, str, str]:
    """What is changed, the effect in words, and what the control's number is."""
    if name == LETTER:
        shuffled = "what its bright pixels do shuffled at another place of the image"
        effect = f"How much the score rises when a laterality letter is drawn in an upper corner, beyond {shuffled}"
        return "a drawn laterality letter", effect, "after less before"
    what = "the border of the image" if name == BORDER else f"the object {name}"
    as_much = (
        "a frame of the same size right inside it" if name == BORDER else "a patch of its size at another place of the image"
    )
    effect = f"How much the score falls when {what} is filled in from its surroundings, beyond what filling in {as_much} does"
    return what, effect, "before less after"


def _metrics(name: str) -> tuple[Metric, ...]:
    """The numbers of one object."""
    start, (what, effect, way) = trial(name), _says(name)
    common: dict[str, Any] = {"reference": REFERENCE, "undefined": ABSENT}
    level: dict[str, Any] = {"unit": "log-odds", "chance": "none", "statistic": "level", **common}
    return (
        Metric(
            start, f"{effect}: above 0 the network takes it as evidence for the class. In standard deviations of the network's own "
            "log-odds over all images that were tried on, so that losses with other scales compare.",
            unit="standard deviations", chance="0", statistic="standardised", of=f"{start}_each", against=SCALE,
            pitfall="Speaks of this object, changed in this way: what was not named was not looked for, and a control patch can hit the "
            "finding itself, which pulls the number below 0. Where a network hardly tells images apart, a trifle is many standard deviations.",
            **common,
        ),
        Metric(f"{start}_log_odds", f"The same for {what} in log-odds, whose scale differs from loss to loss.", of=f"{start}_each", **level),
        Metric(f"{start}_control", f"What the control of {what} does by itself: {way}.", of=f"{start}_control_each", **level),
        Metric(f"{start}_each", f"What changing {what} does to one image, less its control.", unit="log-odds", statistic="none", undefined=ABSENT),
        Metric(f"{start}_control_each", f"What the control of {what} does to one image.", unit="log-odds", statistic="none", undefined=ABSENT),
    )  # fmt: skip


@dataclass(frozen=True)
class Shortcuts(LooksForObjects):
    """Log-odds after something that is no finding was taken out or put in, against a control edit (docs/methods.md F).

    Taken out: a `border` as wide as this share of the shorter side, and every object whose label `objects` names and the data
    set has boxes of. Put in: a laterality letter drawn in an upper corner, on images without any of the named objects. Each is
    tried on at most so many `images`, drawn by their ids and the audit's seed; a trial puts two changed images through the network.
    """

    name = "shortcuts"
    needs = frozenset({"image", "logits"})
    per_trial: ClassVar[int] = 2

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Five numbers per object, and the score itself."""
        score = Metric(SCALE, "The network's score for the image as it is.", unit="log-odds", statistic="none")
        return (*(metric for name in (BORDER, *self.objects, LETTER) for metric in _metrics(name)), score)

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]]:
        """The border and the objects on images that were drawn for them, the letter on images that have none of the objects."""
        free = (sample for sample in samples if not any(box.label in self.objects for box in sample.objects))
        return by_image({**self._having(samples), LETTER: self._first(free)})

    def measure(self, batch: View) -> Mapping[str, Any]:
        """The score, and per object what changing it does and what its control does: float64 [P], NaN where it was not tried."""
        image, target = (column.numpy() for column in batch.cases)
        before = batch.logits.numpy()
        found = {metric.name: np.full(len(batch), np.nan) for metric in self.metrics if not metric.of}
        found[SCALE] = before
        pairs = self.changed(batch)
        answers = batch.log_odds_of((row, picture) for (row, _), pair in pairs.items() for picture in pair).numpy()
        for (row, name), after, control in zip(pairs, answers[::2], answers[1::2], strict=True):
            mine = image == row
            way = 1 if name == LETTER else -1
            found[f"{trial(name)}_each"][mine] = way * (after - control)[target[mine]]
            found[f"{trial(name)}_control_each"][mine] = way * (control[target[mine]] - before[mine])
        return found

    def changed(self, batch: View) -> Mapping[tuple[int, str], tuple[Tensor, Tensor]]:
        """Each image with an object filled in or a letter drawn, and with the control; none where there is no room for that."""
        import torch

        found = {}
        random = {name: batch.generators(f"shortcuts {name}") for name in {name for names in batch.trials for name in names}}
        for row, (names, picture) in enumerate(zip(batch.trials, batch.pictures.numpy(), strict=True)):
            for name in names:
                if pair := self._pair(batch, row, name, picture, random[name][row]):
                    found[row, name] = (torch.from_numpy(pair[0]), torch.from_numpy(pair[1]))
        return found

    def _pair(self, batch: View, row: int, name: str, image: Pixels, random: np.random.Generator) -> Pair | None:
        if name == BORDER:
            return without_border(image, self.border)
        outlined = batch.outlined(row)
        taken = union_mask([edges for _, edges in outlined], *batch.size)
        if name == LETTER:
            return with_letter(image, taken, random)
        boxes = [edges for label, edges in outlined if label == name]
        return without_object(image, boxes, taken, random) if boxes else None


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [Shortcuts]
