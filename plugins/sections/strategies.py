"""Which networks are contrasted, with which verdicts, and what their training data looked like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import figure, how_many, key

from ._card import card_rows
from ._reading import ordered_models, strategies, title
from ._verdicts import alone, meanings, overall_verdicts


class Strategies(Section):
    """A row per network: strategy, seed, architecture, layers, weights; and a row per overall contrast with its verdict."""

    name = "strategies"
    title = "Strategies contrasted"
    template = "strategies.html"
    order = 50

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """The networks, what they share, the verdicts, and the classes from common to rare."""
        order = strategies(evidence)
        rows = [
            {
                "mark": key(str(model["strategy"]), order),
                "strategy": model["strategy"],
                "reference": model["strategy"] == order[0],
                "seed": str(model.get("seed", "not recorded")),
                "family": model.get("family") or "not recorded",
                "layers": _layers(model.get("layers") or {}),
                "digest": str(model.get("digest") or "not recorded")[:12],
                "parameters": figure(model["parameters"]) if isinstance(model.get("parameters"), int) else "not recorded",
                "state": model.get("error") or "audited",
                "failed": bool(model.get("error")),
            }
            for model in ordered_models(evidence)
        ]
        verdicts, more = overall_verdicts(evidence)
        trainings = [_training(model, order) for model in ordered_models(evidence) if model.get("training")]
        return {
            "rows": rows,
            "verdicts": verdicts,
            "more_verdicts": more,
            "meanings": meanings(verdicts),
            "alone": alone(verdicts),
            "claims": _claims(evidence),
            "stamps": [text for texts in evidence.stamps().values() for text in texts],
            "strategies": len(order),
            "reference": order[0] if order else "none",
            "trainings": trainings,
            "judged_by": _judged_by(trainings),
            "counted": any(row["parameters"] != "not recorded" for row in rows),
            "shared": _shared(evidence),
            "classes": _classes(evidence),
            "trained": _trained(evidence),
            "stated_rows": card_rows(evidence, "training.why_imbalance"),
        }


def _training(model: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    """How a network was trained, where `auditor train` has written it down."""
    training = model["training"]
    parts = [f"{part.get('use')} ({_words(part.get('options') or {}) or 'no options'})" for part in training["strategy"]]
    recipe, auroc = training.get("recipe") or {}, training.get("validation_auroc")
    return {
        "mark": key(str(model["strategy"]), order),
        "strategy": model["strategy"],
        "seed": str(model.get("seed", "not recorded")),
        "family": model.get("family") or "not recorded",
        "parts": " with ".join(parts),
        "recipe": f"{recipe.get('name')}: {recipe.get('epochs')} epochs, batches of {recipe.get('batch')}, rate {recipe.get('rate')}",
        "start": training.get("pretrained") or "drawn from the seed",
        "images": figure(training["images"]),
        "best": f"{training.get('best_epoch')} of {recipe.get('epochs')}",
        "pixels": (model.get("options") or {}).get("output") == "pixels",
        "auroc": "not estimable" if auroc is None else figure(float(auroc)),
    }


def _judged_by(trainings: list[dict[str, Any]]) -> str:
    """Whose ranking chose the best epoch: images, or the single pixels of networks that outline findings."""
    of_pixels = [training["pixels"] for training in trainings]
    if not any(of_pixels):
        return "AUROC"
    return "AUROC of pixels" if all(of_pixels) else "AUROC (of pixels, where a network outlines findings)"


def _claims(evidence: Evidence) -> str:
    """Which differences were declared to be the question."""
    claims = evidence.audit.get("claims") or {}
    primary = ", ".join(title(str(name)) for name in claims.get("primary") or ())
    if not primary:
        return "No primary claim was declared, so every verdict is exploratory: an indication for a further study, not a proof."
    when = "after" if claims.get("afterwards") else "before"
    return f"Primary claims, declared {when} these data were measured: {primary}. Every other verdict is exploratory."


def _layers(layers: Mapping[str, Any]) -> str:
    said = [f"{role}: {name}" for role, name in layers.items() if name]
    return "; ".join(said) or "not looked into"


def _shared(evidence: Evidence) -> list[str]:
    """What is the same for all networks, and what is not: a difference there competes with the strategy as an explanation."""
    sentences = []
    for field, name in (("preprocessing", "input preparation"), ("head", "kind of output"), ("family", "architecture")):
        found = list(dict.fromkeys(_words(model.get(field)) for model in evidence.models))
        if len(found) == 1:
            sentences.append(f"Same {name} for all: {found[0]}.")
        elif found:
            sentences.append(
                f"The networks differ in {name} ({' | '.join(found)}), which competes with the strategy as an explanation."
            )
    return sentences


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return " ".join(_words(item) for item in value)
    return "not recorded" if value is None else str(value)


def _trained(evidence: Evidence) -> str:
    train = evidence.dataset.get("train")
    return f"training split of {how_many(train['images'], 'image')}" if train else "training split not known"


def _classes(evidence: Evidence) -> list[dict[str, str]]:
    """Counts per class, from head to tail of the training split where that is known, of the audited images otherwise."""
    counts = evidence.dataset.get("counts") or {}
    train = evidence.dataset.get("train") or {}
    positives, images = train.get("positives") or {}, train.get("images") or 0
    ranked = sorted(counts, key=lambda name: -positives.get(name, counts[name].get("positive") or 0))
    return [
        {
            "name": name,
            "train": f"{figure(positives[name])} ({100 * positives[name] / images:.1f} %)"
            if name in positives and images
            else "not known",
            **{kind: _count(counts[name].get(kind, 0)) for kind in ("positive", "negative", "unknown", "boxes")},
        }
        for name in ranked
    ]


def _count(n: int | None) -> str:
    return "not shared" if n is None else figure(n)


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Strategies]
