"""An analysis looks at batches of cases and leaves measurements: a value per case per metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from .conclusion import Conclusion
from .metric import Metric
from .tally import Tally

if TYPE_CHECKING:
    from torch import Tensor

    from .batch import View
    from .dataset import Sample
    from .embedded import Concluded, Decision, Embedded

OVERALL = -1
"""The target of a case that stands for all findings of its image together."""

NEEDS = frozenset(
    {
        "logits", "labels", "positive", "box", "attribution", "features", "embeddings", "image", "overall", "split:train", "pixels", "mask",
    }
)  # fmt: skip


class Analysis:
    """Looks at each batch and leaves numbers behind. Write a frozen dataclass whose fields are its options.

    `needs` says what it reads; it is handed only cases that have all of it, and reading anything else is an error:
    `logits`, `labels` (the case's label is known), `positive` (the label is 1), `box` (the case has a usable box),
    `attribution` (a map per case; the analysis is run once per attribution), `features` (activations of the dissection
    layer), `embeddings` (what goes into the network's last linear layer), `image` (the pixels and the network itself), `pixels` (an answer
    for every pixel, from a network with `output: pixels`), `mask` (the data set says which pixels belong to the finding). With `overall` it is also handed one case per image that stands
    for all its findings together: its target is -1 and its boxes are all the image's boxes. With `split:train` it also measures
    the `training_images` of audit.yaml, if there are any, and a metric can say how the two differ (see `Metric`).
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]] = ()
    needs: ClassVar[frozenset[str]] = frozenset()
    concludes: ClassVar[bool] = False
    per_trial: ClassVar[int] = 0
    """Changed images that each of its trials puts through the network; the report can show 1, or 2 where the second is a control."""
    objects: tuple[str, ...] = ()
    """Labels of `Sample.objects` that it looks for; a name that no image has is refused."""

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """Attributes of `subgroups` in audit.yaml whose groups it is handed with the embeddings."""
        return ()

    @property
    def observes(self) -> frozenset[str]:
        """What the first look reads, where that is not what `needs` says; it is handed the cases that have all of it."""
        return self.needs

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{metric name: values [P]} for the P cases of the batch; NaN where the number is undefined."""
        return {}

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]] | None:
        """What it tries on which image, {id: names}; of the others it is handed no case. None: all images, and nothing is tried.

        `samples` are all that have no known problem, in a random order that is the same for every network: whoever needs only some
        takes the first. An image with no name is looked at as it is.
        """
        return None

    def changed(self, batch: View) -> Mapping[tuple[int, str], tuple[Tensor, ...]]:
        """{(image of the view, trial): (its picture [C, H, W] with the change that is tried, and with the change that is its control)}.

        Needs `image`, and asks for nothing but the view's pictures; what cannot be tried on an image is left out. The report shows one of
        each trial, and trials without a control side by side on one image.
        """
        return {}

    def tallies(self) -> Mapping[str, Tally]:
        """Fresh running statistics if a data-set-wide look must come first; then `measure` finds them in `batch.tallies`.

        An analysis with a first look can need `features`, `box`, `positive`, `labels` and `overall` only: the features are
        kept, so that the second look costs no forward pass.
        """
        return {}

    def observe(self, tallies: Mapping[str, Tally], batch: View) -> None:
        """First look: add this batch to the tallies."""

    def floor(self, tallies: Mapping[str, Tally]) -> Any:
        """What a feature must exceed to matter later, by channel float32 [C], as far as these tallies can tell; None: all matter.

        A feature that does not exceed it, and whose 8 neighbours do not either, may come back as the floor itself, on the
        second look and when a run that was cut short observes it again. What comes out must be the same.
        """
        return None

    def conclude(self, decision: Decision, audited: Embedded, training: Embedded | None) -> Concluded:
        """With `concludes` and the need `embeddings`: what all embeddings of a network together say, once the last image was seen.

        The per-case metrics are then measured here and not by `measure`. `training` is None where there are no training images.
        """
        raise NotImplementedError

    def summarise(self, tallies: Mapping[str, Tally]) -> Mapping[str, float]:
        """{metric name: value} for the model as a whole, from the finished tallies."""
        return {}

    def look_back(self, tallies: Mapping[str, Tally], views: Iterable[View]) -> Conclusion:
        """What only all cases together can say; for an analysis that looks twice, with the finished tallies.

        `views` hands out the kept features of the whole data set once, batch by batch in the order of the data set; what is
        not asked for is not read.
        """
        return Conclusion()
