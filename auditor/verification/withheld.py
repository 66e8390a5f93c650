"""What cannot be made again from a bundle's tables, counted under its reason and never passed in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..evidence import Evidence
from ..share.cells import REASON
from ..statistics.one_per_patient import ASSUMING
from ..statistics.rows import BASELINE, GROUPS, IMAGE, MACRO, MODEL
from ..wording import how_many
from .boxed_tables import Boxes
from .case_tables import Cases
from .compare import ABSENT, rows
from .group_table import Groups
from .recorded import Components

BY_RARITY = (MODEL, *GROUPS)
ELSEWHERE = "over the whole data set at once, or with boxes of other patients, of which the bundle holds no table"
TABLES = {
    "controls": "of the sanity checks, made while the networks ran",
    "gaps": "of gaps, which have no value",
    "by_outcome": "of maps by outcome, made while the networks ran",
    "detectors": "of single units, made over the whole data set at once",
    "profiles": "of profiles of features, made from embeddings",
    "overlaps": "of features that networks share, made from weights",
    "histograms": "of histograms, whose bins were widened",
    "units": "of the gallery of units, made over the whole data set at once",
    "accounting": "",
}


class Withheld:
    """Says of a row (or of one of its fields) that it is not compared, and counts the rows by reason."""

    def __init__(self, told: Evidence, cases: Cases, parts: Components, groups: Groups, boxes: Boxes) -> None:
        self._told, self._absent = told, set(parts.absent)
        shared: Mapping[str, Any] = told.audit.get("shared") or {}
        train = told.dataset["train"]
        self._uneven: tuple[str, ...] = ()
        if shared.get("classes_withheld"):
            self._uneven = (MACRO, *BY_RARITY)
        elif train and set(train["positives"]) != set(told.dataset["classes"]):
            self._uneven = BY_RARITY
        pairs = {(part.analysis, part.attribution) for part in cases.parts}
        self._columns = {pair: cases.columns(*pair) | boxes.metrics(*pair) for pair in pairs}
        self._images = len({image for split, image in cases.patients if split == "audited"})
        self._groups = groups
        self._families = self._incomplete("comparisons", _family) | self._incomplete("subgroups", _by_group)
        self._curves = int((shared.get("withheld") or {}).get("curves", 0))
        self._counted: set[int] = set()
        self.count: Counter[str] = Counter()

    def __call__(self, table: str, row: Mapping[str, Any], field: str) -> bool:
        if table in ("metrics", "findings", "gates"):
            return False
        if table == "curves" and field == ABSENT and self._curves > 0:
            self._curves -= 1
            self.count[f"withheld ({REASON})"] += 1
            return True
        if why := self._why(table, row):
            if id(row) not in self._counted:
                self._counted.add(id(row))
                self.count[why] += bool(row)
            return True
        if table == "operating" and field == "unknown":
            return bool(self._images != self._told.dataset["images"])
        if table == "subgroups" and field in ("p_adjusted", "verdict"):
            return _by_group(self._told, row) in self._families
        joint = table == "comparisons" and field in ("joint_low", "joint_high", "p_adjusted")
        return joint and _family(self._told, row) in self._families

    def _why(self, table: str, row: Mapping[str, Any]) -> str:
        if table in TABLES:
            return TABLES[table] or "accounting"
        if row.get("missing") == REASON:
            return f"withheld ({REASON})"
        if "by" in row and row["by"] not in self._groups:
            return "by groups that this bundle does not tell image by image"
        name = str(row.get("attribution") or "").partition(":")[0]
        if lost := {str(row.get("analysis")), name} & self._absent:
            return f"of the plugin {min(lost)}, which is not at hand (give --audit AUDIT.yaml)"
        if row.get("strategy") == BASELINE:
            return "of maps that saw no image and of untrained networks, made while the networks ran"
        if row.get("assuming") == ASSUMING:
            return "with one image per patient, chosen by names that a bundle does not hold"
        if not self._rests_on_tables(row):
            return ELSEWHERE
        if row.get("class") in self._uneven:
            return "over classes of which some are withheld"
        return ""

    def _rests_on_tables(self, row: Mapping[str, Any]) -> bool:
        """Whether every column that the number is made of stands in a table."""
        if "metric" not in row:  # curves and operating points are made of the log-odds
            return True
        columns = self._columns.get((row["analysis"], row.get("attribution")), set())
        of = self._told.metrics.get(self._repeating(row), {})
        if of.get("per"):
            return False
        needed = [of.get("of") or row["metric"], of.get("against")]
        return all(name in columns for name in needed if name)

    def _repeating(self, row: Mapping[str, Any]) -> str:
        """The metric that a repeated contrast is really of."""
        if "assuming" in row:
            for name, metric in self._told.metrics.items():
                if (metric["repeats"], metric["assuming"]) == (row["metric"], row["assuming"]):
                    return name
        return str(row["metric"])

    def _incomplete(self, table: str, family: Callable[[Evidence, Mapping[str, Any]], tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """The families of hypotheses of which some member cannot be made again."""
        found = set()
        for row in rows(self._told)[table]:
            if (row["claim"] is not None or row["missing"] == REASON) and self._why(table, row):
                found.add(family(self._told, row))
        return found

    def told(self) -> list[str]:
        """A line per reason, with the number of rows."""
        lines = [
            f"not recomputed: {how_many(count, 'row')} {why}"
            for why, count in sorted(self.count.items())
            if why != "accounting"
        ]
        if self._families:
            lines.append(
                f"not recomputed: joint intervals of {len(self._families):,} of the families of contrasts, which lack a member"
            )
        return [
            *lines,
            "not recomputed: accounting; descriptions of the networks, the machine and the day, the self-test, the data and the authors' own card",
        ]


def _by_group(told: Evidence, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """As subgroups are sorted into families: the declared claims of all attributes together."""
    declared = {(one["by"], name) for one in told.audit["subgroups"] for name in one["primary"]}
    if (row["by"], row["metric"]) in declared and row["class"] == MACRO:
        return ("subgroups",)
    return "subgroups", row["by"], row["metric"], row["analysis"], row["attribution"]


def _family(told: Evidence, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """As `decide` sorts contrasts into families."""
    if row["metric"] in told.audit["claims"]["primary"] and row["class"] in (MACRO, IMAGE):
        return ("primary",)
    return "exploratory", row["analysis"], row["metric"], row["attribution"] or ""
