"""Evidence that can be given away: the same fields, with nobody in them, and a count of what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import sanity
from ..evidence import Evidence, Picture
from ..profiles import Histogram
from ..statistics.by_outcome import OutcomeRow
from . import copied, group_table, shapes, units
from .by_group import ByGroup
from .cells import FEWEST, REASON, Cells, few
from .judged import judged_again
from .numbers import Numbers
from .pseudonyms import Pseudonyms
from .record import Record
from .said import Said
from .texts import OF_A_PLUGIN, Texts, code

AUDIT = ("title", "plan", "reference", "seed", "batch", "device", "controls", "attributions", "analyses", "claims", "limited", "report",
         "chosen_by", "plugins", "tool", "gates", "card", "subgroups")  # fmt: skip
DATASET = ("use", "options", "classes", "counts", "images", "patients", "digest", "boxed_images", "train", "notes", "described")
MODEL = ("id", "strategy", "seed", "family", "use", "options", "layers", "outputs", "unused", "digest", "head", "preprocessing", "inside",
         "status", "error", "training", "parameters")  # fmt: skip
ENVIRONMENT = ("python", "implementation", "system", "device", "packages", "date")
ACCOUNTING = ("listed", "used", "quarantined", "max_quarantine", "boxes", "training_images", "copies")
"""The keys that are shared. Whoever adds one to the evidence decides here whether it can leave; until then it does not.

`earlier` stays at home whole: what differs between two audits of nearly the same patients tells of the few that only one has, and
the earlier audit's words are of a run whose record of names is not here."""
LARGEST = 224
"""Pixels along the longer side of a shared picture."""


class Redaction:
    """One run on its way out; `built_in` are the components whose words are ours."""

    def __init__(self, record: Record, cells: Cells, pseudonyms: Pseudonyms, texts: Texts, said: Said) -> None:
        self._record, self._cells, self._pseudonyms, self._texts, self._said = record, cells, pseudonyms, texts, said
        parts = record.made_with["components"]
        self._built_in = {(part["kind"], part["name"]) for part in parts if part["built_in"]}

    def evidence(self, evidence: Evidence, histograms: Sequence[Histogram], by_group: ByGroup, pictures: bool) -> Evidence:
        """The evidence of the bundle, with these histograms and groups; `audit` says under `shared` what was left out."""
        numbers = Numbers(evidence, self._cells)
        tops = units.shared(evidence, self._cells, by_group.audited, self._pseudonyms)
        described, attributes = by_group.described()
        self._declared = {REASON, *(str(metric["undefined"]) for metric in evidence.metrics.values())}
        shared = Evidence(
            metrics=evidence.metrics, findings=(), environment=_only(evidence.environment, ENVIRONMENT),
            audit={**self._audit(evidence.audit, pictures), "subgroups": by_group.declared()},
            dataset={**self._dataset(evidence.dataset), "described": described},
            models=tuple(self._model(model) for model in evidence.models),
            accounting=self._accounting(evidence.accounting), self_test=self._self_test(evidence.self_test),
            summaries=tuple(self._worded(row) for row in numbers.summaries()),
            comparisons=tuple(self._worded(row) for row in numbers.comparisons()),
            repeated=tuple(self._worded(row) for row in numbers.repeated()),
            gaps=tuple(replace(gap, reason=self._texts.reason(gap.reason)) for gap in shapes.gaps(evidence, self._cells)),
            controls=tuple(self._control(row) for row in evidence.controls),
            operating=shapes.operating(evidence, self._cells),
            by_outcome=tuple(self._worded(row) for row in shapes.by_outcome(evidence, self._cells)),
            curves=shapes.curves(evidence, self._cells), histograms=tuple(histograms),
            profiles=shapes.profiles(evidence, self._cells),
            detectors=shapes.of_class(evidence.detectors, self._cells, "boxed"),
            overlaps=shapes.of_class(evidence.overlaps, self._cells), units=tops,
            subgroups=tuple(self._worded(row) for row in by_group.rows()),
            pictures=tuple(self._picture(p) for p in evidence.pictures if self._can_be_shown(p) and units.shows(p, tops)) if pictures else (),
        )  # fmt: skip
        shared, unsaid = judged_again(evidence, shared)
        return replace(
            shared, audit={**shared.audit, "shared": self._told(evidence, shared, numbers, unsaid, attributes, by_group)}
        )

    def _told(
        self, evidence: Evidence, shared: Evidence, numbers: Numbers, unsaid: int, attributes: int, by_group: ByGroup
    ) -> dict[str, Any]:
        """What the reader of the bundle is told of what is not in it."""
        return {
            "fewest_patients": FEWEST,
            "classes_withheld": sorted(self._cells.withheld),
            "withheld": {
                "levels": len(numbers.levels), "contrasts": len(numbers.contrasts), "sentences": unsaid, "attributes": attributes,
                "earlier": int(bool(evidence.earlier)),
                "unit_classes": sum(len(unit.fires) for unit in evidence.units) - sum(len(unit.fires) for unit in shared.units),
                **{
                    name: _gone(getattr(evidence, name), getattr(shared, name))
                    for name in ("operating", "by_outcome", "curves", "histograms", "profiles", "detectors", "overlaps", "subgroups", "units", "gaps")
                },
            },
            "groups_told": group_table.columns(by_group, self._record, self._cells),
            "pictures": len(shared.pictures),
        }  # fmt: skip

    def _worded(self, row: Any) -> Any:
        """A row whose reason and note are ours, cleaned; a plugin's where it declared them, or where any analysis has them."""
        ours = ("analyses", getattr(row, "analysis", "outcomes")) in self._built_in or isinstance(row, OutcomeRow)
        told = {name: getattr(row, name) for name in ("missing", "note") if getattr(row, name) is not None}
        clean = self._texts.reason if ours else lambda text: self._texts.of_a_stranger(text, self._declared)
        return replace(row, **{name: clean(text) for name, text in told.items()}) if told else row

    def _audit(self, audit: Mapping[str, Any], pictures: bool) -> dict[str, Any]:
        uses = {
            kind: [{"use": use["use"], "options": self._said.options(kind, use["use"], use["options"])} for use in audit[kind]]
            for kind in ("attributions", "analyses")
        }
        own = {
            "title": self._texts.title(str(audit["title"])), "card": self._said.card(audit.get("card")), "plan": self._pseudonyms.digest(str(audit["plan"])),
            "report": {"formats": audit["report"]["formats"], "images": pictures},
            "plugins": [part["name"] if part["kind"] == "distribution" else "(file)" for part in self._record.made_with["plugins"]],
        }  # fmt: skip
        return {**_only(audit, AUDIT), **uses, **own}

    def _dataset(self, dataset: Mapping[str, Any]) -> dict[str, Any]:
        use, train = str(dataset["use"]), dataset.get("train")
        ours = ("datasets", use) in self._built_in
        counts = {name: self._counts(name, row) for name, row in dataset["counts"].items()}
        positives = {
            name: n
            for name, n in (train or {"positives": {}})["positives"].items()
            if not few(n) and name not in self._cells.withheld
        }
        return {
            **_only(dataset, DATASET), "options": self._said.options("datasets", use, dataset["options"]), "counts": counts,
            "digest": self._pseudonyms.digest(str(dataset["digest"])),
            "train": train and {"images": train["images"], "positives": positives},
            "notes": [self._texts.note(note) for note in dataset["notes"]] if ours else [OF_A_PLUGIN] * bool(dataset["notes"]),
        }  # fmt: skip

    def _counts(self, name: str, row: Mapping[str, int]) -> dict[str, int | None]:
        """The images of a class; None where they are too few, and the boxes of all classes where those of one are: the total is told."""
        boxes = None if self._cells.boxes_are_few() else row.get("boxes")
        return dict.fromkeys(row) if name in self._cells.withheld else {**row, "boxes": boxes}

    def _model(self, model: Mapping[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = {"options": self._said.options("models", str(model["use"]), model["options"])}
        if model.get("error"):
            own["error"] = self._texts.reason(str(model["error"]))
        if model.get("training"):
            own["training"] = self._training(model["training"])
        return {**_only(model, MODEL), **own}

    def _training(self, training: Mapping[str, Any]) -> dict[str, Any]:
        """How a network was trained: numbers and choices, without the digest of the names of its images."""
        met, positives = training.get("met"), training.get("positives") or {}
        return {
            "strategy": [
                {"use": part["use"], "options": self._said.options("strategies", part["use"], part["options"])}
                for part in training["strategy"]
                if self._said.known("strategies", part["use"])
            ],
            "recipe": self._said.recipe(training["recipe"]),
            "pretrained": training["pretrained"] and self._said.options("models", "", training["pretrained"]),
            "images": training["images"], "best_epoch": training["best_epoch"], "validation_auroc": training["validation_auroc"],
            "positives": {name: n for name, n in positives.items() if not few(n) and name not in self._cells.withheld},
            "met": met and {side: None if few(n) else n for side, n in met.items()},
            "notes": [], "data": None,
        }  # fmt: skip

    def _accounting(self, accounting: Mapping[str, Any]) -> dict[str, Any]:
        boxes = accounting["boxes"]
        lost = [
            {
                "id": self._pseudonyms.image(row["id"]),
                "class": self._class(row["class"]),
                "reason": self._texts.reason(row["reason"]),
            }
            for row in boxes["quarantined"]
        ]
        told = {
            **_only(accounting, ACCOUNTING),
            "quarantined": self._quarantined(accounting),
            "boxes": {**boxes, "quarantined": lost},
        }
        if second := accounting.get("training_images"):
            told["training_images"] = {
                **second, "quarantined": self._quarantined(second),
                "failed": {model: self._texts.reason(why) for model, why in second["failed"].items()},
                "positive": {name: None if self._is_few(name, n) else n for name, n in second["positive"].items()},
                "audited_too": None if few(second.get("audited_too")) else second.get("audited_too"),
            }  # fmt: skip
        if found := accounting.get("copies"):
            told["copies"] = copied.shared(found, self._pseudonyms)
        return told

    def _is_few(self, name: str, n: int) -> bool:
        return name in self._cells.withheld or few(self._cells.at_least(n) if n < FEWEST else None)

    def _class(self, name: str) -> str:
        return "not shared" if name in self._cells.withheld or few(len(self._cells.people(name, "boxed"))) else name

    def _quarantined(self, accounting: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {"id": self._pseudonyms.image(row["id"]), "reason": code(row["reason"]), "detail": None}
            for row in accounting["quarantined"]
        ]

    def _control(self, row: sanity.Control) -> sanity.Control:
        """What a check of a method found; where it saw too few images, only that."""
        if few(row.n):
            return replace(row, outcome="not estimable", says=f"{REASON}.", numbers={}, n=0)
        return replace(row, says=self._texts.reason(row.says.removesuffix(".")) + ".")

    def _self_test(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {**record, "failed": [self._texts.reason(what) for what in record["failed"]]} if record else {}

    def _can_be_shown(self, picture: Picture) -> bool:
        return picture.class_name not in self._cells.withheld

    def _picture(self, picture: Picture) -> Picture:
        """Pixels made anew from the array, at most 224 on the longer side; a case under its pseudonym."""
        import numpy as np
        from PIL import Image

        number = int(picture.case.removeprefix("case ")) - 1
        name = f"image {self._pseudonyms.image(self._record.audited[number].id)}"
        image = Image.fromarray(np.ascontiguousarray(picture.pixels, np.uint8))
        image.thumbnail((LARGEST, LARGEST))
        gone = {box.label for box in self._record.audited[number].boxes} & self._cells.withheld
        others = () if gone else picture.other_boxes
        return replace(picture, case=name, pixels=np.asarray(image, np.uint8), other_boxes=others)


def _only(values: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {name: values[name] for name in keys if name in values}


def _gone(before: Any, after: Any) -> int:
    """Rows that are not there any more, or only with a reason."""
    lost = Counter(row.missing for row in after if hasattr(row, "missing"))
    told = Counter(row.missing for row in before if hasattr(row, "missing"))
    return len(before) - len(after) + sum(n for reason, n in (lost - told).items())
