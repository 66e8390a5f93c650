"""What a run would cost: units, images, forward passes, bytes, and the time, from one measured batch per architecture."""

from __future__ import annotations

import time
from typing import NamedTuple

from .errors import AuditError, ModelRefused, Unreadable
from .plan import Plan, PlannedModel
from .planned_claims import warnings
from .wording import how_many, named


class Cost(NamedTuple):
    """For a fresh run, training images included: images, reads and batches as counted, without the two images each network is tried
    on first; `controls` are the images that the controls of the explanation methods put through a network besides, `trials` the
    changed images that analyses try on it.

    Bytes are those of decoded grey images, without the features kept for a second look, which are gone at the end; seconds
    are extrapolated from one batch per architecture.
    """

    images: int
    reads: int
    forwards: int
    controls: int
    trials: int
    batches: int
    pixel_bytes: int
    seconds: float


def estimate(plan: Plan) -> Cost:
    """The cost of a fresh run on the plan's device; loads one network per architecture and reads two images."""
    from .controls import passed_through
    from .trials import passed_through as passed_through_by

    inside = [model for model in plan.models if model.looked_into]
    recipes = {m.loader.preprocessing.recipe: m.loader.preprocessing.size for m in inside}
    images = len(plan.samples) + (len(plan.training.samples) if plan.training else 0)
    batches = sum(-(-len(split.samples) // plan.config.batch) for split in (plan, plan.training) if split)
    per_batch: dict[str, float] = {}
    for model in inside:
        if model.family not in per_batch:
            per_batch[model.family] = _seconds_per_batch(plan, model)
    reads = images * len(recipes)
    seconds = sum(per_batch[m.family] * batches for m in inside) + (reads * _seconds_per_read(plan) if inside else 0.0)
    pixels = sum(images * size * size * 2 for size in recipes.values())
    controls = passed_through(plan)
    if controls:
        explained = [per_batch[m.family] for m in inside if m.explained]
        seconds += controls / plan.config.batch * sum(explained) / len(explained)
    trials = 0
    family = {model.id: model.family for model in inside}
    for unit in plan.units:
        changed = passed_through_by(unit.analysis, unit.trials) if unit.analysis else 0
        trials += changed
        seconds += changed / plan.config.batch * per_batch[family[unit.model]] if changed else 0.0
    return Cost(images, reads, len(inside) * images, controls, trials, len(inside) * batches, pixels, seconds)


def _seconds_per_batch(plan: Plan, model: PlannedModel) -> float:
    import torch

    lens = model.loader.preprocessing
    try:
        module = model.loader.load().eval().to(device=plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    except AuditError as error:
        raise ModelRefused(f"{model.place} ({model.id}): {error}") from error
    images = torch.rand((plan.config.batch, lens.channels, lens.size, lens.size)).to(plan.device)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        module(images)
        started = time.perf_counter()
        float(module(images).sum())
    return time.perf_counter() - started


def _seconds_per_read(plan: Plan) -> float:
    readable = [sample for sample in plan.samples if not sample.problem][:2]
    started = time.perf_counter()
    for sample in readable:
        try:
            plan.dataset.read(sample)
        except Unreadable:
            continue
    return (time.perf_counter() - started) / max(len(readable), 1)


def describe(plan: Plan) -> str:
    """`auditor plan`, as lines for a person."""
    cost = estimate(plan)
    networks = sum(model.looked_into for model in plan.models)
    strategies = list(dict.fromkeys(model.loader.strategy for model in plan.models))
    boxed = sum(bool(sample.boxes) for sample in plan.samples)
    rows = {
        "data": f"{plan.dataset.name}: {len(plan.samples):,} of {how_many(plan.available, 'image')}, {boxed:,} with boxes, {how_many(len(plan.classes), 'class')}",
        **_training(plan),
        "models": f"{len(plan.models)} ({how_many(networks, 'network')}), {named('strategy', strategies)}",
        "units": f"{len(plan.units)} of work in {how_many(plan.chunks, 'chunk')} of {how_many(plan.chunk, 'image')}",
        "reads": how_many(cost.reads, "image"),
        "forwards": f"{how_many(cost.forwards, 'image')} through a network, {how_many(cost.batches, 'batch')} of {plan.config.batch} on {plan.device}",
        "controls": f"{how_many(cost.controls, 'image')} more, for the sanity checks of the explanation methods and untrained networks"
        if cost.controls
        else "none",
        **({"trials": f"{cost.trials:,} images more, changed ones, for {', '.join(_trying(plan))}"} if cost.trials else {}),
        "disk": f"{cost.pixel_bytes / 1e6:,.0f} MB of decoded grey pixels, kept for the next run, and features of the boxed images while a model is measured",
        "time": f"about {spoken(cost.seconds)}, from one measured batch per architecture",
    }
    lines = [plan.config.title, *(f"  {name:<10}{text}" for name, text in rows.items())]
    lines += [f"  left out  {model}: {reason}" for model, _, reason in plan.unmet]
    lines += [
        f"  not used  {model.id}: {named('output', model.unused)}, no class of the data set"
        for model in plan.models
        if model.unused
    ]
    lines += [f"  warning   {line}" for line in warnings(plan)]
    return "\n".join(lines)


def _trying(plan: Plan) -> list[str]:
    """The analyses that put changed images through networks."""
    return list(dict.fromkeys(unit.name for unit in plan.units if unit.trials and unit.analysis and unit.analysis.per_trial))


def _training(plan: Plan) -> dict[str, str]:
    """The line of the training images, if there are any."""
    if plan.training is None:
        return {}
    looked = ", ".join(dict.fromkeys(unit.name for unit in plan.training.units))
    return {"training": f"{len(plan.training.samples):,} of {plan.training.available:,} training images, for {looked}"}


def spoken(seconds: float) -> str:
    """A length of time that is only known roughly, in words."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
