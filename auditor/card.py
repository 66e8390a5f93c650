"""What only a person knows of a system and its data, said under `card:` in audit.yaml; nothing in it is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from typing_extensions import TypeAliasType

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Said = TypeAliasType("Said", Text | Annotated[tuple[Short, ...], Field(min_length=1, max_length=20)] | None)
"""A text of at most 2,000 characters, or a list of at most 20 short ones; nothing means that it is not evidenced."""


def _field(description: str) -> Any:
    return Field(default=None, description=description)


class _Group(BaseModel):
    """Fields of the card that stand in one section of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class System(_Group):
    """The system that the networks belong to."""

    name: Said = _field("what the device or model is called")
    version: Said = _field("its version")
    owner: Said = _field("who is responsible for it")
    status: Said = _field("what it is at present: research, prototype, cleared device ...")
    intended_use: Said = _field("what it is meant for")
    users: Said = _field("who is meant to use it")
    out_of_scope: Said = _field("what it must not be used for")


class Material(_Group):
    """Where the images come from."""

    source: Said = _field("where the images come from")
    sites: Said = _field("hospitals, scanners, countries")
    dates: Said = _field("when they were taken")
    inclusion: Said = _field("which patients and images were taken in and which were not")
    deidentification: Said = _field("how patients were made unrecognisable")


class ReferenceStandard(_Group):
    """Where labels and boxes come from."""

    annotators: Said = _field("who labelled, and how many of them")
    expertise: Said = _field("their profession and experience")
    agreement: Said = _field("how well they agree, and how that was measured")
    box_origin: Said = _field("who drew the boxes or masks, on which images and why those")


class Training(_Group):
    """What a person decided in training."""

    why_imbalance: Said = _field("why class imbalance was handled, and why by these methods")


class Failures(_Group):
    """What a clinician says of the cases in which the networks are wrong."""

    clinical_comment: Said = _field("a clinician's reading of the wrong cases in the report")


class Risk(_Group):
    """What can go wrong in use."""

    unintended_outcomes: Said = _field("foreseeable unintended outcomes")
    level: Said = _field("how severe they are, and by which scale")


class Oversight(_Group):
    """How people are to work with the maps."""

    reading_maps: Said = _field("how a clinician should read a map")
    not_reading_maps: Said = _field("how a clinician should not read a map")


class Upkeep(_Group):
    """What happens after this audit."""

    monitoring: Said = _field("how the system is watched in use")
    updates: Said = _field("when and how it is changed, and what is audited again")


class Card(_Group):
    """What only a person knows. Every field may be left out; the report then prints "not evidenced" in its place."""

    system: System = System()
    data: Material = Material()
    reference_standard: ReferenceStandard = ReferenceStandard()
    training: Training = Training()
    failures: Failures = Failures()
    risk: Risk = Risk()
    oversight: Oversight = Oversight()
    upkeep: Upkeep = Upkeep()
    signers: Said = _field("who signs this audit: name and role")


def groups() -> dict[str, type[BaseModel]]:
    """{place in audit.yaml: its shape}, the card itself among them."""
    found: dict[str, type[BaseModel]] = {"card": Card}
    for name, field in Card.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[f"card.{name}"] = field.annotation
    return found


def fields() -> tuple[str, ...]:
    """The dotted name of every field, in order: `system.name`, ..., `signers`."""
    return tuple(name for name, _ in _flat(Card().model_dump()))


def filled(card: Mapping[str, Any]) -> frozenset[str]:
    """The dotted names of the fields in which something was said; `card` as results.json has it."""
    return frozenset(name for name, said in _flat(card) if said)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
