"""The audit.yaml, as typed values that know where they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from . import card, kinds, yaml_marks
from .card import Card
from .claims import Claims
from .errors import among
from .gates import Gate
from .groups import Grouping
from .problems import ENOUGH, Places, Problems, from_pydantic, show
from .trained import Trained, expand

__all__ = ["AuditConfig", "Claims", "Draft", "Gate", "Judging", "Problems", "Report", "Use", "draft", "judging", "read"]


T = TypeVar("T", bound="Written")
_IN_A_LIST = re.compile(r"\[\d+\]$")


class Use(BaseModel):
    """One component by name, with its options: `gradcam` or `{use: captum, method: Occlusion}`.

    It is made from what YAML says: `Use.model_validate({"use": "captum", "method": "Occlusion"})`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    use: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"use": value}
        if isinstance(value, dict):
            own = {field.alias or name for name, field in cls.model_fields.items()} - {"options"}
            said = {key: tuple(item) if isinstance(item, list) else item for key, item in value.items() if key in own}
            return {**said, "options": {key: item for key, item in value.items() if key not in own}}
        return value


ATTRIBUTIONS = (Use(use="gradcam"),)
ANALYSES = (Use(use="performance"), Use(use="alignment"), Use(use="dissection"))


class Report(BaseModel):
    """What the report is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    formats: Annotated[tuple[Literal["html", "pdf"], ...], Field(min_length=1)] = ("html", "pdf")
    """What is written: report.html, report.pdf, or both. The PDF needs Pango, the HTML nothing."""
    images: bool = True
    """Whether the report shows images and maps of chosen cases; false leaves numbers, tables and charts."""
    earlier: Annotated[str, Field(min_length=1)] | None = None
    """An earlier audit (its run folder, a bundle of it, or its results.json): the report then says what changed since. No number of this audit rests on it."""


class TrainingImages(BaseModel):
    """Images that the networks were trained on: the audited data set with these options in place of its own, at most `limit`."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many of them are read; all unless given."""

    def instead_of(self, dataset: Use) -> Use:
        """The data set with the options that differ."""
        return Use.model_validate({"use": dataset.use, **dataset.options, **(self.model_extra or {})})


class Written(BaseModel):
    """What a YAML file says, typed, and where each value was written."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    kind: ClassVar[str] = "audit.yaml"
    """Which of `kinds.KINDS` it is."""

    _places: Places = PrivateAttr(default_factory=lambda: Places("audit.yaml"))

    @property
    def file(self) -> Path:
        """The file itself, as the user named it."""
        return Path(self._places.file)

    @property
    def base(self) -> Path:
        """The folder that relative paths start from."""
        return self.file.absolute().parent

    def place(self, path: str) -> str:
        """`audit.yaml:16:12: models[1].layers.attribution`, the opening of an error message."""
        return self._places.place(path)

    def key_place(self, path: str) -> str:
        """The same, pointing at the key rather than at its value."""
        return self._places.key_place(path)


class AuditConfig(Written):
    """One audit: which models, on which data, contrasted with which reference, looked at how."""

    title: Annotated[str, Field(min_length=1)]
    """The heading of the report."""
    dataset: Use
    """The images that are audited: a data set plugin by name, with its options."""
    training_images: TrainingImages | None = None
    """Images that the networks were trained on: options that differ from the data set's, such as `{split: train}`."""
    models: Annotated[tuple[Use, ...], Field(min_length=1)]
    """The networks, each with the strategy that it was trained by; `{from: FOLDER}` takes what `auditor train` wrote there."""
    reference: Annotated[str, Field(min_length=1)]
    """The strategy that every other one is compared with; one of those that the models name."""
    attributions: tuple[Use, ...] = ATTRIBUTIONS
    """How maps are made of where a network looks; [] for none, which a table of scores needs."""
    analyses: Annotated[tuple[Use, ...], Field(min_length=1)] = ANALYSES
    """What is measured."""
    claims: Claims = Claims()
    """Which differences are the question, and how large one may be and still not matter; said before measuring."""
    gates: tuple[Gate, ...] = ()
    """What must hold for exit code 0."""
    subgroups: tuple[Grouping, ...] = ()
    """By which attributes of an image (sex, age, view ...) the numbers are told apart."""
    report: Report = Report()
    """What the report is made of."""
    card: Card = Card()
    """What only a person knows: intended use, sources, annotators; printed "not evidenced" where it is empty."""
    plugins: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Loose .py files beside audit.yaml, or installed distributions; nothing else is loaded. They are code."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything random in the audit itself: random boxes, resampled patients, sign flips."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images of a forward pass; it changes memory and time, and maps in their last digits."""
    max_quarantine: Annotated[float, Field(ge=0, le=1)] = 0.005
    """The share of images that may be unusable before the audit counts as incomplete (exit code 3)."""
    controls: bool = True
    """Whether attributions are put to the test on untrained networks, wrong classes, grey images."""

    _trained: tuple[Trained, ...] = PrivateAttr(default=())

    @property
    def judged_gates(self) -> tuple[Gate, ...]:
        """The gates in full: each with the margin that it takes from the claims where it has none of its own."""
        return tuple(gate.with_margin(self.claims.margins()) for gate in self.gates)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies of the models, each once, in their order."""
        named = (model.options.get("strategy") for model in self.models)
        return tuple(dict.fromkeys(name for name in named if isinstance(name, str)))

    @property
    def earlier(self) -> Path | None:
        """Where the earlier audit lies that the report is compared with, if one is named."""
        return None if self.report.earlier is None else self.base / self.report.earlier

    @property
    def trained(self) -> tuple[Trained, ...]:
        """The folder and model.json of each model, in their order, where `models: {from: FOLDER}` names trained networks; else ()."""
        return self._trained


class Judging(Written):
    """What an audit.yaml says about judging alone, for a run that is finished."""

    model_config = ConfigDict(extra="ignore")

    claims: Claims = Claims()
    gates: tuple[Gate, ...] = ()

    @property
    def judged_gates(self) -> tuple[Gate, ...]:
        """The gates in full: each with the margin that it takes from the claims where it has none of its own."""
        return tuple(gate.with_margin(self.claims.margins()) for gate in self.gates)


class Draft(NamedTuple):
    """An audit.yaml as far as it can be read: `config` is None when the problems stand in its way."""

    config: AuditConfig | None
    data: dict[str, Any]
    places: Places
    problems: Problems


def read(path: Path | str) -> AuditConfig:
    """The audit of a file; raises one ConfigError with a line per mistake, in the order of the file."""
    found = draft(path)
    found.problems.stop()
    assert found.config is not None
    return found.config


def draft(path: Path | str) -> Draft:
    """The same without raising for what can be reported later, together with the mistakes in plugin options."""
    problems = Problems()
    data, places = mapping(path, AuditConfig, problems)
    cards = expand(data, places, problems)
    inner: dict[str, type[BaseModel]] = {
        "claims": Claims,
        "gates": Gate,
        "report": Report,
        "training_images": TrainingImages,
        "subgroups": Grouping,
    }
    inner |= card.groups()
    config = shaped(AuditConfig, inner, data, places, problems)
    if config is not None:
        config._trained = tuple(cards)
    _check_reference(data, places, problems)
    for name in ("attributions", "analyses", "gates", "plugins"):
        _check_twice(data.get(name), name, places, problems)
    claims = data.get("claims")
    _check_twice(claims.get("primary") if isinstance(claims, dict) else None, "claims.primary", places, problems)
    return Draft(None if len(problems) else config, data, places, problems)


def judging(path: Path | str) -> Judging:
    """The claims and gates of an audit.yaml, whatever else it says; raises one ConfigError with every mistake in them."""
    problems = Problems()
    data, places = mapping(path, AuditConfig, problems)
    found = shaped(Judging, {"claims": Claims, "gates": Gate}, data, places, problems)
    _check_twice(data.get("gates"), "gates", places, problems)
    problems.stop()
    assert found is not None
    return found


def mapping(path: Path | str, shape: type[Written], problems: Problems) -> tuple[dict[str, Any], Places]:
    """The mapping that a YAML file is, and where its values stand; raises ConfigError if it is none, or another kind of file."""
    data, places = yaml_marks.read(Path(path), problems)
    if why := kinds.refusal(data, shape.kind, path):
        problems.add(f"{places.place('')}: {why}")
        problems.stop()
    return data, places


def shaped(
    shape: type[T], inner: Mapping[str, type[BaseModel]], data: dict[str, Any], places: Places, problems: Problems
) -> T | None:
    """The data as typed values, or None after adding what is wrong; `inner` are the mappings that the top level holds."""
    try:
        config = shape.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        _explain(error, {"": shape, **inner}, data, places, problems)
        return None
    config._places = places
    return config


def _explain(
    error: ValidationError, shapes: Mapping[str, type[BaseModel]], data: dict[str, Any], places: Places, problems: Problems
) -> None:
    known = {path: _keys(shape) for path, shape in shapes.items()}
    earlier = problems.lines()[:ENOUGH]
    for path, message in from_pydantic(error.errors(include_url=False)[:ENOUGH], data, known[""], "key").items():
        holder, _, name = path.rpartition(".")
        holder = _IN_A_LIST.sub("", holder)
        if message == "unknown key" and holder in known:
            message = f"unknown key; allowed: {among(name, known[holder])}"
        elif message == "is missing" and name == "use":
            message = "is missing; allowed: the name of a plugin, as in {use: name, option: value}"
        elif message == "is missing" and holder in shapes and (choices := _choices(shapes[holder], name)):
            message = f"is missing; allowed: {', '.join(choices)}"
        place = places.key_place(path) if message.startswith("unknown key") else places.place(path)
        if not any(line.startswith(f"{place}: ") for line in earlier):
            problems.add(f"{place}: {message}")


def _choices(shape: type[BaseModel], name: str) -> tuple[str, ...]:
    """The words that a key can be, where it can be nothing else."""
    kind = shape.model_fields[name].annotation
    return get_args(kind) if get_origin(kind) is Literal else ()


def _keys(shape: type[BaseModel]) -> list[str]:
    """The keys of a mapping, as they are written."""
    return [field.alias or name for name, field in shape.model_fields.items()]


def _check_reference(data: dict[str, Any], places: Places, problems: Problems) -> None:
    models = data.get("models")
    written = [m.get("strategy") for m in models if isinstance(m, dict)] if isinstance(models, list) else []
    strategies = list(dict.fromkeys(s for s in written if isinstance(s, str)))
    reference = data.get("reference")
    if isinstance(reference, str) and reference and strategies and reference not in strategies:
        allowed = f"a strategy of the models: {among(reference, strategies)}"
        problems.add(f"{places.place('reference')}: found {show(reference)}; allowed: {allowed}")


def _check_twice(values: Any, name: str, places: Places, problems: Problems) -> None:
    seen: dict[str, int] = {}
    for number, value in enumerate(values if isinstance(values, list) else []):
        options = {"use": value} if isinstance(value, str) else value
        first = seen.setdefault(json.dumps(options, sort_keys=True), number)
        if first != number:
            problems.add(f"{places.place(f'{name}[{number}]')}: found the same as {name}[{first}]; allowed: once")
