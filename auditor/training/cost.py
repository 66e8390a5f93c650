"""What a training would cost: networks, images, steps, bytes, and the time, from a measured step."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..errors import Unreadable
from ..estimate import spoken
from ..pixels import read_prepared
from ..strategy import Strategy, TrainingBatch
from ..wording import how_many
from . import material as materials
from .augment import LOTS, as_fed, canvas, vary
from .config import TrainingPlan, TrainingRun, read
from .material import Material, Side
from .start import fresh

MEASURED = 16
"""Images of the step that is measured, or the recipe's batch where that is smaller."""


def describe(path: Path, device: str) -> str:
    """`auditor plan train.yaml`, as lines for a person; reads two images and trains two steps per kind of network."""
    plan = read(path)
    material = materials.gather(plan)
    batch = min(plan.recipe.batch, len(material.training.samples))
    steps = len(material.training.samples) // batch
    images = plan.recipe.epochs * steps * batch
    per_image = {
        kind: _seconds_per_image(plan, run, material, device) for kind, run in {_kind(r): r for r in plan.runs}.items()
    }
    validated = plan.recipe.epochs * len(material.validation.samples)
    forward = {family: min(s for kind, s in per_image.items() if kind[0] == family) / 3 for family, _ in per_image}
    seconds = sum(per_image[_kind(run)] * images + forward[run.loader.family()] * validated for run in plan.runs)
    reads = _reads(plan, material)
    rows = {
        "data": f"{plan.dataset.name}: {how_many(material.listed, 'image')} listed, {len(material.training.samples):,} for training,"
        f" {len(material.validation.samples):,} for validation, {len(material.quarantined):,} quarantined before reading",
        "networks": f"{len(plan.runs)}: {how_many(len(plan.config.models), 'architecture')} x {how_many(len(plan.config.strategies), 'strategy')} x"
        f" {how_many(len(plan.config.seeds), 'seed')}",
        "steps": f"{how_many(plan.recipe.epochs, 'epoch')} of {how_many(steps, 'step')} of {how_many(batch, 'image')} each on {device};"
        f" {how_many(len(plan.runs) * images, 'image')} forward and back",
        "disk": f"{reads * 2 * _area(plan) / 1e6:,.0f} MB of decoded grey pixels until all networks are trained",
        "time": f"about {spoken(seconds + reads * _seconds_per_read(plan, material))}, from a measured step",
    }
    rare = [f"{name} ({n})" for name, n in zip(material.classes, material.counts.positives, strict=True) if n < 20]
    lines = [plan.config.title, *(f"  {name:<10}{text}" for name, text in rows.items())]
    return "\n".join([*lines, *([f"  few positive images: {', '.join(rare)}"] if rare else [])])


def _kind(run: TrainingRun) -> tuple[str, tuple[str, ...]]:
    """What a step costs depends on: the architecture, and the strategies that make more of a batch."""
    adding = (strategy.name for strategy in run.strategies if type(strategy).extra is not Strategy.extra)
    return run.loader.family(), tuple(adding)


def _reads(plan: TrainingPlan, material: Material) -> int:
    lenses = {run.loader.preprocessing.recipe for run in plan.runs}
    return len(lenses) * (len(material.training.samples) + len(material.validation.samples))


def _area(plan: TrainingPlan) -> float:
    """Pixels of a kept image, on the average over the geometries."""
    sizes = {canvas(run.loader.preprocessing, plan.recipe.augmentation).size for run in plan.runs}
    return float(np.mean([size * size for size in sizes]))


def _seconds_per_image(plan: TrainingPlan, run: TrainingRun, material: Material, device: str) -> float:
    """Of a forward and a backward pass with augmentation, from the second of two steps on random pixels."""
    lens, recipe = run.loader.preprocessing, plan.recipe
    count, side = min(MEASURED, recipe.batch), canvas(run.loader.preprocessing, recipe.augmentation).size
    network = fresh(replace(run, pretrained=None))[0].to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    criterion = run.strategies[0].loss(material.counts)
    with torch.no_grad():
        answers = network(torch.zeros((2, lens.channels, lens.size, lens.size), device=device)).shape[1:]
    labels = (torch.rand((count, *answers), device=device) < 0.5).float()
    seconds = 0.0
    for _ in range(2):
        unit, lots = torch.rand((count, 1, side, side), device=device), torch.rand((count, LOTS), device=device)
        started = time.perf_counter()
        varied = vary(unit, lots, torch.ones(count, dtype=torch.bool, device=device), recipe.augmentation, lens.size)
        images = as_fed(varied, lens).contiguous(memory_format=torch.channels_last)
        batches = [TrainingBatch(images, labels, torch.ones_like(labels, dtype=torch.bool))]
        for strategy in run.strategies:
            batches += strategy.extra(batches[0], network, material.counts, torch.Generator().manual_seed(0))
        loss = torch.stack([criterion(network(batch.images), batch.labels).mean() for batch in batches]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        float(loss.detach())
        seconds = time.perf_counter() - started
    return seconds / count


def _seconds_per_read(plan: TrainingPlan, material: Material) -> float:
    side: Side = material.training
    started = time.perf_counter()
    for sample in side.samples[:2]:
        try:
            read_prepared(side.dataset, sample, plan.runs[0].loader.preprocessing)
        except Unreadable:
            continue
    return (time.perf_counter() - started) / max(len(side.samples[:2]), 1)
