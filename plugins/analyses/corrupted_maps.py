"""Does the network look at the same places of a picture taken a little differently?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from auditor import Analysis, Metric, hookimpl

from ._changes import ALL, Change, asked, checked, on_the_first, pictures

if TYPE_CHECKING:
    from auditor import Sample, View

NO_MAP = "no finite map of the picture as it is, or the same value everywhere"


@dataclass(frozen=True)
class CorruptedMaps(Analysis):
    """Whether maps stay where they were under the changes of `corruptions` (docs/methods.md G.3).

    For each finding that an image shows, the map of the changed picture is moved back where the change turned, shifted or cropped it,
    and held against the map of the picture as it is. At most `images` images are drawn, the same for all networks.
    """

    name = "corrupted_maps"
    needs = frozenset({"attribution", "positive", "image"})
    per_trial: ClassVar[int] = 1

    changes: tuple[Change, ...] = ALL
    images: int = 200

    def __post_init__(self) -> None:
        checked("corrupted_maps", self.changes, self.images)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The mean over the changes, then each change by itself."""
        common: dict[str, Any] = {
            "better": "higher",
            "low": -1,
            "high": 1,
            "chance": "0",
            "reference": "docs/methods.md G.3",
            "undefined": NO_MAP,
        }
        return (
            Metric(
                "map_agreement",
                "How alike the order of the places is in the map of a picture and in the map of the same picture changed (Spearman's rank "
                "correlation of what speaks for the finding), averaged over the changes: 1 is the same order.",
                pitfall="A map that never depends on the image agrees with itself perfectly: read it with the controls. Methods that draw at random "
                "disagree a little for that alone.",
                **common,
            ),
            *(
                Metric(
                    f"map_agreement_{change.name}", f"map_agreement of one change. {change.reading}", repeats="map_agreement",
                    assuming=change.words, card=False, **common,
                )
                for change in asked(self.changes)
            ),
        )  # fmt: skip

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]]:
        """The changes, on the images that were drawn."""
        return on_the_first(self.images, samples, asked(self.changes))

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"map_agreement", and one for each change}: [P], NaN where the original map says nothing."""
        import numpy as np
        import torch

        from auditor.map_agreement import agreement

        changes, original, found = asked(self.changes), batch.maps, {}
        by_image = batch.maps_of(pictures(changes, batch))
        for change in changes:
            maps = torch.cat([next(by_image) for _ in batch.samples])
            warp = change.warp(batch.generators(change.name), *batch.pictures.shape[2:]) if change.moves else None
            found[f"map_agreement_{change.name}"] = agreement(original, maps, None if warp is None else warp[batch.cases.image])
        return {"map_agreement": np.mean(list(found.values()), 0), **found}


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [CorruptedMaps]
