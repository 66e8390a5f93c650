"""The network of a selection: named, and opened when the first image has to go through it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..dataset import Sample
from ..errors import AuditError, ConfigError, DatasetError, ModelRefused, Unreadable
from ..pixels import read_prepared
from ..placing import placed
from ..plan import PlannedModel
from ..planned_models import plan_model
from .config import BASELINES, MinePlan
from .embed import Embedder


def needs_gradient(function: str) -> bool:
    """Whether a function looks at gradients, if the kernel is not of features."""
    return function not in BASELINES or function == "badge"


def planned(plan: MinePlan) -> PlannedModel:
    """The network with its outputs in the order of the classes; raises with the line that names it where they do not fit."""
    try:
        code = plan.registry.code_digest("models", plan.loader.name)
        model = plan_model(plan.loader, plan.place, code, plan.classes, set())
    except AuditError as error:
        if plan.audited is None:
            raise type(error)(placed(str(error), plan.loader, "model", plan.config.place)) from error
        raise type(error)(f"{plan.place}: {error}") from error
    if not model.explained and model.looked_into:
        found = f"{plan.place}: output: found pixels, a network that outlines findings"
        raise ConfigError(f"{found}; allowed: one that answers for whole images, for images are what is chosen")
    if plan.audited is not None and model.digest != plan.audited.digest:
        raise ConfigError(f"{plan.place}: the weights are not those that were audited; run the audit again")
    return model


def opened(plan: MinePlan, model: PlannedModel, samples: Sequence[Sample], device: str) -> Embedder:
    """The network, tried on two readable images; raises ModelRefused with the line that names it."""
    lens = plan.loader.preprocessing
    stored: list[npt.NDArray[np.uint16]] = []
    for sample in samples:
        try:
            stored.append(read_prepared(plan.query, sample, lens)[0])
        except Unreadable:
            continue
        if len(stored) == 2:
            break
    if not stored:
        raise DatasetError(f"{plan.config.place('query')}: no image can be read")
    depth = max(len(pixels) for pixels in stored)
    images = np.stack([pixels if len(pixels) == depth else np.repeat(pixels, depth, 0) for pixels in stored])
    try:
        embedder = Embedder(plan.loader.load(), lens, plan.config.batch, device)
        embedder.prepare(images, model.declared, model.layers.attribution)
    except AuditError as error:
        raise type(error)(f"{plan.place}: {error}") from error
    except Exception as error:  # a model plugin is a stranger's code
        raise ModelRefused(f"{plan.place}: the model cannot be loaded: {type(error).__name__}: {error}") from error
    return embedder
