"""Reporting checklists, paraphrased: which section speaks to which item, and whether this audit evidences it.

An audit evidences items; it certifies nothing. Each file in `checklists/` names the original, which governs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from . import card, yaml_marks
from .errors import among
from .evidenced import FACTS, holds
from .problems import Problems, from_pydantic, show

if TYPE_CHECKING:
    from .evidence import Evidence

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Status = Literal["evidenced", "not evidenced", "not applicable"]
CARD = {name: f"card.{name}" for name in card.fields()}


class Item(BaseModel):
    """One item: evidenced if every card field and every fact that it names is there; `missing` or `not_applicable` say why never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: Text
    asks: Text
    sections: tuple[Text, ...] = ()
    card: tuple[Text, ...] = ()
    evidence: tuple[Text, ...] = ()
    missing: Text | None = None
    not_applicable: Text | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Item:
        ways = [bool(self.card or self.evidence), self.missing is not None, self.not_applicable is not None]
        if sum(ways) != 1:
            raise ValueError("found no rule or several; allowed: card and evidence, or missing, or not_applicable")
        if ways[0] and not self.sections:
            raise ValueError("found a rule without sections; allowed: the sections in which it is evidenced")
        return self


class Checklist(BaseModel):
    """A version of a checklist in our words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    version: Text
    year: Annotated[int, Field(ge=1990, le=2100)]
    source: Text
    note: Text
    items: Annotated[tuple[Item, ...], Field(min_length=1)]


class Answer(NamedTuple):
    """Where an item stands: its status, and what is there and what is lacking, in words."""

    item: Item
    status: Status
    there: tuple[str, ...]
    lacking: tuple[str, ...]
    why: str


def shipped() -> list[Checklist]:
    """The checklists of this version, in order of their files."""
    folder = Path(str(files("auditor"))) / "checklists"
    return [read(path) for path in sorted(folder.glob("*.yaml"))]


def read(path: Path) -> Checklist:
    """A checklist file; raises one ConfigError with a line per mistake: unknown keys, unknown facts, unknown card fields, items twice."""
    problems = Problems()
    data, places = yaml_marks.read(path, problems)
    try:
        found = Checklist.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        for at, message in from_pydantic(error.errors(include_url=False), data, tuple(Checklist.model_fields), "key").items():
            problems.add(f"{places.place(at)}: {message}")
        problems.stop()
        raise
    seen: dict[tuple[str, str], int] = {}
    for number, item in enumerate(found.items):
        for key, names, allowed in (("card", item.card, tuple(CARD)), ("evidence", item.evidence, tuple(FACTS))):
            for place, name in enumerate(names):
                if name not in allowed:
                    hint = f"; allowed: {among(name, allowed)}"
                    problems.add(f"{places.place(f'items[{number}].{key}[{place}]')}: found {show(name)}{hint}")
        first = seen.setdefault((item.item, item.asks), number)
        if first != number:
            problems.add(f"{places.place(f'items[{number}]')}: found the same as items[{first}]; allowed: once")
    problems.stop()
    return found


def answer(item: Item, evidence: Evidence) -> Answer:
    """The status of an item in this audit."""
    if item.not_applicable is not None:
        return Answer(item, "not applicable", (), (), item.not_applicable)
    if item.missing is not None:
        return Answer(item, "not evidenced", (), (), item.missing)
    filled = card.filled(_card_of(evidence))
    known = {CARD[name]: name in filled for name in item.card}
    known |= {FACTS[name][0]: holds(name, evidence) for name in item.evidence}
    there, lacking = (tuple(words for words, has in known.items() if has is wanted) for wanted in (True, False))
    return Answer(item, "not evidenced" if lacking else "evidenced", there, lacking, "")


def _card_of(evidence: Evidence) -> Mapping[str, Any]:
    return evidence.audit.get("card") or {}


def answers(checklist: Checklist, evidence: Evidence) -> list[Answer]:
    """The status of every item, in the checklist's order."""
    return [answer(item, evidence) for item in checklist.items]
