"""Everything the audit found, read-only: what findings are judged from, and all that a report may show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .findings import Finding as Finding
from .findings import Gap as Gap
from .gated import GateOutcome as GateOutcome
from .profiles import Histogram, Overlap, Profile, frozen
from .sanity import Control as Control
from .sanity import stamps
from .shown_units import ShownUnit as ShownUnit
from .shown_units import from_row, to_row
from .statistics.by_outcome import OutcomeRow
from .statistics.operating import OperatingPoint
from .statistics.rows import Comparison, Curve, Repeat, Summary, UnitDetector
from .statistics.subgroups import SubgroupRow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Picture:
    """One case across the models: pixels uint8 [H, W], its boxes (left, top, right, bottom as fractions), raw maps by
    attribution and model id.

    `kind` says as what it was chosen after the measurement (a key of `failure_rules`), "" for cases chosen beforehand; then it
    belongs to one model, and `words` tell its score. Of kind `unit` it is a top image of the channel `unit`, active above
    `threshold`; `other_boxes` are those of other findings.
    """

    case: str
    class_name: str
    boxes: tuple[tuple[float, float, float, float], ...]
    pixels: npt.NDArray[np.uint8]
    maps: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]
    kind: str = ""
    words: str = ""
    unit: int | None = None
    threshold: float | None = None
    other_boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The content of results.json, and the pictures kept beside it.

    `audit`: title, reference, attributions, analyses, claims, gates as written, limit, report options, tool version. `dataset`: name, options, classes,
    counts per class, patients, notes. `models`: one mapping per model (id, strategy, seed, family, loader, classes,
    head, layers, preprocessing, digest, status, error). `metrics`: the Metric declarations by name.
    `gates`: an outcome for every gate and every contrast or network that it is about. `self_test`: {passed, of, failed}, or nothing where it was not taken. `controls`: a row per network, attribution and check
    of the explanation method, none where audit.yaml turns them off.
    `repeated`: contrasts under a changed assumption, beside their main one. `operating` and `by_outcome`: outcomes at matched
    specificity, and what the maps show by outcome, empty where no sensitivity was asked for.
    `accounting`: listed, used, quarantined [{id, reason, detail}], boxes {listed, used, clipped, quarantined}, copies (`auditor.duplicates`).
    `earlier`: what changed since the earlier audit that audit.yaml names (diff/earlier.py), nothing where it names none.
    """

    audit: Mapping[str, Any]
    dataset: Mapping[str, Any]
    models: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, Mapping[str, Any]]
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]
    accounting: Mapping[str, Any]
    environment: Mapping[str, Any]
    self_test: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    gates: tuple[GateOutcome, ...] = ()
    detectors: tuple[UnitDetector, ...] = ()
    controls: tuple[Control, ...] = ()
    repeated: tuple[Repeat, ...] = ()
    operating: tuple[OperatingPoint, ...] = ()
    by_outcome: tuple[OutcomeRow, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    profiles: tuple[Profile, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    units: tuple[ShownUnit, ...] = ()
    subgroups: tuple[SubgroupRow, ...] = ()
    pictures: tuple[Picture, ...] = field(default=(), repr=False)

    def select(self, metric: str | None = None, analysis: str | None = None, class_name: str | None = None) -> list[Summary]:
        """The summaries of a metric, an analysis, a class; None means any."""
        return [
            s
            for s in self.summaries
            if metric in (None, s.metric) and analysis in (None, s.analysis) and class_name in (None, s.class_name)
        ]

    def contrasts(
        self, metric: str | None = None, analysis: str | None = None, class_name: str | None = None
    ) -> list[Comparison]:
        """The comparisons of a metric, an analysis, a class; None means any."""
        return [
            c
            for c in self.comparisons
            if metric in (None, c.metric) and analysis in (None, c.analysis) and class_name in (None, c.class_name)
        ]

    def stamps(self) -> dict[str, list[str]]:
        """{attribution: a sentence per sanity check that it failed}, for every section that shows its maps."""
        return stamps(self.controls)

    def to_json(self) -> str:
        """results.json: sorted keys, no NaN; pictures stay in the run folder."""
        rows: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "audit": self.audit,
            "dataset": self.dataset,
            "models": self.models,
            "metrics": self.metrics,
            "summaries": _rows(self.summaries),
            "comparisons": _rows(self.comparisons),
            "curves": _rows(self.curves),
            "detectors": _rows(self.detectors),
            "controls": _rows(self.controls),
            "repeated": _rows(self.repeated),
            "operating": _rows(self.operating),
            "by_outcome": _rows(self.by_outcome),
            "histograms": _rows(self.histograms),
            "profiles": _rows(self.profiles),
            "overlaps": _rows(self.overlaps),
            "subgroups": _rows(self.subgroups),
            "units": [to_row(unit) for unit in self.units],
            "findings": _rows(self.findings),
            "gaps": _rows(self.gaps),
            "gates": _rows(self.gates),
            "accounting": self.accounting,
            "environment": self.environment,
            "self_test": self.self_test,
            "earlier": self.earlier,
        }
        return json.dumps(rows, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, pictures: Iterable[Picture] = ()) -> Evidence:
        """Evidence as `to_json` wrote it."""
        data = json.loads(text)
        return cls(
            audit=data["audit"],
            dataset=data["dataset"],
            models=tuple(data["models"]),
            metrics=data["metrics"],
            summaries=tuple(Summary(**_named(row)) for row in data["summaries"]),
            comparisons=tuple(Comparison(**_named(row)) for row in data["comparisons"]),
            findings=tuple(Finding(**_named(row)) for row in data["findings"]),
            gaps=tuple(Gap(**_named(row)) for row in data["gaps"]),
            accounting=data["accounting"],
            environment=data["environment"],
            self_test=data.get("self_test", {}),
            earlier=data.get("earlier", {}),
            curves=tuple(_curve(row) for row in data.get("curves", ())),
            gates=tuple(GateOutcome(**_named(row)) for row in data.get("gates", ())),
            detectors=tuple(UnitDetector(**_named(row)) for row in data.get("detectors", ())),
            controls=tuple(Control(**row) for row in data.get("controls", ())),
            repeated=tuple(Repeat(**_named(row)) for row in data.get("repeated", ())),
            operating=tuple(OperatingPoint(**_named(row)) for row in data.get("operating", ())),
            by_outcome=tuple(OutcomeRow(**_named(row)) for row in data.get("by_outcome", ())),
            histograms=tuple(Histogram(**frozen(_named(row))) for row in data.get("histograms", ())),
            profiles=tuple(Profile(**frozen(_named(row))) for row in data.get("profiles", ())),
            overlaps=tuple(Overlap(**_named(row)) for row in data.get("overlaps", ())),
            subgroups=tuple(SubgroupRow(**_named(row)) for row in data.get("subgroups", ())),
            units=tuple(from_row(row) for row in data.get("units", ())),
            pictures=tuple(pictures),
        )


def read(run: Path) -> Evidence:
    """The evidence of a finished run folder, pictures included."""
    from .pictures import load

    return Evidence.from_json((run / "results.json").read_text(encoding="utf-8"), load(run))


def _rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    return [{("class" if key == "class_name" else key): value for key, value in asdict(row).items()} for row in rows]


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {("class_name" if key == "class" else key): value for key, value in row.items()}


def _curve(row: Mapping[str, Any]) -> Curve:
    return Curve(**{**row, **{name: tuple(row[name]) for name in ("predicted", "observed", "n")}})
