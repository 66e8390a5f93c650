"""A finished run in a notebook: its tables as plain columns, and a summary that a cell shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from .errors import AuditError, among
from .evidence import Evidence, Finding, Gap, GateOutcome
from .overview import ALONE, SHOWN, cells, counted, levels, main_findings, overall, size, unmet
from .statistics.rows import Comparison, Summary
from .wording import clean_label

Table = dict[str, list[Any]]
"""{column: values}, all of one length; `pandas.DataFrame(table)` takes it as it is."""


def load(run: Path | str) -> LoadedAudit:
    """A finished audit, from its run folder or its results.json; nothing is measured and nothing is written.

    Raises AuditError where there is no result, or where it cannot be read.
    """
    path = Path(run)
    results = path / "results.json" if path.is_dir() else path
    if not results.is_file():
        raise AuditError(f"{path}: found no results.json; allowed: the folder of a finished run, or its results.json")
    try:
        evidence = Evidence.from_json(results.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(f"{results}: cannot be read as the results of an audit ({type(error).__name__})") from error
    folder = results.parent if (results.parent / "ledger.db").is_file() else None
    return LoadedAudit(evidence, folder)


@dataclass(frozen=True, repr=False)
class LoadedAudit:
    """What an audit found, read-only. `evidence` is all of results.json; the tables are the same rows as columns.

    `folder` is the run folder, None where there is only a results.json; then there are no `cases`.
    """

    evidence: Evidence
    folder: Path | None = None
    _kept: tuple[str | None, ...] = (None, None, None)

    @property
    def title(self) -> str:
        """The title of audit.yaml."""
        return str(self.evidence.audit.get("title") or "Interpretability audit")

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """{metric: what it says, its direction, range, chance level, source and pitfall}."""
        return self.evidence.metrics

    @property
    def classes(self) -> list[str]:
        """Every class that has a number: those of the data set, and pseudo classes such as (macro)."""
        rows: list[Summary | Comparison] = [*self.evidence.summaries, *self.evidence.comparisons]
        return list(dict.fromkeys([*self.evidence.dataset["classes"], *(row.class_name for row in rows)]))

    @property
    def strategies(self) -> list[str]:
        """The strategies of the networks, the reference first."""
        named = dict.fromkeys(str(model["strategy"]) for model in self.evidence.models)
        return sorted(named, key=lambda name: name != self.evidence.audit.get("reference"))

    def select(self, metric: str | None = None, class_name: str | None = None, strategy: str | None = None) -> LoadedAudit:
        """The same audit with only the rows of a metric, a class, a strategy; None means any.

        Raises AuditError that names the nearest one where there is none of that name.
        """
        asked = (metric, class_name, strategy)
        words = ("metric", "class", "strategy")
        for what, name, every, chosen in zip(words, asked, self._known(), self._kept, strict=True):
            known = every if chosen is None else [chosen]
            if name is not None and name not in known:
                raise AuditError(f"no {what} is called {name!r}; allowed: {among(name, known)}")

        def those(rows: Iterable[Any]) -> tuple[Any, ...]:
            wanted = {"metric": metric, "class_name": class_name, "strategy": strategy}
            return tuple(row for row in rows if all(name in (None, getattr(row, key)) for key, name in wanted.items()))

        evidence = replace(
            self.evidence,
            summaries=those(self.evidence.summaries),
            comparisons=those(self.evidence.comparisons),
            gates=those(self.evidence.gates),
        )
        kept = tuple(old if new is None else new for new, old in zip(asked, self._kept, strict=True))
        return replace(self, evidence=evidence, _kept=kept)

    def _known(self) -> tuple[list[str], list[str], list[str]]:
        return list(self.metrics), self.classes, self.strategies

    @property
    def summaries(self) -> Table:
        """A row per number of a network; `value` is None where `missing` says why."""
        return _columns(Summary, self.evidence.summaries)

    @property
    def comparisons(self) -> Table:
        """A row per strategy minus reference; `difference` is None where `missing` says why."""
        return _columns(Comparison, self.evidence.comparisons)

    @property
    def gates(self) -> Table:
        """A row per gate and the number that it was held against."""
        return _columns(GateOutcome, self.evidence.gates)

    @property
    def findings(self) -> Table:
        """The sentences of the report: alarm, caution, result, note."""
        return _columns(Finding, self.evidence.findings)

    @property
    def gaps(self) -> Table:
        """What could not be measured, and why."""
        return _columns(Gap, self.evidence.gaps)

    @property
    def cases(self) -> Table:
        """A row per network, metric and image, as measured; `value` is None where it was undefined. Read anew at each call.

        Raises AuditError where only a results.json was loaded: these values are kept in the run folder.
        """
        from .cases import columns

        if self.folder is None:
            raise AuditError("found no ledger.db beside results.json; allowed: the run folder as auditor run left it")
        metric, class_name, strategy = self._kept
        strategy_of = {str(model["id"]): str(model["strategy"]) for model in self.evidence.models}
        table: Table = {
            name: [] for name in ("model", "strategy", "analysis", "attribution", "metric", "split", "sample", "class", "value")
        }
        for column in columns(self.folder):
            of = strategy_of.get(column.model, "")
            if metric not in (None, column.metric) or strategy not in (None, of):
                continue
            rows = [row for row, name in enumerate(column.classes) if class_name in (None, name)]
            about = (column.model, of, column.analysis, column.attribution, column.metric, column.split)
            for key, value in zip(table, about, strict=False):
                table[key] += [value] * len(rows)
            table["sample"] += [column.samples[row] for row in rows]
            table["class"] += [column.classes[row] for row in rows]
            numbers = (float(column.values[row]) for row in rows)
            table["value"] += [None if math.isnan(number) else number for number in numbers]
        return table

    def __repr__(self) -> str:
        """Title, contrasts and verdicts as lines of text."""
        shown, more = overall(self.evidence)
        lines = [clean_label(self.title, 200), size(self.evidence)]
        lines += [f"  {' | '.join(cells(row, self.evidence.stamps()))}" for row in shown]
        lines += [f"  {more} more overall contrasts"] if more else []
        lines += [f"  {ALONE}"] if shown else []
        lines += [] if shown else [f"  {text}" for text in levels(self.evidence)]
        lines += [clean_label(finding.text, 400) for finding in self._urgent()]
        lines += [f"gates: {counted(row.outcome for row in self.evidence.gates)}"] if self.evidence.gates else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The summary that a notebook shows: text and tables only, every value escaped, in the colours of the notebook."""
        from .report import new_environment

        shown, more = overall(self.evidence)
        page = new_environment().get_template("notebook.html")
        return page.render(
            title=self.title,
            size=size(self.evidence),
            urgent=[finding.text for finding in self._urgent()],
            rows=[cells(row, self.evidence.stamps()) for row in shown],
            more=more,
            alone=ALONE,
            levels=[] if shown else levels(self.evidence),
            main=[finding.text for finding in main_findings(self.evidence)],
            gates=counted(row.outcome for row in self.evidence.gates),
            unmet=[f"{row.outcome} ({row.tier}): {row.sentence}" for row in unmet(self.evidence)[:SHOWN]],
            gaps=len(self.evidence.gaps),
        )

    def _urgent(self) -> list[Finding]:
        return [finding for finding in self.evidence.findings if finding.kind in ("alarm", "caution")]


def _columns(kind: type[Any], rows: Sequence[Any]) -> Table:
    """Rows as columns; `class_name` is called `class`, as in results.json and the exported tables."""
    names = [field.name for field in fields(kind)]
    return {("class" if name == "class_name" else name): [getattr(row, name) for row in rows] for name in names}
