"""What a sanity check of an explanation method comes to: passed, failed or undecided, with its numbers and a sentence.

A network that has learned nothing must be localised less than a third as well as the trained one, and the map of a finding
that is not there must lie less well on the box than the map of the finding that is: both are differences on the same cases,
and both must be shown, not only not contradicted. Where the trained network itself is not localised better than what audit.yaml
calls negligible, there is nothing that a control could lack, and it decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .probes import SAME
from .sanity import Outcome
from .statistics.estimates import FEW
from .statistics.influence import Influence, difference, interval, times
from .statistics.unmoved import NO_PATIENT_DIFFERS
from .wording import figure, rounded

SHARE = 1 / 3
"""How much of a trained network's localisation an untrained one may have."""
UNMOVED = 0.999
"""Rank correlation from which the maps of the trained and of the untrained network are the same maps."""
Number = Influence | str


class Ruling(NamedTuple):
    """An outcome, its sentence, its numbers, and the number of cases."""

    outcome: Outcome
    says: str
    numbers: Mapping[str, float | None] = {}
    n: int = 0


def model_randomisation(trained: Number, untrained: Number, alike: float | None, margin: float) -> Ruling:
    """`trained` and `untrained` on the same cases; `alike` is the rank correlation of their maps, `margin` what is negligible."""
    numbers = {**_told("trained", trained), **_told("untrained", untrained), "rank_correlation": alike}
    if alike is not None and alike >= UNMOVED:
        return Ruling("failed", f"the maps before and after training are the same (rank correlation {figure(alike)}).", numbers)
    if open_ := _nothing_to_lack(trained, untrained, margin, numbers):
        return open_
    assert isinstance(trained, Influence)
    assert isinstance(untrained, Influence)
    low, _ = interval(difference(times(trained, SHARE), untrained))
    said = f"{_interval(untrained)} untrained, {_interval(trained)} trained"
    if low > 0:
        return Ruling("passed", f"Without training less than a third is left: {said}.", numbers, trained.cases)
    if interval(untrained)[0] > 0 and untrained.value >= SHARE * trained.value:
        return Ruling("failed", f"a third or more is there without training: {said}.", numbers, trained.cases)
    return Ruling("inconclusive", f"these images cannot show that less than a third is left: {said}.", numbers, trained.cases)


def wrong_class(trained: Number, other: Number, margin: float) -> Ruling:
    """`other` is of the maps of classes that the images do not show, held against the same boxes as `trained`."""
    numbers = {**_told("trained", trained), **_told("other_class", other)}
    if open_ := _nothing_to_lack(trained, other, margin, numbers):
        return open_
    assert isinstance(trained, Influence)
    assert isinstance(other, Influence)
    fall = difference(trained, other)
    low, high = interval(fall)
    numbers |= {"fall": fall.value, "fall_low": low, "fall_high": high}
    said = f"{_interval(trained)} for the finding, {_interval(other)} for another; the fall is {_interval(fall)}"
    if low > 0:
        return Ruling("passed", f"The map of an absent finding lies less well on the box: {said}.", numbers, trained.cases)
    if high < trained.value:  # a map that loses its place would have been seen to
        return Ruling("failed", f"the map of an absent finding lies on the box as well: {said}.", numbers, trained.cases)
    return Ruling("inconclusive", f"these images cannot tell the two apart: {said}.", numbers, trained.cases)


def batch_independence(coupling: float | None, batch: int, cases: int) -> Ruling:
    """`coupling` is the largest difference that an exchanged image made to the map of another, as a share of the two maps."""
    if batch == 1:
        return Ruling("not applicable", "batches hold one image.")
    if coupling is None:
        return Ruling("not estimable", "only one image with a box can be read.")
    if coupling > SAME:
        return Ruling(
            "failed",
            f"exchanging one image changes the maps of others by up to {_share(coupling)}.",
            {"difference": coupling},
            cases,
        )
    return Ruling("passed", "Exchanging one image of a batch leaves the maps of the others as they are.", {"difference": coupling}, cases)  # fmt: skip


def repeat(again: float, cases: int) -> Ruling:
    """`again` is the largest difference between the maps of one batch and its maps the second time."""
    if again > SAME:
        return Ruling(
            "failed", f"the same batch gives maps that differ by up to {_share(again)}.", {"difference": again}, cases
        )
    return Ruling("passed", "The same batch gives the same maps again.", {"difference": again}, cases)


def constant_input(finite: float, differs: float | None, cases: int) -> Ruling:
    """Shares: of the maps of a grey image that are finite, and of the maps of images that differ from the grey image's."""
    numbers = {"finite": finite, "differs": differs}
    if finite < 1:
        return Ruling("failed", "an even grey image gets maps that are not finite.", numbers, cases)
    if differs is None:
        return Ruling("not estimable", "every map is constant.", numbers, cases)
    if differs == 0:
        return Ruling("failed", "every image gets the map that an even grey image gets.", numbers, cases)
    return Ruling("passed", f"{_share(differs)} of the maps differ from those of an even grey image.", numbers, cases)


def _nothing_to_lack(trained: Number, control: Number, margin: float, numbers: Mapping[str, float | None]) -> Ruling | None:
    """The ruling where there is no number, or none that a control could fall below."""
    for part in (trained, control):
        if isinstance(part, str):
            return Ruling("not estimable", f"{part}.", numbers)
    assert isinstance(trained, Influence)
    if len(trained.patient) < FEW:
        return Ruling(
            "not estimable", f"{len(trained.patient)} patients have boxes, and {FEW} are needed.", numbers, trained.cases
        )
    if not interval(trained)[0] > margin:  # so written, no interval is none above it
        above = f"{margin:g}, which is negligible" if margin else "0"
        said = f"the trained network's own localisation is not shown to be above {above}: {_interval(trained)}."
        return Ruling("inconclusive", said, numbers, trained.cases)
    return None


def _told(name: str, part: Number) -> dict[str, float | None]:
    if isinstance(part, str):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    low, high = (end if math.isfinite(end) else None for end in interval(part))
    return {name: part.value, f"{name}_low": low, f"{name}_high": high}


def _interval(part: Influence) -> str:
    low, high = interval(part)
    return f"{figure(part.value)} ({f'{figure(low)} to {figure(high)}' if math.isfinite(low) else NO_PATIENT_DIFFERS})"


def _share(value: float) -> str:
    return f"{rounded(100 * value)} %"
