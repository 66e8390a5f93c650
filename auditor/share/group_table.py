"""groups.csv: the group of every audited image under its pseudonym, as far as that makes nobody known."""

from __future__ import annotations

from pathlib import Path

from .by_group import ByGroup, any_few, joint_cells
from .case_tables import line
from .cells import Cells
from .pseudonyms import Pseudonyms
from .record import Record

FILE = "groups.csv"


def columns(by_group: ByGroup, record: Record, cells: Cells) -> list[str]:
    """The attributes that can be told image by image, in their order in audit.yaml.

    Together with those before it an attribute must leave nobody in a cell of fewer than 5 patients: no combination of groups and a
    label of a shared class, and no set of combinations that one patient's images fall into.
    """
    places = [place for place, name in enumerate(record.plan["dataset"]["classes"]) if name not in cells.withheld]
    found: list[str] = []
    for by in by_group.attributes:
        if by not in by_group.small and not any_few(joint_cells(by_group.audited, [*found, by], places)):
            found.append(by)
    return found


def write(into: Path, by_group: ByGroup, attributes: list[str], pseudonyms: Pseudonyms) -> None:
    """Write `image` and a column per attribute, empty where the group is not known, in order of the pseudonyms; nothing for none."""
    if not attributes:
        return
    rows = sorted(
        [pseudonyms.image(sample.id), *(sample.metadata.get(by, "") for by in attributes)] for sample in by_group.audited
    )
    (into / FILE).write_bytes(b"".join(line(row) for row in [["image", *attributes], *rows]))
