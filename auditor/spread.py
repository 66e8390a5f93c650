"""The rows that are more than one number: histograms of margins, profiles of classes, and what two networks share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from . import latent
from .analysis import Analysis
from .contrasts import pairings
from .ledger import Ledger
from .plan import Plan, PlannedModel, Unit
from .profiles import Histogram, Overlap, Profile, frozen
from .statistics.between_splits import histogram
from .statistics.columns import Columns
from .training_split import TrainingSplit


def histograms(plan: Plan, analysis: Analysis, columns: Mapping[str, Columns]) -> Iterator[Histogram]:
    """How the values spread on both splits, where the analysis asks for it by declaring a distance of the two."""
    strategy = {model.id: model.loader.strategy for model in plan.models}
    for name in [metric.of for metric in analysis.metrics if metric.statistic == "wasserstein"]:
        for model, network in columns.items():
            if isinstance(network.training, str) or name not in network.training or name not in network.values:
                continue
            for number, class_name in enumerate(plan.classes):
                sides = [
                    values.value[(values.target == number) & ~np.isnan(values.value)]
                    for values in (network.values[name], network.training[name])
                ]
                if all(len(side) for side in sides):
                    low, high, audited, training = histogram(*sides)
                    about = (analysis.name, name, model, strategy[model], class_name)
                    yield Histogram(*about, low, high, tuple(audited), tuple(training))


def profiles(plan: Plan, ledger: Ledger, unit: Unit, second: TrainingSplit) -> Iterator[Profile]:
    """What was concluded of each class of a network."""
    (model,) = (model for model in plan.models if model.id == unit.model)
    content = ledger.told(second.key(unit))
    for row in json.loads(content) if content else ():
        yield Profile(analysis=unit.name, model=model.id, strategy=model.loader.strategy, **frozen(row))


def overlaps(plan: Plan, ledger: Ledger, standing: Mapping[str, Unit], found: Sequence[Profile]) -> Iterator[Overlap]:
    """Every network against the reference's network of its seed, and the reference's other seeds against its first."""
    rows = {(row.analysis, row.model, row.class_name): row for row in found}
    for model, base in _pairs(plan):
        if model.id not in standing or base.id not in standing:
            continue
        layers = [ledger.last_layer(standing[one.id].key) for one in (model, base)]
        for number, class_name in enumerate(plan.classes):
            name = standing[model.id].name
            mine, other = (rows.get((name, one.id, class_name)) for one in (model, base))
            if mine is None or other is None or layers[0] is None or layers[1] is None or layers[0].shape != layers[1].shape:
                continue
            k, width = len(mine.features), layers[0].shape[1] - 1
            change = latent.weight_change(layers[0][number, :-1], layers[1][number, :-1])
            shared = latent.overlap(mine.features, other.features)
            yield Overlap(name, model.id, model.loader.strategy, base.id, class_name, shared, k / width, change, k)


def _pairs(plan: Plan) -> Iterator[tuple[PlannedModel, PlannedModel]]:
    for _, _, mine, base in pairings(plan.models, plan.config.reference):
        for model in mine:
            same = [other for other in base if other.loader.seed == model.loader.seed and other.family == model.family]
            yield model, (same or list(base))[0]
    for family in dict.fromkeys(model.family for model in plan.models):
        references = [m for m in plan.models if m.family == family and m.loader.strategy == plan.config.reference]
        yield from ((other, references[0]) for other in references[1:])
