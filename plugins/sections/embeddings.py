"""What a class is told by: the features behind the decision, how many it takes, and what of them reaches new images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor import Evidence, Section, hookimpl
from auditor.drawing import Level, against_chance, figure, key
from auditor.panels_chart import Panel, panels_chart

from ._blocks import metric_block
from ._reading import OVER_CLASSES, analyses, model_titles, ordered_classes, strategies
from ._second_split import ACROSS, column_names, overview, shown_models, training_images

LEFT = ("magnitude_retained", "magnitude_retained_recognised", "activation_retained", "activation_retained_recognised")
OVERVIEW = ("features_needed", "features_needed_missed", "decision_share", "recognised", "class_spread", "neighbours_alike")
ARCHETYPES = ("archetype_safe", "archetype_border", "archetype_rare", "archetype_outlier")
BLOCKS = (
    "magnitude_retained",
    "magnitude_retained_with_recall",
    "features_needed",
    "decision_share",
    "class_spread",
    "neighbours_alike",
)
NAMED = 5


class Embeddings(Section):
    """The strongest features of every class in both splits, tables over the classes, what networks share, then every class."""

    name = "embeddings"
    title = "What a class is told by"
    template = "embeddings.html"
    order = 102

    def context(self, evidence: Evidence) -> Mapping[str, Any]:
        """A chart, tables, and a block per metric."""
        shown, told = analyses(evidence, "embeddings"), training_images(evidence)
        groups = (
            (LEFT, "What is left on new images", OVER_CLASSES),
            (OVERVIEW, "Features and neighbours", OVER_CLASSES[:1]),
            (ARCHETYPES, "Kinds of images", OVER_CLASSES[:1]),
        )
        blocks = BLOCKS if told else BLOCKS[2:]
        return {
            "measured": bool(shown),
            "training": told,
            "charts": [chart for name in shown if (chart := _chart(evidence, name))],
            "tables": [
                table
                for name in shown
                for metrics, caption, means in (groups if told else groups[1:])
                for table in overview(evidence, name, metrics, caption, means)
            ],
            "profiles": [table for name in shown for table in _profiles(evidence, name)],
            "shared": [chart for name in shown if (chart := _overlap_chart(evidence, name))],
            "overlaps": [table for name in shown if (table := _overlaps(evidence, name))],
            "blocks": [metric_block(evidence, m, name) for name in shown for m in blocks if evidence.select(m, name)],
        }


def _chart(evidence: Evidence, analysis: str) -> dict[str, Any] | None:
    rows = [row for row in evidence.profiles if row.analysis == analysis and row.magnitude_audited]
    models = shown_models(evidence, [row.model for row in rows])[:ACROSS]
    if not models:
        return None
    columns = column_names(evidence, models)
    names = {str(model["id"]): name for model, (name, _) in zip(models, columns, strict=True)}
    panels = {
        (row.class_name, names[row.model]): Panel(
            0.5, len(row.features) + 0.5, row.magnitude_audited or (), row.magnitude_training or (), _words(row)
        )
        for row in rows
        if row.model in names
    }
    return {
        "title": "Evidence of the strongest features of every class",
        "caption": "The first network of each strategy. Steps are features, the strongest first, as ranked "
        f"{'on training images' if rows[0].chosen_on == 'training' else 'on the audited images'}; each panel has its own height. Where the filled shape "
        "stays below the outline, the signal arrives weaker on new images.",
        "training": any(row.magnitude_training for row in rows),
        "drawing": panels_chart(
            panels, ordered_classes(evidence, {row.class_name for row in rows}), columns,
            title="Evidence of the strongest features of every class", axis="Rank of the feature; upwards: its mean evidence for the class",
            ends=("1", str(max(len(row.features) for row in rows))),
        ),
    }  # fmt: skip


def _words(row: Any) -> str:
    return f"{row.class_name}, {row.strategy}: features {', '.join(map(str, row.features[:NAMED]))} lead"


def _profiles(evidence: Evidence, analysis: str) -> list[dict[str, Any]]:
    """A table for the first network of each strategy: a row per class."""
    rows = [row for row in evidence.profiles if row.analysis == analysis]
    names = model_titles(evidence)
    return [
        {
            "caption": f"Classes in {model['strategy']}, {names[str(model['id'])]}",
            "note": "Needed often: features that at least the declared share of the recognised images needed; ever: that any of them needed. "
            "Least left: the strong feature of which least arrives on audited images, and how much of it. Effective rank: in how many "
            "directions images with the finding spread; in brackets equally many of any kind, and with the finding in training. Mistaken for: the "
            "commonest other label among the neighbours of missed images.",
            "first": "Class", "absent": "no such image",
            "columns": ["n", "Strongest features", "Share of evidence", "Least left", "Needed often / ever", "Effective rank", "Mistaken for"],
            "rows": [_profile(row) for row in rows if row.model == model["id"]],
        }
        for model in shown_models(evidence, [row.model for row in rows])
    ]  # fmt: skip


def _profile(row: Any) -> dict[str, Any]:
    rival = max(row.adversaries, key=lambda name: row.adversaries[name]) if row.adversaries else None
    ranks = ["none" if rank is None else f"{rank:.1f}" for rank in (row.rank_audited, row.rank_of_any, row.rank_training)]
    kept = [(left[0], feature) for left, feature in zip(row.retained or (), row.features, strict=False) if left is not None]
    return {
        "name": row.class_name,
        "cells": [
            figure(row.n_audited),
            ", ".join(map(str, row.features[:NAMED])),
            None if row.share_of_positive is None else _percent(row.share_of_positive),
            f"{min(kept)[1]}: {_percent(min(kept)[0])}" if kept else None,
            None if row.frequent is None else f"{figure(row.frequent)} / {figure(row.ever)}",
            f"{ranks[0]} ({ranks[1]}; {ranks[2]})",
            None if rival is None else f"{rival} ({_percent(row.adversaries[rival])})",
        ],
    }


def _overlap_chart(evidence: Evidence, analysis: str) -> dict[str, Any] | None:
    """Shared strongest features of every class as dots joined to their chance level, for the networks of the table."""
    rows = [row for row in evidence.overlaps if row.analysis == analysis]
    pairs = list(dict.fromkeys((row.model, row.base) for row in rows))[:ACROSS]
    if not rows:
        return None
    order = strategies(evidence)
    classes = ordered_classes(evidence, {row.class_name for row in rows})
    marks = [
        Level(name, row.strategy, row.shared, row.chance)
        for name in classes
        for row in rows
        if row.class_name == name and (row.model, row.base) in pairs
    ]
    named = list(dict.fromkeys(mark.series for mark in marks))
    heading = f"Shared among the strongest {rows[0].k} features, beside chance"
    return {
        "title": heading,
        "caption": f"Each dot is the share that a network has in common with the reference's of its seed; the upright mark is chance, {rows[0].k} of all "
        "features. The table gives the numbers.",
        "series": [(name, key(name, order)) for name in order if name in named],
        "chance": True,
        "drawing": against_chance(marks, order, title=heading, axis="Share of the strongest features that both networks have"),
    }


def _overlaps(evidence: Evidence, analysis: str) -> dict[str, Any] | None:
    """How many of a class's strongest features two networks share: a row per class, a column per pair."""
    rows = [row for row in evidence.overlaps if row.analysis == analysis]
    if not rows:
        return None
    titles = {str(m["id"]): f"{m['strategy']} ({model_titles(evidence)[str(m['id'])]})" for m in evidence.models}
    pairs = list(dict.fromkeys((row.model, row.base) for row in rows))[: 2 * ACROSS]
    found = {(row.class_name, row.model, row.base): row for row in rows}
    classes = ordered_classes(evidence, {row.class_name for row in rows})
    return {
        "caption": "Shared among the strongest features",
        "note": f"Share of the strongest {rows[0].k} features that both networks have; chance is {_percent(rows[0].chance)}. In brackets the mean relative "
        "change of the class's weights. Only networks that started from the same weights have a common numbering of features.",
        "first": "Class", "absent": "not measured",
        "columns": [f"{titles[model]} and {titles[base]}" for model, base in pairs],
        "rows": [
            {"name": name, "cells": [_shared(found.get((name, *pair))) for pair in pairs]} for name in classes
        ],
    }  # fmt: skip


def _shared(row: Any) -> str | None:
    if row is None:
        return None
    change = "weights not comparable" if row.weight_change is None else f"weights {_percent(row.weight_change)}"
    return f"{_percent(row.shared)} ({change})"


def _percent(share: float) -> str:
    return f"{figure(round(100 * share))} %"


@hookimpl
def register_sections() -> list[type[Section]]:
    """The built-in."""
    return [Embeddings]
