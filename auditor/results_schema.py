"""The published shape of results.json: `python -m auditor.results_schema > docs/results.schema.json`."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .card import Card
from .earlier_schema import Earlier, NoEarlier
from .gates import Claim
from .sanity import Check, Outcome
from .statistics.verdict import Verdict

SCHEMA_ID = "auditor/results.schema.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class _SummaryRow(_Strict):
    metric: str
    analysis: str
    attribution: str | None
    model: str
    strategy: str
    class_name: str = Field(alias="class", description="a class, or (macro), (head), (medium), (tail), (image), (model)")
    n: int = Field(ge=0)
    low: float | None = Field(default=None, description="low end of the 95 % interval over patients")
    high: float | None = None
    n_patients: int | None = Field(default=None, ge=0)
    note: str | None = None


class Estimated(_SummaryRow):
    """A number of one model for one class."""

    value: float
    missing: None


class NotEstimated(_SummaryRow):
    """A number that could not be had, and why."""

    value: None
    missing: str = Field(min_length=1)


class CurveRow(_Strict):
    """Predicted against observed frequency of one model, all classes pooled, bin by bin."""

    analysis: str
    model: str
    strategy: str
    after: Literal["", "temperature", "prior_shift"]
    predicted: list[float]
    observed: list[float]
    n: list[int]
    fitted_on: int = Field(ge=0, description="patients that the recalibration was fitted on")
    measured_on: int = Field(ge=0, description="the other patients")


class DetectorRow(_Strict):
    """A unit of one model that detects a class."""

    analysis: str
    model: str
    strategy: str
    unit: int = Field(ge=0, description="channel of the audited layer, from 0")
    class_name: str = Field(alias="class")
    iou: float = Field(ge=0, le=1, description="with the boxes of the class over the data set")
    p: float = Field(ge=0, le=1, description="adjusted for all units and classes of the model")


class UnitImageRow(_Strict):
    """An image that a channel responds to most."""

    case: str = Field(min_length=1, description="as the pictures call it")
    id: str
    value: float = Field(description="the channel's highest value in the image")
    threshold: float = Field(description="above which the channel is active")
    in_box: bool | None = Field(description="whether the highest value lies in a box of the class; null without such a box")


class UnitClassRow(_Strict):
    """How many of a channel's top images, and of all annotated images, show a class."""

    class_name: str = Field(alias="class")
    shown: int = Field(ge=0)
    of_top: int = Field(ge=0)
    shown_by_all: int = Field(ge=0)
    of_all: int = Field(ge=0)


class UnitRow(_Strict):
    """A channel of one network with the images that it responds to most, chosen by the printed rule."""

    analysis: str
    model: str
    strategy: str
    unit: int = Field(ge=0, description="channel of the audited layer, from 0")
    class_name: str = Field(alias="class", description="the finding whose boxes its active places overlap most")
    iou: float = Field(ge=0, le=1)
    n: int = Field(ge=0, description="boxed cases of the class")
    n_patients: int = Field(ge=0)
    tops: int = Field(ge=0, description="top images that `fires` is counted on, one per patient")
    images: list[UnitImageRow]
    fires: list[UnitClassRow]


class SubgroupNumber(_Strict):
    """A number by group: a level, a difference to the others, or a difference of such differences between strategies."""

    by: str
    group: str
    against: str | None = Field(description="null: a level; else the other group, or all others")
    metric: str
    analysis: str
    attribution: str | None
    family: str
    strategy: str
    reference: str | None = Field(description="the reference, where differences of two strategies are held against each other")
    class_name: str = Field(alias="class", description="a class, or (macro)")
    value: float | None
    missing: str | None = Field(description="why there is no value")
    n_cases: int = Field(ge=0)
    n_positives: int | None = Field(ge=0)
    n_patients: int = Field(ge=0)
    low: float | None
    high: float | None
    note: str | None
    about: Literal["networks", "strategies"]
    p: float | None = Field(ge=0, le=1)
    p_adjusted: float | None = Field(ge=0, le=1, description="by Holm within its family")
    claim: Literal["primary", "exploratory"] | None
    margin: float | None
    smallest_margin: float | None
    verdict: Verdict | None


class OperatingPointRow(_Strict):
    """The threshold of one network for one class, and the outcomes counted at it.

    Where there is a threshold, the four outcomes, `apart` and `unknown` add up to the images used.
    """

    model: str
    strategy: str
    class_name: str = Field(alias="class")
    asked: float = Field(gt=0, lt=1, description="the specificity that the threshold is taken at")
    threshold: float | None = Field(description="log-odds; an image is called positive above it")
    missing: str | None
    true_positives: int = Field(ge=0)
    false_negatives: int = Field(ge=0)
    false_positives: int = Field(ge=0)
    true_negatives: int = Field(ge=0)
    apart: int = Field(ge=0, description="images of patients that only choose the threshold")
    unknown: int = Field(ge=0, description="images without a label")
    chosen_on: int = Field(ge=0, description="negatives that the threshold is taken on")
    chosen_on_patients: int = Field(ge=0)


class _OutcomeRow(_Strict):
    metric: str
    attribution: str
    model: str
    strategy: str
    class_name: str = Field(alias="class")
    outcome: Literal["TP", "FN", "FP", "TN", "confident TP"]
    n: int = Field(ge=0)
    low: float | None
    high: float | None
    n_patients: int | None = Field(ge=0)
    note: str | None


class OfOutcome(_OutcomeRow):
    """A number of one network's maps over the cases of one outcome."""

    value: float
    missing: None


class NotOfOutcome(_OutcomeRow):
    """Such a number that could not be had, and why."""

    value: None
    missing: str = Field(min_length=1)


class HistogramRow(_Strict):
    """Margins of one class and label value on both splits, counted in shared bins from `low` to `high`."""

    analysis: str
    metric: str
    model: str
    strategy: str
    class_name: str = Field(alias="class")
    low: float
    high: float
    audited: list[int]
    training: list[int]


class ProfileRow(_Strict):
    """The features that carry one class in one network, and how its images lie among the others."""

    analysis: str
    model: str
    strategy: str
    class_name: str = Field(alias="class")
    chosen_on: Literal["training", "audited"]
    n_audited: int = Field(ge=0)
    n_training: int | None = Field(ge=0)
    features: list[int] = Field(description="numbers of the features with the most evidence for the class, strongest first")
    magnitude_audited: list[float] | None
    magnitude_training: list[float] | None
    retained: list[list[float] | None] | None = Field(description="audited over training, with the ends of its 95 % interval")
    frequency: list[float] | None = Field(description="how often each was needed where the finding was recognised")
    frequent: int | None = Field(ge=0)
    ever: int | None = Field(ge=0)
    share_of_all: float | None
    share_of_positive: float | None
    activations: list[int]
    activation_shares: list[float]
    density_of: str
    density: list[float | None]
    density_counts: list[list[int]]
    rank_audited: float | None
    rank_of_any: float | None
    rank_training: float | None
    rank_n: int = Field(ge=0)
    adversaries: dict[str, float]


class OverlapRow(_Strict):
    """How many of a class's strongest features two networks share, and how far its weights lie apart."""

    analysis: str
    model: str
    strategy: str
    base: str
    class_name: str = Field(alias="class")
    shared: float = Field(ge=0, le=1)
    chance: float = Field(ge=0, le=1)
    weight_change: float | None = Field(ge=0)
    k: int = Field(ge=1)


class _ComparisonRow(_Strict):
    metric: str
    analysis: str
    attribution: str | None
    class_name: str = Field(alias="class")
    family: str
    strategy: str
    reference: str
    low: float | None
    high: float | None
    n_cases: int = Field(ge=0)
    n_patients: int = Field(ge=0)
    note: str | None
    about: Literal["networks", "strategies"]
    claim: Literal["primary", "exploratory"] | None
    p: float | None = Field(ge=0, le=1, description="two-sided, of no difference")
    p_adjusted: float | None = Field(ge=0, le=1, description="by Holm if primary, by Benjamini and Hochberg if exploratory")
    joint_low: float | None = Field(description="low end of the interval that holds together with its family's")
    joint_high: float | None
    margin: float | None = Field(gt=0, description="the largest difference that audit.yaml calls negligible")
    smallest_margin: float | None = Field(ge=0, description="the smallest for which these data could have shown equivalence")
    verdict: Verdict | None


class Contrast(_ComparisonRow):
    """A strategy minus the reference, with a 95 % interval where there is one."""

    difference: float
    missing: None


class NoContrast(_ComparisonRow):
    """A contrast that could not be had, and why."""

    difference: None
    missing: str = Field(min_length=1)


class RepeatRow(_Strict):
    """A contrast repeated under a changed assumption; it carries no verdict. `difference` is null exactly when `missing` says why."""

    metric: str = Field(description="of the main contrast")
    analysis: str
    attribution: str | None
    class_name: str = Field(alias="class")
    family: str
    strategy: str
    reference: str
    assuming: str = Field(min_length=1, description="what is otherwise")
    difference: float | None
    low: float | None
    high: float | None
    n_cases: int = Field(ge=0)
    n_patients: int = Field(ge=0)
    missing: str | None
    note: str | None


class FindingRow(_Strict):
    """One judged sentence."""

    kind: Literal["alarm", "caution", "result", "note"]
    text: str
    metric: str | None
    strategy: str | None
    class_name: str | None = Field(alias="class")


class GapRow(_Strict):
    """Something that was asked for and could not be measured."""

    model: str
    analysis: str
    attribution: str | None
    class_name: str | None = Field(alias="class")
    reason: str
    n: int = Field(ge=0)


class _GateRow(_Strict):
    gate: int = Field(ge=1, description="its place in audit.yaml")
    metric: str
    claim: Claim
    tier: Literal["blocking", "advisory"]
    better: Literal["higher", "lower"]
    class_name: str = Field(alias="class")
    attribution: str | None
    family: str
    strategy: str
    reference: str | None = Field(description="of a contrast; null where the number of a network is judged")
    model: str | None
    low: float | None = Field(description="low end of the 95 % interval that the bound is held against")
    high: float | None
    bound: float = Field(description="what low, or high where lower is better, must reach; 0 for not_shown_worse")
    sentence: str = Field(min_length=1)
    reliable: bool = Field(description="false where no claim may rest on the interval; note says why")
    note: str | None


class GateJudged(_GateRow):
    """One gate on one number."""

    estimate: float
    missing: None
    outcome: Literal["passed", "failed", "inconclusive"]


class GateNotEvaluated(_GateRow):
    """A gate that had nothing to evaluate, and why."""

    estimate: None
    missing: str = Field(min_length=1)
    outcome: Literal["not evaluated"]


class QuarantinedRow(BaseModel):
    """An image that could not be used."""

    model_config = ConfigDict(extra="allow")

    id: str
    reason: str
    detail: str | None = None


class CopiesCounted(_Strict):
    """Groups of images that are one film; null where a shared copy has too few patients in them."""

    groups: int | None = Field(ge=0)
    exact: int | None = Field(
        ge=0, description="audited images that are, pixel for pixel, another across what the group crosses"
    )
    near: int | None = Field(ge=0, description="the other audited images of these groups")
    patients: int | None = Field(ge=0)


class CopiedImage(_Strict):
    """An image of a group."""

    id: str
    patient: str
    split: Literal["audited", "training"]


class CopiesGroup(_Strict):
    """Images that are one film."""

    crosses: Literal["training", "patients", "nothing"]
    exact: int = Field(ge=0)
    alike: float = Field(description="lowest correlation that holds the group together; 1 where all pixels are equal")
    images: list[CopiedImage]


class CopiesFound(_Strict):
    """Audited images compared with each other, and with the training images if there are any."""

    compared: dict[Literal["audited", "training"], int | None]
    alike: float = Field(description="correlation of local contrast from which images of two patients are one film")
    counts: dict[Literal["training", "patients", "nothing"], CopiesCounted]
    groups: list[CopiesGroup] = Field(description="the first groups; counts has all")


class CopiesNotSought(_Strict):
    """Why images were not compared."""

    missing: str = Field(min_length=1)


class Accounting(BaseModel):
    """listed = used + quarantined, for images; boxes are counted beside them."""

    model_config = ConfigDict(extra="allow")

    listed: int = Field(ge=0)
    used: int = Field(ge=0)
    quarantined: list[QuarantinedRow]
    boxes: dict[str, Any]
    copies: CopiesFound | CopiesNotSought | None = None


class ControlRow(_Strict):
    """A sanity check of an explanation method on one network; `says` is one sentence, whatever the outcome."""

    model: str
    strategy: str
    family: str
    attribution: str
    check: Check
    outcome: Outcome
    says: str = Field(min_length=1)
    numbers: dict[str, float | None]
    n: int = Field(ge=0, description="cases, or maps that were probed")


class SelfTest(_Strict):
    """The audit's own path tried on planted truth before anything was measured; `failed` says what came out wrong."""

    passed: int = Field(ge=0)
    of: int = Field(ge=1)
    failed: list[str]


class NotTaken(_Strict):
    """No self-test was taken."""


class AuditFacts(BaseModel):
    """What audit.yaml asked for, and what it says under `card:`."""

    model_config = ConfigDict(extra="allow")

    card: Card = Card()


class Results(_Strict):
    """Everything the audit found; no number is NaN, and a missing one always says why."""

    model_config = ConfigDict(title="results.json of auditor")

    schema_version: Literal[1]
    audit: AuditFacts
    dataset: dict[str, Any]
    models: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    summaries: list[Estimated | NotEstimated]
    comparisons: list[Contrast | NoContrast]
    curves: list[CurveRow] = []
    histograms: list[HistogramRow] = []
    profiles: list[ProfileRow] = []
    overlaps: list[OverlapRow] = []
    detectors: list[DetectorRow] = []
    units: list[UnitRow] = []
    subgroups: list[SubgroupNumber] = []
    controls: list[ControlRow] = []
    repeated: list[RepeatRow] = []
    operating: list[OperatingPointRow] = []
    by_outcome: list[OfOutcome | NotOfOutcome] = []
    findings: list[FindingRow]
    gaps: list[GapRow]
    gates: list[GateJudged | GateNotEvaluated] = []
    accounting: Accounting
    environment: dict[str, Any]
    self_test: SelfTest | NotTaken = NotTaken()
    earlier: Earlier | NoEarlier = NoEarlier()


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of results.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **Results.model_json_schema(by_alias=True),
    }


def text() -> str:
    """The schema as it is published in docs/."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(text())
