"""One film under two patients, or on both sides of a split: looked for once all images have been read, and told on page one.

What was found is kept in the ledger, so that a second run, and whoever verifies the first, has it without an image.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from . import copies
from .dataset import Sample
from .findings import Finding
from .identity import digest
from .ledger import Ledger
from .pixels import PixelStore
from .plan import Plan

log = logging.getLogger("auditor")

VERSION = 1
"""Goes up whenever the same images would be told apart otherwise."""
LISTED = 200
"""Groups that are named one by one at most; all are counted."""
CROSSED = ("training", "patients", "nothing")
"""What a group of copies crosses: into the training images; several audited patients; or it is of one patient."""
NO_NETWORK = "all networks are tables of scores, so no image was read"
OLDER = "images were read by a version of auditor that did not look for copies; run again with --fresh"


TOO_FEW = "some, too few to be shared"
SENTENCES = {
    "training": ("of which there is a copy among the training images", "What is measured on them is memory."),
    "patients": (
        "of which there is a copy under another patient",
        "A film is under a wrong name, or one person counts as several and intervals are too narrow.",
    ),
    "nothing": ("of which there is a copy under the same patient", "That film counts more than once."),
}
"""By what a group crosses: what is said of its audited images, and what follows."""


class Image(NamedTuple):
    """An image that could be read."""

    split: str
    sample: Sample
    digest: bytes


class Group(NamedTuple):
    """Images that are one film, what they cross, and the audited ones of them that have their equal, pixel for pixel, across it."""

    crosses: str
    images: tuple[Image, ...]
    exact: tuple[Image, ...]
    alike: float

    @property
    def audited(self) -> tuple[Image, ...]:
        """The audited images of the group."""
        return tuple(image for image in self.images if image.split == "audited")


def run(plan: Plan, ledger: Ledger, stores: Sequence[PixelStore]) -> None:
    """Compare the audited images with each other, and with the training images where there are stores of both; what is known stays."""
    said = ledger.told(_key(plan))
    if said is None or "missing" in json.loads(said):
        ledger.tell(_key(plan), json.dumps(_compared(plan, stores), sort_keys=True))


def accounting(plan: Plan, ledger: Ledger) -> dict[str, Any]:
    """{"copies": what was compared and found, or why nothing was}; nothing of a run that is older than the question."""
    said = ledger.told(_key(plan))
    return {} if said is None else {"copies": json.loads(said)}


def findings(accounting: Mapping[str, Any]) -> list[Finding]:
    """What the reader must know of copies; a number that is None is of too few patients to be shared."""
    told = accounting.get("copies") or {}
    counts = told.get("counts") or {}
    return [
        Finding(
            _kind(crosses, of["exact"]), f"Audited images {SENTENCES[crosses][0]}: {_said(of, told)}. {SENTENCES[crosses][1]}"
        )
        for crosses in CROSSED
        if (of := counts.get(crosses)) and of["groups"] != 0
    ]


def _kind(crosses: str, exact: int | None) -> Literal["alarm", "caution", "note"]:
    """Something failed where a training image is certainly audited; what only looks like one is for the reader to look at."""
    if crosses == "training":
        return "caution" if exact == 0 else "alarm"
    return "caution" if crosses == "patients" else "note"


def _said(of: Mapping[str, int | None], told: Mapping[str, Any]) -> str:
    exact, near = of["exact"], of["near"]
    if exact is None or near is None:
        return TOO_FEW
    return f"{exact + near:,} of {told['compared']['audited']:,}, {f'{exact:,}' if exact else 'none'} of them pixel for pixel"


def _compared(plan: Plan, stores: Sequence[PixelStore]) -> dict[str, Any]:
    if not any(model.looked_into for model in plan.models):
        return {"missing": NO_NETWORK}
    prints = [part for store in stores if (part := store.fingerprints()) is not None]
    if len(prints) < len(stores):
        return {"missing": OLDER}
    splits = [("audited", plan.samples), *([("training", plan.training.samples)] if plan.training else [])]
    images = [
        Image(split, samples[row], bytes(one))
        for (split, samples), part in zip(splits, prints, strict=True)
        for row, one in zip(part.rows, part.digests, strict=True)
    ]
    found = copies.find(prints[0], prints[1] if prints[1:] else None, [image.sample.patient for image in images])
    groups = _groups(found, images)
    read = [sum(image.split == split for image in images) for split, _ in splits]
    log.info("compared %s images with each other: %d groups of copies", " + ".join(map(str, read)), len(groups))
    return {
        "compared": {"audited": read[0], "training": read[1] if read[1:] else None},
        "alike": copies.ALIKE,
        "counts": {name: _counted([group for group in groups if group.crosses == name]) for name in CROSSED},
        "groups": [_row(group) for group in groups[:LISTED]],
    }


def _groups(found: Sequence[copies.Copies], images: Sequence[Image]) -> list[Group]:
    """Those into the training images first, then those of several patients, each with equal pixels before the others."""
    equal: dict[bytes, list[Image]] = defaultdict(list)
    for image in images:
        equal[image.digest].append(image)
    groups = []
    for one in found:
        members = tuple(images[place] for place in one.places)
        own = [image for image in members if image.split == "audited"]
        crosses = (
            CROSSED[0] if len(own) < len(members) else CROSSED[1] if len({i.sample.patient for i in own}) > 1 else CROSSED[2]
        )
        exact = tuple(image for image in own if any(_across(crosses, image, other) for other in equal[image.digest]))
        groups.append(Group(crosses, members, exact, one.alike))
    return sorted(groups, key=lambda group: (CROSSED.index(group.crosses), not group.exact, group.images[0].sample.id))


def _across(crosses: str, image: Image, other: Image) -> bool:
    """Whether the other image lies where a copy of this one should not be."""
    if crosses == "training":
        return other.split == "training"
    return (
        other.split == "audited"
        and other is not image
        and (crosses == "nothing") == (other.sample.patient == image.sample.patient)
    )


def _counted(groups: Sequence[Group]) -> dict[str, int]:
    """Groups, their audited images with an equal one across and those without, and the patients of both."""
    audited, exact = [image for group in groups for image in group.audited], sum(len(group.exact) for group in groups)
    return {
        "groups": len(groups), "exact": exact, "near": len(audited) - exact, "patients": len({i.sample.patient for i in audited}),
    }  # fmt: skip


def _row(group: Group) -> dict[str, Any]:
    images = [{"id": image.sample.id, "patient": image.sample.patient, "split": image.split} for image in group.images]
    return {"crosses": group.crosses, "exact": len(group.exact), "alike": round(group.alike, 3), "images": images}


def _key(plan: Plan) -> str:
    """What is kept in the ledger under depends on the images of both splits and on the rule."""
    return digest("copies", VERSION, plan.data_key, plan.training.data_key if plan.training else None)
