"""cases/*.boxes.csv: what every map scores with the boxes of the other images of its class, under pseudonyms.

kappa_loc and its kin hold a map against the boxes of other patients. Their numbers can be made again only where these scores are at hand too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..cases import CaseColumn, audited_units
from ..elsewhere import Elsewhere
from ..ledger import Ledger
from .case_tables import FOLDER, file_name, line
from .cells import Cells, few, used
from .pseudonyms import Pseudonyms
from .record import Record

HEADER = ("model", "metric", "class", "image", "scores")
END = ".boxes.csv"
NOTHING = "-"
"""In the place of a score that there is not: boxes outside the frame, or of an image that was not asked for."""


class Boxed(NamedTuple):
    """The images with boxes of a class: their numbers, and which of the scores of a map are theirs."""

    samples: list[int]
    places: list[int]


def boxes_name(analysis: str, attribution: str | None) -> str:
    """The name of the table beside that of the cases.

    >>> boxes_name("alignment", "gradcam")
    'alignment-gradcam.boxes.csv'
    """
    return file_name(CaseColumn("", analysis, attribution, "", [], [], np.zeros(0))).removesuffix(".csv") + END


def write(run: Path, into: Path, record: Record, cells: Cells, pseudonyms: Pseudonyms) -> None:
    """Write every table into `into/cases`: per class a row that names the images whose boxes the scores are of, then a row per map.

    Scores are separated by blanks, in the shortest form that gives the same 32 bits back. What stays at home does so by the rules of
    the other tables.
    """
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    kept = {sample.id for sample in used(record.audited, results["accounting"])}
    classes: Sequence[str] = record.plan["dataset"]["classes"]
    boxed = _boxed(record, classes, kept, cells)
    names = [pseudonyms.image(sample.id) if sample.id in kept else None for sample in record.audited]
    ledger = Ledger(run / "ledger.db")
    try:
        units, _ = audited_units(dict(record.plan), results, ledger)
        failed = ledger.failures()
        tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for unit in units:
            if unit["key"] not in failed:
                tables[boxes_name(unit["analysis"], unit["attribution"])].append(unit)
        for table, of in tables.items():
            found = [(unit["model"], ledger.elsewhere(unit["key"])) for unit in of]
            if any(scores for _, scores in found):
                _write(into / FOLDER / table, found, boxed, classes, names)
    finally:
        ledger.close()


def _boxed(record: Record, classes: Sequence[str], kept: set[str], cells: Cells) -> dict[int, Boxed]:
    """By class, of those that are shared."""
    found = {}
    for target, numbers in enumerate(Elsewhere(record.audited, classes).cases):
        places = [place for place, number in enumerate(numbers) if record.audited[number].id in kept]
        people = {record.audited[numbers[place]].patient for place in places}
        if places and classes[target] not in cells.withheld and not few(len(people)):
            found[target] = Boxed([numbers[place] for place in places], places)
    return found


Names = Sequence[str | None]
"""What stands for each image; None for one that is not used."""
Scores = Mapping[str, Mapping[tuple[int, int], npt.NDArray[np.float32]]]


def _write(
    place: Path, found: Sequence[tuple[str, Scores]], boxed: Mapping[int, Boxed], classes: Sequence[str], names: Names
) -> None:
    with place.open("wb") as file:
        file.write(line(HEADER))
        for target, of in boxed.items():
            file.write(line(["", "", classes[target], "", " ".join(str(names[number]) for number in of.samples)]))
            for model, metrics in found:
                for metric, rows in metrics.items():
                    for image, scores in _of_class(rows, target, of, names):
                        file.write(line([model, metric, classes[target], image, scores]))


def _of_class(
    rows: Mapping[tuple[int, int], npt.NDArray[np.float32]], target: int, of: Boxed, names: Names
) -> Iterator[tuple[str, str]]:
    """(image, its scores) of the maps of a class on images that are used, in order of the pseudonyms."""
    cases = sorted((name, sample) for sample, about in rows if about == target and (name := names[sample]) is not None)
    for image, sample in cases:
        yield image, " ".join(_figure(score) for score in rows[sample, target][of.places])


def _figure(score: np.float32) -> str:
    return NOTHING if np.isnan(score) else np.format_float_positional(score, unique=True, trim="-")
