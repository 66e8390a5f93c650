"""What a simulation leaves: curves and paired differences on one page, and every number as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from ..drawing import key
from ..ledger import publish
from ..report import new_environment, whole_page
from ..wording import figure
from .curve_chart import Line, curve_chart
from .paired import MEAN, Curve, Difference, differences

if TYPE_CHECKING:
    from .simulation_config import SimulationConfig

METRICS = {
    "auroc": "AUROC of the rare classes",
    "average_precision": "Average precision of the rare classes",
    "rare": "Rare images found",
}
SCHEMA = 1


class Round(NamedTuple):
    """What a round came to: the rows chosen before it, how many images are labelled, how many of all that were chosen are rare, and the
    test's AUROC and average precision per rare class, None where not estimable."""

    chosen: list[int]
    labelled: int
    rare: int
    auroc: dict[str, float | None]
    average_precision: dict[str, float | None]


@dataclass(frozen=True)
class Simulation:
    """Every round of every function and seed that was played to its end."""

    config: SimulationConfig
    played: Mapping[tuple[int, str], Sequence[Round]]

    def curve(self, metric: str, key: tuple[int, str]) -> Curve:
        """A value per round: rare images found, or the mean over the rare classes where all of them are estimable."""
        if metric == "rare":
            return [float(past.rare) for past in self.played[key]]
        return [_mean(list(getattr(past, metric).values())) for past in self.played[key]]

    def level(self, metric: str, function: str, place: int) -> float | None:
        """The mean over the seeds after a round."""
        return _mean([self.curve(metric, key)[place] for key in self.played if key[1] == function])

    def differences(self) -> list[Difference]:
        """Every function against every baseline in every metric."""
        found: list[Difference] = []
        for metric in METRICS:
            curves = {key: self.curve(metric, key) for key in self.played}
            found += differences(curves, metric, self.config.wished, self.config.baselines)
        return found

    def lines(self) -> list[str]:
        """A line per function for the terminal: where it ended."""
        last = self.config.rounds
        return [
            f"{function:<18} AUROC {_said(self.level('auroc', function, last))},"
            f" {_said(self.level('rare', function, last))} rare images found"
            for function in self.config.functions
            if any(name == function for _, name in self.played)
        ]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row per seed, function and round."""
        for (seed, function), rounds in self.played.items():
            for number, past in enumerate(rounds):
                of_classes = {
                    f"{m} {name}": value for m in ("auroc", "average_precision") for name, value in getattr(past, m).items()
                }
                yield {
                    "seed": seed,
                    "function": function,
                    "round": number,
                    "labelled": past.labelled,
                    "rare": past.rare,
                    **of_classes,
                }


def publish_all(out: Path, simulation: Simulation, messages: Sequence[str], device: str) -> dict[str, Path]:
    """Write simulation.csv, simulation.html and, last, simulation.json."""
    config, found = simulation.config, simulation.differences()
    publish(out / "simulation.csv", _as_csv(list(simulation.rows())).encode())
    publish(out / "simulation.html", _page(simulation, found, messages).encode("utf-8"))
    settings = {
        name: getattr(config, name)
        for name in (
            "classes",
            "imbalance",
            "ratio",
            "labelled",
            "pool",
            "query",
            "functions",
            "budget",
            "rounds",
            "seeds",
            "kernel",
            "eta",
            "choose",
            "q_min",
        )
    }
    record = {
        "schema": SCHEMA, "tool": __version__, "title": config.title, "device": device, "settings": settings, "messages": list(messages),
        "rounds": list(simulation.rows()), "differences": [row._asdict() for row in found],
    }  # fmt: skip
    publish(out / "simulation.json", (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"))
    return {kind: out / f"simulation.{kind}" for kind in ("csv", "html", "json")}


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    if rows:
        table = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return out.getvalue()


def _page(simulation: Simulation, found: Sequence[Difference], messages: Sequence[str]) -> str:
    config = simulation.config
    parts = []
    for metric, title in METRICS.items():
        lines = []
        for function in config.functions:
            keys = [key for key in simulation.played if key[1] == function]
            labelled = [past.labelled for past in simulation.played[keys[0]]] if keys else []
            lines.append(
                Line(function, labelled, [simulation.level(metric, function, place) for place in range(len(labelled))])
            )
        shown = [row for row in found if row.metric == metric and row.round in (str(config.rounds), MEAN)]
        parts.append(
            {"title": title, "drawing": curve_chart(lines, config.functions, title=title), "rows": [_row(row) for row in shown]}
        )
    return whole_page(
        new_environment(), "simulation.html", title=config.title, version=__version__, config=config, parts=parts, messages=messages,
        marks=[(name, key(name, config.functions)) for name in config.functions],
    )  # fmt: skip


def _row(row: Difference) -> dict[str, Any]:
    when = f"after round {row.round}" if row.round != MEAN else row.round
    return {"when": when, **row._asdict()}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _said(value: float | None) -> str:
    return "not estimable" if value is None else figure(value)
