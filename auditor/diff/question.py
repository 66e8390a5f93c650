"""Whether two audits ask the same question: what differs in data, networks, options and tools, each as a fact with both sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..evidence import Evidence
from .matched import Matched
from .side import Side, Work

ONLY_WORDS = ("says", "pitfall", "reference", "undefined", "assuming", "unit")
"""Fields of a metric that change how it is told and not what it is."""
NAMED, SHORT = 3, 12
"""Images of a reason that are named, and letters of a digest that are shown."""


class Fact(NamedTuple):
    """One thing that is not the same: what it belongs to, its name, and what each audit says; "" for nothing."""

    topic: str
    name: str
    old: str
    new: str


class Cause(NamedTuple):
    """Images that are not paired, or not in the same way: how many of one reason, all ids, and a sentence."""

    reason: str
    ids: tuple[str, ...]
    says: str


def unlike(old: Evidence, new: Evidence, work: Work) -> str | None:
    """Why a difference in this work may not be judged: it was measured with other options."""
    for kind, name in (("analyses", work[0]), ("attributions", work[1])):
        told = [{use["use"]: use["options"] for use in side.audit.get(kind, ())}.get(name) for side in (old, new)]
        if name is not None and told[0] != told[1]:
            return f"{name} was measured with other options: no claim"
    return None


def facts(old: Evidence, new: Evidence) -> list[Fact]:
    """Everything that differs in what was asked, of what, and with which tools; empty for the same question."""
    return [*_of_data(old, new), *_of_models(old, new), *_of_audit(old, new), *_of_metrics(old, new), *_of_tools(old, new)]


def _of_data(old: Evidence, new: Evidence) -> Iterator[Fact]:
    a, b = old.dataset, new.dataset
    yield from _differ("data set", {"plugin": a["use"]}, {"plugin": b["use"]})
    yield from _differ("data set", a["options"], b["options"])
    yield from _differ("data set", {"classes": list(a["classes"])}, {"classes": list(b["classes"])})
    what = "samples, labels and boxes (digest)"
    yield from _differ("data set", {what: a["digest"][:SHORT]}, {what: b["digest"][:SHORT]})
    counts = [{name: side.accounting[name] for name in ("listed", "used")} for side in (old, new)]
    yield from _differ("images", counts[0], counts[1])
    training = [side.accounting.get("training_images") or {} for side in (old, new)]
    yield from _differ("training images", *({k: t[k] for k in ("listed", "used") if k in t} for t in training))


def _of_models(old: Evidence, new: Evidence) -> Iterator[Fact]:
    sides = [{str(model["id"]): model for model in side.models} for side in (old, new)]
    for name in [*sides[1], *(name for name in sides[0] if name not in sides[1])]:
        a, b = (side.get(name) for side in sides)
        if a is None or b is None:
            known, others = (a or b or {}), sides[0 if a is None else 1]
            twin = next((other for other, model in others.items() if model["digest"] == known["digest"]), None)
            same = f", with the weights of {twin}" if twin else ""
            there = f"there{same}"
            yield Fact("networks", name, "" if a is None else there, "" if b is None else there)
            continue
        what = f"{name}: weights (digest)"
        yield from _differ("networks", {what: a["digest"][:SHORT]}, {what: b["digest"][:SHORT]})
        for part in ("use", "options", "layers", "outputs", "preprocessing", "status"):
            yield from _differ("networks", {f"{name}: {part}": a[part]}, {f"{name}: {part}": b[part]})


def _of_audit(old: Evidence, new: Evidence) -> Iterator[Fact]:
    for part in ("reference", "seed", "batch", "controls", "limited"):
        yield from _differ("audit", {part: old.audit.get(part)}, {part: new.audit.get(part)})
    yield from _differ("subgroups", _groupings(old), _groupings(new))
    claims = [side.audit["claims"] for side in (old, new)]
    for part in ("primary", "margin"):
        yield from _differ("claims", {part: claims[0][part]}, {part: claims[1][part]})
    for kind in ("analyses", "attributions"):
        told = [{use["use"]: use["options"] for use in side.audit.get(kind, ())} for side in (old, new)]
        for name in dict.fromkeys([*told[1], *told[0]]):
            if name in told[0] and name in told[1]:
                yield from _differ(kind, _flat(told[0][name], name), _flat(told[1][name], name))
            else:
                yield Fact(kind, name, "listed" if name in told[0] else "", "listed" if name in told[1] else "")


def _groupings(evidence: Evidence) -> dict[str, Any]:
    """{attribute: how results are told apart by it}."""
    names = ("bands", "metrics", "primary")
    return {told["by"]: {name: told[name] for name in names} for told in evidence.audit.get("subgroups") or ()}


def _of_metrics(old: Evidence, new: Evidence) -> Iterator[Fact]:
    for name in dict.fromkeys([*new.metrics, *old.metrics]):
        if name in old.metrics and name in new.metrics:
            a, b = ({k: v for k, v in side.metrics[name].items() if k not in ONLY_WORDS} for side in (old, new))
            yield from _differ("definitions", _flat(a, name), _flat(b, name))


def _of_tools(old: Evidence, new: Evidence) -> Iterator[Fact]:
    yield from _differ("tools", {"auditor": old.audit.get("tool")}, {"auditor": new.audit.get("tool")})
    for part in ("python", "system", "device", "implementation"):
        yield from _differ("tools", {part: old.environment.get(part)}, {part: new.environment.get(part)})
    yield from _differ("tools", old.environment.get("packages", {}), new.environment.get("packages", {}))


def _flat(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {f"{name}: {key}": value for key, value in options.items()}


def _differ(topic: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Fact]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Fact(topic, name, _said(old.get(name)), _said(new.get(name)))


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items()) or "none"
    return ", ".join(_said(item) for item in value) if isinstance(value, list | tuple) else str(value)


def left_out(old: Side, new: Side, matched: Matched) -> list[Cause]:
    """Images that are not paired, or paired in part, by reason."""
    if old.cases is None or new.cases is None:
        return []
    names = [set(side.cases.samples) if side.cases else set() for side in (old, new)]
    found = [
        ("only in the old audit", [s for s in old.cases.samples if s not in names[1]]),
        ("only in the new audit", [s for s in new.cases.samples if s not in names[0]]),
    ]
    for which, side, other in (("old", old, new), ("new", new, old)):
        lost = {str(item["id"]): str(item["reason"]) for item in side.evidence.accounting["quarantined"]}
        theirs = {str(item["id"]) for item in other.evidence.accounting["quarantined"]}
        for reason in dict.fromkeys(lost.values()):
            mine = [name for name, why in lost.items() if why == reason and name not in theirs and name in names[0] & names[1]]
            found.append((f"quarantined in the {which} audit only: {reason}", mine))
    for k, name in enumerate(matched.cohort.classes):
        for what, table in (("labelled", matched.relabelled), ("boxed", matched.reboxed)):
            found.append((f"{what} otherwise for {name}", [matched.samples[n] for n in table[:, k].nonzero()[0].tolist()]))
    if matched.regrouped:
        found.append(("belong to other patients (those of the new audit are used)", list(matched.samples)))
    return [Cause(reason, tuple(ids), _sentence(reason, ids)) for reason, ids in found if ids]


def _sentence(reason: str, ids: list[str]) -> str:
    if reason.startswith("belong"):
        return "shared images belong to other patients in the old audit; those of the new audit are used"
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return f"{len(ids):,} {'image' if len(ids) == 1 else 'images'} {reason}: {', '.join(ids[:NAMED])}{more}"
