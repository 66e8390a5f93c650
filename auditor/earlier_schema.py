"""The published shape of `earlier` in results.json: what changed since an earlier audit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .statistics.verdict import Verdict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Fact(_Strict):
    """One thing that was asked otherwise; "" for nothing."""

    topic: str
    name: str
    old: str
    new: str


class NotPaired(_Strict):
    """Images that are not paired, or not in the same way."""

    reason: str = Field(min_length=1)
    images: int = Field(ge=1)


class Changed(_Strict):
    """New minus old of one network, or of the mean of several of a strategy, on the cases that both audits have."""

    who: str
    networks: int = Field(ge=1)
    old: float | None = Field(description="as the earlier audit reports it on all its own cases; null for several networks")
    new: float | None
    metric: str
    analysis: str
    attribution: str | None
    class_name: str = Field(alias="class")
    difference: float
    low: float | None = Field(description="low end of the 95 % interval over patients")
    high: float | None
    n_cases: int = Field(ge=0)
    n_patients: int = Field(ge=0)
    claim: Literal["primary", "exploratory"] | None
    margin: float | None
    p_adjusted: float | None = Field(ge=0, le=1)
    verdict: Verdict | None
    note: str | None
    direction: Literal["better", "worse"] | None


class Unpaired(_Strict):
    """A number as each audit reports it on its own cases; no claim is made of the difference."""

    metric: str
    analysis: str
    attribution: str | None
    model: str
    class_name: str = Field(alias="class")
    old: dict[str, Any] | None = Field(
        description="value, low, high, n, n_patients, missing, note; null where it is not reported"
    )
    new: dict[str, Any] | None


class Concluded(_Strict):
    """Something concluded otherwise: a gate, a finding, a sanity check, a verdict, the self-test; "" where it was not there."""

    kind: str
    what: str
    old: str
    new: str


class Left(_Strict):
    """How many of each kind are not told here; `auditor diff` tells all."""

    warnings: int = Field(ge=0)
    changes: int = Field(ge=0)
    not_estimable: int = Field(ge=0, description="changes that rest on cases that moved, and have no number")
    numbers: int = Field(ge=0)
    concluded: int = Field(ge=0)


class Earlier(_Strict):
    """What changed since the earlier audit that audit.yaml names under report."""

    title: str
    date: str | None = Field(description="the day on which the earlier run folder was begun")
    tool: str
    plan: str | None = Field(description="digest of the earlier audit's plan")
    headline: str
    counted: str
    warnings: list[str]
    question: list[Fact]
    shared_images: int = Field(ge=0)
    shared_classes: int = Field(ge=0)
    not_paired: list[NotPaired]
    changes: list[Changed]
    numbers: list[Unpaired]
    concluded: list[Concluded]
    left: Left


class NoEarlier(_Strict):
    """No earlier audit was named."""
