"""Results by group without groups of too few patients, and without what would give their size back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import cases
from ..dataset import Sample
from ..evidence import Evidence
from ..statistics.rows import MACRO
from ..statistics.subgroups import RANKED, SubgroupRow
from .cells import LABELS, REASON, Cells, few, used
from .record import Record

UNNAMED = "group not shared"
"""What a group of too few patients is called: its name may be theirs."""
Key = tuple[Any, ...]


class ByGroup:
    """The declared subgroups of a run; `small` are the attributes with a group of too few patients, or too few of no known group.

    All counts of such an attribute stay at home: the others and the total would give the small one back.
    """

    def __init__(self, run: Path, record: Record, evidence: Evidence, cells: Cells) -> None:
        self._evidence, self._cells = evidence, cells
        self._told: Sequence[Mapping[str, Any]] = evidence.audit.get("subgroups") or ()
        self.audited = used(record.audited, evidence.accounting)
        self._training = used(record.training, evidence.accounting.get("training_images") or {"quarantined": ()})
        self._sample = {sample.id: sample for sample in self.audited}
        self._known = _measured(run, evidence) if evidence.subgroups else {}
        self._bands = {told["by"] for told in self._told if told["bands"]}
        self.small = {by for by in self.attributes if any_few(patients_of(self.audited, by).values())}

    @property
    def attributes(self) -> list[str]:
        """What audit.yaml tells results apart by."""
        return [told["by"] for told in self._told]

    def declared(self) -> list[dict[str, Any]]:
        """What each attribute splits the images into; None for a count that is not shared."""
        found = []
        for told in self._told:
            hidden = told["by"] in self.small
            alone = hidden or any_few(_crossing(patients_of(self.audited, told["by"])))
            groups = [
                {
                    "group": self._name(told["by"], group["group"]),
                    "images": None if hidden else group["images"],
                    "patients": None if alone else group["patients"],
                }
                for group in told["groups"]
            ]
            found.append({**told, "groups": groups, "unknown": None if hidden else told["unknown"]})
        return found

    def rows(self) -> tuple[SubgroupRow, ...]:
        """Every number by group, those that are withheld with the reason in its place."""
        rows = self._evidence.subgroups
        small = {number for number, row in enumerate(rows) if self._is_small(row)}
        families: dict[Key, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            families[_family(row)].append(number)
        for members in families.values():
            lost = [number for number in members if number in small and _counts_in_mean(rows[number])]
            if len(lost) == 1:  # the mean less the other classes would give it back
                small |= {number for number in members if rows[number].class_name == MACRO}
        return tuple(self._shared(row, number in small) for number, row in enumerate(rows))

    def described(self) -> tuple[dict[str, dict[str, Any]], int]:
        """({partition: {attribute: images by group}} of the declared attributes, how many others stay at home)."""
        told = self._evidence.dataset.get("described") or {}
        found: dict[str, dict[str, Any]] = {}
        for partition, of_key in told.items():
            found[partition] = {by: self._counted(partition, by) for by in self.attributes if by in of_key}
        return found, sum(len(of_key) for of_key in told.values()) - sum(len(of_key) for of_key in found.values())

    def _counted(self, partition: str, by: str) -> dict[str, Any]:
        samples, hidden = self.audited, by in self.small
        if partition != "audited":
            samples, others = self._training, {sample.id for sample in self.audited}
            mine = {sample.id for sample in samples}
            parts = [samples]
            if others & mine:  # the one less the other would be a count too
                parts += [[s for s in samples if s.id in others], [s for s in samples if s.id not in others]]
                parts += [[s for s in self.audited if s.id not in mine]]
            hidden = any(any_few(patients_of(part, by).values()) for part in parts)
        if hidden:
            return {"known": None, "missing": REASON}
        groups = [group for sample in samples if (group := sample.metadata.get(by))]
        return {"known": len(groups), "counts": {group: groups.count(group) for group in sorted(set(groups))}}

    def _is_small(self, row: SubgroupRow) -> bool:
        """Whether a cell behind a number is too small: of any group, since the others and the total give it back."""
        if row.by in self.small or row.class_name in self._cells.withheld:
            return True
        if row.class_name == MACRO:
            return row.against is not None and any_few(_crossing(patients_of(self._of_mean(row), row.by)))
        samples = self._of_class(row, row.class_name)
        parts = [samples]
        if self._evidence.metrics.get(row.metric, {}).get("statistic") in RANKED:
            place = list(self._evidence.dataset["classes"]).index(row.class_name)
            parts += [[sample for sample in samples if sample.labels[place] == label] for label in (1, 0)]
        if any(any_few(patients_of(part, row.by).values()) for part in parts):
            return True
        return row.against is not None and any_few(_crossing(patients_of(samples, row.by)))

    def _of_class(self, row: SubgroupRow, name: str) -> list[Sample]:
        """The samples that every network of a row has a value for."""
        models = [
            str(model["id"])
            for model in self._evidence.models
            if model["family"] == row.family and model["strategy"] in (row.strategy, row.reference)
        ]
        column = str(self._evidence.metrics.get(row.metric, {}).get("of") or row.metric)
        about = (row.analysis, row.attribution, column)
        found = [self._known[model, *about][name] for model in models if (model, *about) in self._known]
        return [self._sample[sample] for sample in sorted(set.intersection(*found))] if found else []

    def _of_mean(self, row: SubgroupRow) -> list[Sample]:
        """The samples of all classes of which a mean over the classes is made."""
        told = [one for one in self._evidence.subgroups if _family(one) == _family(row) and _counts_in_mean(one)]
        return list({sample.id: sample for one in told for sample in self._of_class(one, one.class_name)}.values())

    def _shared(self, row: SubgroupRow, withheld: bool) -> SubgroupRow:
        against = None if row.against is None else self._name(row.by, row.against)
        row = replace(row, group=self._name(row.by, row.group), against=against)
        if not withheld:
            return row
        return replace(
            row, value=None, missing=REASON, n_cases=0, n_positives=None, n_patients=0, low=None, high=None, note=None, p=None,
            p_adjusted=None, claim=None, margin=None, smallest_margin=None, verdict=None,
        )  # fmt: skip

    def _name(self, by: str, group: str) -> str:
        """A group by its name, unless so few patients are in it that the name may be theirs; a band is audit.yaml's own words."""
        patients = patients_of(self.audited, by)
        if by in self._bands or group not in patients or not few(len(patients[group])):
            return group
        small = sorted(name for name, who in patients.items() if name and few(len(who)))
        return UNNAMED if len(small) == 1 else f"{UNNAMED} ({small.index(group) + 1})"


def patients_of(samples: Iterable[Sample], by: str) -> dict[str, set[str]]:
    """{group: its patients}, those of no known group under ""."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        found[sample.metadata.get(by, "")].add(sample.patient)
    return found


def any_few(cells: Iterable[Collection[str]]) -> bool:
    """Whether any of these sets of patients is too small to be told."""
    return any(few(len(who)) for who in cells)


def _crossing(groups: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """The patients that a group shares with the others: two groups less their union would tell how many."""
    for name, who in groups.items():
        others: set[str] = set().union(*(rest for other, rest in groups.items() if other != name))
        yield who & others


def joint_cells(samples: Iterable[Sample], attributes: Sequence[str], classes: Sequence[int]) -> Iterator[set[str]]:
    """The patients of every combination of groups with every label of these classes (by number), and those whose images fall alike."""
    found: dict[Key, set[str]] = defaultdict(set)
    own: dict[str, set[Key]] = defaultdict(set)
    for sample in samples:
        combined = tuple(sample.metadata.get(by, "") for by in attributes)
        own[sample.patient].add(combined)
        for number in classes:
            found[combined, number, LABELS[sample.labels[number]]].add(sample.patient)
    for patient, combinations in own.items():
        found[("patients", frozenset(combinations))].add(patient)
    yield from found.values()


def _family(row: SubgroupRow) -> Key:
    return (row.by, row.group, row.against, row.metric, row.analysis, row.attribution, row.family, row.strategy, row.reference)


def _counts_in_mean(row: SubgroupRow) -> bool:
    return row.value is not None and row.class_name != MACRO


def _measured(run: Path, evidence: Evidence) -> dict[tuple[str, str, str | None, str], dict[str, set[str]]]:
    """{network, analysis, attribution, column: {class: the samples with a value}} of the columns that numbers by group rest on."""
    wanted = {
        (row.analysis, row.attribution, str(evidence.metrics[row.metric].get("of") or row.metric)) for row in evidence.subgroups
    }
    found: dict[tuple[str, str, str | None, str], dict[str, set[str]]] = {}
    for column in cases.columns(run):
        about = (column.analysis, column.attribution, column.metric)
        if column.split == "audited" and about in wanted:
            of_class = found.setdefault((column.model, *about), defaultdict(set))
            for sample, name, value in zip(column.samples, column.classes, column.values.tolist(), strict=True):
                if value == value:
                    of_class[name].add(sample)
    return found
