"""A finished audit as a plan again, from what it left behind: no model is loaded and no data set is listed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from .. import sample_record
from ..analysis import Analysis
from ..attribution import Attribution, label
from ..claims import Claims
from ..config import AuditConfig, Report, Use
from ..dataset import Dataset
from ..errors import AuditError
from ..evidence import Evidence
from ..gates import Gate
from ..groups import Grouping
from ..model import Layers, ModelLoader, Preprocessing
from ..options import Refused
from ..plan import BoxCount, Plan, PlannedModel, Unit
from ..registry import Registry
from ..statistics.rows import GROUPS
from ..trained import Trained

UNREADABLE = "does not hold what auditor writes there ({why}); run the audit again: what is finished is kept"


@dataclass(frozen=True)
class RecordedModel(ModelLoader):
    """A network of which only the description is at hand."""

    name: ClassVar[str] = "recorded"
    made: str = ""

    def digest(self) -> str:
        """Of its description: it has no weights."""
        return self.made


@dataclass(frozen=True)
class ScoresOnly(RecordedModel):
    """The same for a table of scores."""

    provides: ClassVar[frozenset[str]] = frozenset({"logits"})


class RecordedData(Dataset):
    """A data set of which only the description is at hand."""

    name = "recorded"

    def __init__(self, train: tuple[int, Mapping[str, int]] | None, notes: Sequence[str]) -> None:
        self._train, self._notes = train, tuple(notes)

    def train_counts(self) -> tuple[int, Mapping[str, int]] | None:
        """As the audit was told."""
        return self._train

    def notes(self) -> tuple[str, ...]:
        """As the audit was told."""
        return self._notes


class Components(NamedTuple):
    """The analyses and attributions of an audit, by the name under which its results speak of them; `absent` are not at hand."""

    registry: Registry
    analyses: dict[str, Analysis]
    attributions: dict[str, Attribution]
    absent: tuple[str, ...]


def components(told: Evidence, registry: Registry) -> Components:
    """What the audit was made with, built anew with the options that it tells."""
    absent: list[str] = []

    def build(kind: str, name: str, options: Mapping[str, Any]) -> Any:
        try:
            return registry.options(kind, name).make(options, Path.cwd())
        except (AuditError, Refused):
            absent.append(name)
            return None

    analyses = {item["use"]: build("analyses", item["use"], item["options"]) for item in told.audit["analyses"]}
    attributions = {
        item["use"]: build("attributions", item["use"].partition(":")[0], item["options"])
        for item in told.audit["attributions"]
    }
    return Components(
        registry,
        {name: analysis for name, analysis in analyses.items() if analysis is not None},
        {name: attribution for name, attribution in attributions.items() if attribution is not None},
        tuple(absent),
    )


def of_run(run: Path, told: Evidence, parts: Components) -> Plan:
    """The plan of a run folder, from its plan.json; raises AuditError where that is of an older version or broken."""
    place = run / "plan.json"
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        audit = plan(told, parts, record, sample_record.read(record["known"], record["samples"]))
        second = record["training_images"]
        if second is None:
            return audit
        units = [{"attribution": None, **unit} for unit in second["units"]]
        samples = sample_record.read(second["known"], second["samples"])
        return replace(audit, training=training(audit, parts, {**second, "units": units}, samples))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else type(error).__name__
        raise AuditError(f"{place}: {UNREADABLE.format(why=why)}") from error


def plan(told: Evidence, parts: Components, record: Mapping[str, Any], samples: Sequence[Any]) -> Plan:
    audit, data = told.audit, told.dataset
    return Plan(
        config=config_of(told), registry=parts.registry, dataset=data_of(told), classes=tuple(data["classes"]),
        samples=tuple(samples), available=record["available"], data_digest=record["dataset"]["digest"], data_key=record["data_key"],
        boxes=_boxes(record["boxes"]),
        models=tuple(_model(card, made) for card, made in zip(told.models, record["models"], strict=True)),
        attributions=tuple(parts.attributions.values()), analyses=tuple(parts.analyses.values()),
        units=tuple(units(record["units"], parts)), unmet=tuple(tuple(row) for row in record["unmet"]), gallery=frozenset(),
        device=audit["device"],
    )  # fmt: skip


def training(audit: Plan, parts: Components, record: Mapping[str, Any], samples: Sequence[Any]) -> Plan:
    """The plan of the training images beside that of the audited ones."""
    both = tuple(analysis for analysis in audit.analyses if "split:train" in analysis.needs)
    return replace(
        audit, samples=tuple(samples), available=record["available"], data_digest=record["digest"], data_key=record["data_key"],
        boxes=BoxCount(0, 0, 0, ()), analyses=both, units=tuple(units(record["units"], parts)), unmet=(), training=None,
    )  # fmt: skip


def config_of(told: Evidence) -> AuditConfig:
    """The audit.yaml as far as results.json tells it."""
    audit = told.audit
    config = AuditConfig(
        title=audit["title"],
        dataset=Use(use=told.dataset["use"]),
        models=tuple(Use(use=card["use"], options={"strategy": card["strategy"]}) for card in told.models),
        reference=audit["reference"],
        attributions=tuple(Use(use=item["use"]) for item in audit["attributions"]),
        analyses=tuple(Use(use=item["use"]) for item in audit["analyses"]),
        claims=Claims(primary=tuple(audit["claims"]["primary"]), margin=audit["claims"]["margin"]),
        gates=tuple(Gate.model_validate(gate) for gate in audit["gates"]["written"]),
        report=Report(formats=tuple(audit["report"]["formats"]), images=audit["report"]["images"]),
        plugins=tuple(audit["plugins"]),
        seed=audit["seed"],
        batch=audit["batch"],
        max_quarantine=told.accounting["max_quarantine"],
        controls=audit["controls"],
        subgroups=tuple(_grouping(one) for one in audit.get("subgroups") or ()),
    )
    cards = [card["training"] for card in told.models]
    if cards and all(cards):  # `counted` asks these for how rare the classes are
        config._trained = tuple(Trained(Path(), _card(card)) for card in cards)
    return config


def _grouping(told: Mapping[str, Any]) -> Grouping:
    return Grouping(by=told["by"], bands=tuple(told["bands"]), metrics=tuple(told["metrics"]), primary=tuple(told["primary"]))


def _card(training: Mapping[str, Any]) -> dict[str, Any]:
    positives = training["positives"]
    counts = {"images": training["images"], "positives": list(positives.values())}
    return {"counts": counts, "classes": list(positives)}


def data_of(told: Evidence) -> RecordedData:
    """The description of the data; groups of common and rare classes were made only where the data set itself knew the counts."""
    train = told.dataset["train"]
    grouped = any(row.class_name in GROUPS for row in told.summaries)
    return RecordedData((train["images"], train["positives"]) if train and grouped else None, told.dataset["notes"])


def _model(card: Mapping[str, Any], record: Mapping[str, Any]) -> PlannedModel:
    lens = dict(card["preprocessing"])
    made = {name: value for name, value in card["options"].items() if name not in ("strategy", "seed")}
    loader = (RecordedModel if card["inside"] else ScoresOnly)(
        strategy=card["strategy"],
        seed=card["seed"],
        head=card["head"],
        layers=Layers(**card["layers"]),
        preprocessing=Preprocessing(**{**lens, "mean": tuple(lens["mean"]), "std": tuple(lens["std"])}),
        made=json.dumps([card["use"], made], sort_keys=True),
    )
    return PlannedModel(
        id=card["id"], loader=loader, place="", family=card["family"], layers=Layers(**card["layers"]),
        outputs=tuple(record["outputs"]), declared=tuple(card["outputs"]), unused=tuple(card["unused"]), digest=card["digest"],
        identity=record["identity"],
    )  # fmt: skip


def _boxes(record: Mapping[str, Any]) -> BoxCount:
    bad = tuple((name, what, why) for name, what, why in record["quarantined"])
    return BoxCount(record["listed"], record["used"], record["clipped"], bad)


def units(rows: Sequence[Mapping[str, Any]], parts: Components) -> list[Unit]:
    """The units of work whose analysis and attribution are at hand."""
    found = []
    for row in rows:
        analysis = parts.analyses.get(row["analysis"])
        attribution = parts.attributions.get(row["attribution"]) if row["attribution"] else None
        pictures = row["analysis"] == "(pictures)"
        if (analysis or pictures) and (attribution or not row["attribution"]):
            found.append(Unit(row["key"], row["model"], analysis, attribution))
    assert all(label(unit.attribution) for unit in found if unit.analysis is None)
    return found
