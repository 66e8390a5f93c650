"""groups.csv of a bundle, read with suspicion like the case tables: the group of every image, by attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import AuditError, among, nearest
from ..evidence import Evidence
from ..share.group_table import FILE
from . import compare
from .case_tables import lines, plain
from .files import LARGEST
from .found import Difference

Groups = dict[str, dict[str, str]]
"""{attribute: {image: its group}}, images of no known group left out."""


def read(bundle: Path, told: Evidence) -> Groups:
    """The table, none where the bundle has none; raises AuditError naming the line and column of what cannot be a group."""
    path = bundle / FILE
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST:
        raise AuditError(f"{path}: found {path.stat().st_size:,} bytes; allowed: at most {LARGEST:,}")
    allowed = {one["by"]: [group["group"] for group in one["groups"]] for one in told.audit.get("subgroups") or ()}
    rows = lines(path)
    header = [plain(cell) for cell in next(rows, (1, []))[1]]
    _check_header(path, header, allowed)
    found: Groups = {by: {} for by in header[1:]}
    seen: set[str] = set()
    for number, row in rows:
        place = f"{path}:{number}"
        if len(row) != len(header):
            raise AuditError(f"{place}: found {len(row)} cells; allowed: {len(header)}, as in the first line")
        image, *groups = (plain(cell) for cell in row)
        if image in seen:
            raise AuditError(f"{place}: found {image} a second time; allowed: each image once")
        seen.add(image)
        for by, group in zip(header[1:], groups, strict=True):
            if group and group not in allowed[by]:
                raise AuditError(f"{place}: {by}: found {group[:60]!r}; allowed: {among(group, [*allowed[by], '(empty)'])}")
            if group:
                found[by][image] = group
    return {by: of for by, of in found.items() if set(of.values()) == set(allowed[by]) or _is_banded(told, by)}


def _is_banded(told: Evidence, by: str) -> bool:
    """Bands are known without any image in them; of other groups one that has no image cannot be made again."""
    return any(one["by"] == by and one["bands"] for one in told.audit.get("subgroups") or ())


def _check_header(path: Path, header: Sequence[str], allowed: Mapping[str, Any]) -> None:
    if header[:1] != ["image"]:
        raise AuditError(f"{path}:1: column 1: found {(header[0] if header else 'nothing')[:60]!r}; allowed: 'image'")
    for by in header[1:]:
        if by not in allowed:
            raise AuditError(
                f"{path}:1: found the column {by[:60]!r}; allowed: an attribute of results.json, audit, subgroups{nearest(by, allowed)}"
            )
    if len(set(header)) < len(header):
        raise AuditError(f"{path}:1: found a column twice; allowed: each attribute once")


def counted(told: Evidence, made: Evidence, known: Sequence[str]) -> Iterator[Difference]:
    """Where the sizes of the groups of these attributes are not those that the images give; what is not shared is not compared."""
    of_made = {one["by"]: one for one in made.audit["subgroups"]}
    for one in told.audit.get("subgroups") or ():
        if one["by"] in known and (other := of_made.get(one["by"])):
            names = [[group["group"] for group in side["groups"]] for side in (one, other)]
            pairs: list[tuple[str, Any, Any]] = [("groups", names[0], names[1]), ("unknown", one["unknown"], other["unknown"])]
            for mine, theirs in zip(one["groups"], other["groups"], strict=False):
                pairs += [(f"{mine['group']}, {what}", mine[what], theirs[what]) for what in ("images", "patients")]
            for what, mine, theirs in pairs:
                if mine is not None and not compare.same(mine, theirs, 0.0):
                    place = f"results.json, audit, subgroups, {one['by']}, {what}"
                    yield Difference(place, f"is {compare.shown(mine)}; from the cases it is {compare.shown(theirs)}")
