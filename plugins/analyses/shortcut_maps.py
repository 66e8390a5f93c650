"""How much of a map's evidence lies on something that is no finding?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor import Analysis, Metric, hookimpl
from auditor.boxes import union_mask
from auditor.evidence_maps import upsample
from auditor.other_places import border

from ._objects import BORDER, REFERENCE, LooksForObjects, by_image, word

if TYPE_CHECKING:
    import numpy.typing as npt

    from auditor import Sample, View

    Mask = npt.NDArray[np.bool_]


def _metric(name: str) -> Metric:
    what = "the border of the image" if name == BORDER else f"the object {name}"
    return Metric(
        f"evidence_on_{word(name)}", f"How much of the map's evidence for a finding that is there lies on {what}, less the share of the "
        "image that it covers, which is what evidence spread anywhere would put there. Above 0 the map points at it.",
        "neither", -1, 1, chance="0", reference=REFERENCE, undefined="no chosen image with the finding has it, or its map is empty",
        pitfall="A coarse map spills over its neighbourhood, and evidence on an object does not show that the score needs it: read it "
        "beside what taking the object out does.",
    )  # fmt: skip


@dataclass(frozen=True)
class ShortcutMaps(LooksForObjects):
    """The share of a map's positive evidence on the border and on named objects, less their share of the image (docs/methods.md F).

    Objects and `border` as in `shortcuts`, on at most so many `images` each that show a finding, drawn by their ids and the
    audit's seed. A map is clipped at 0 and upsampled bilinearly to the grid of the network's input.
    """

    name = "shortcut_maps"
    needs = frozenset({"attribution", "positive"})

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """A share for the border and for every object."""
        return tuple(_metric(name) for name in (BORDER, *self.objects))

    def trials(self, samples: Sequence[Sample]) -> Mapping[str, tuple[str, ...]]:
        """The border and the objects, on images with a finding that were drawn for them."""
        return by_image(self._having([sample for sample in samples if 1 in sample.labels]))

    def measure(self, batch: View) -> Mapping[str, Any]:
        """{"evidence_on_..."}: float64 [P], NaN where the image was not chosen for it or the map has no evidence."""
        found = {metric.name: np.full(len(batch), np.nan) for metric in self.metrics}
        regions = [self._regions(batch, row) for row in range(len(batch.samples))]
        maps = batch.maps.double().cpu().numpy()
        for case, row in enumerate(batch.cases.image.tolist()):
            if not np.isfinite(maps[case]).all():
                continue
            evidence = upsample(np.maximum(maps[case], 0), *batch.size)
            for name, region in regions[row].items():
                if evidence.any():
                    share = evidence[region].sum() / evidence.sum()
                    found[f"evidence_on_{word(name)}"][case] = share - region.mean()
        return found

    def _regions(self, batch: View, row: int) -> dict[str, Mask]:
        """What is looked for on an image of the view, as pixels [H, W]."""
        found = {name: [edges for label, edges in batch.outlined(row) if label == name] for name in batch.trials[row]}
        masks = {name: union_mask(edges, *batch.size) for name, edges in found.items() if edges}
        return {BORDER: border(*batch.size, self.border), **masks} if BORDER in found else masks


@hookimpl
def register_analyses() -> list[type[Analysis]]:
    """The built-in."""
    return [ShortcutMaps]
