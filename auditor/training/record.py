"""What is written of a network while and after it is trained: checkpoints, the state to go on from, and model.json."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..checkpoint import file_digest, read_card, read_weights, save
from ..errors import ModelRefused, OutputError
from ..identity import digest, identity, options
from ..ledger import publish
from ..model import Preprocessing
from ..trained import BEST, CARD, LAST, PATIENTS, SCHEMA, STATE, patient_key
from .config import TrainingPlan, TrainingRun
from .loop import Epoch, Training
from .material import Material

if TYPE_CHECKING:
    from torch import nn

VERSIONS = ("torch", "torchvision", "monai", "numpy", "safetensors")


@dataclass(frozen=True)
class Progress:
    """How far a network is: its epochs so far, and the number of the best one."""

    epochs: tuple[Epoch, ...] = ()
    best: int = 0

    def after(self, epoch: Epoch) -> Progress:
        """With one epoch more: the best has the highest macro AUROC; the last one where that is not estimable."""
        if not self.best or epoch.macro is None:
            return Progress((*self.epochs, epoch), epoch.number)
        before = self.epochs[self.best - 1].macro
        better = before is None or epoch.macro > before
        return Progress((*self.epochs, epoch), epoch.number if better else self.best)


def identity_of(plan: TrainingPlan, run: TrainingRun, material: Material, fresh: nn.Module) -> str:
    """A name for everything that the trained network depends on; `fresh` is the network before training."""
    from ..checkpoint import weights_digest

    code = [plan.registry.code_digest("strategies", strategy.name) for strategy in run.strategies]
    return digest(
        identity(run.loader), plan.registry.code_digest("models", run.loader.name), run.strategy,
        [identity(strategy) for strategy in run.strategies], code, run.seed, weights_digest(fresh.state_dict()),
        identity(plan.recipe), material.training.key, material.validation.key, len(material.training.samples),
        len(material.validation.samples), __version__,
    )  # fmt: skip


def save_epoch(folder: Path, run: TrainingRun, material: Material, training: Training, told: str, progress: Progress) -> None:
    """Write what the epoch has changed: the best weights if they are these, then the state, each whole or not at all."""
    number = progress.epochs[-1].number
    if progress.best == number:
        save(folder / BEST, training.network.state_dict(), _checkpoint_card(run, material, number))
    kept = {"epochs": [epoch._asdict() for epoch in progress.epochs], "best": progress.best, "identity": told}
    save(folder / STATE, training.state(), {"training": kept, "scaler": training.scaler.state_dict()})


def sweep(folder: Path) -> None:
    """Take away what a process that was killed while it wrote has left half written."""
    for name in (BEST, LAST, STATE):
        for draft in folder.glob(f".{name}.*"):
            draft.unlink(missing_ok=True)


def read_state(folder: Path, told: str, training: Training) -> Progress:
    """Put the training back where the state was written; raises OutputError if it belongs to another training."""
    path = folder / STATE
    if not path.exists():
        return Progress()
    try:
        card, weights = read_card(path), read_weights(path)
        kept = card["training"]
        epochs = tuple(_epoch(training.setting.classes, **epoch) for epoch in kept["epochs"])
        if kept["identity"] != told:
            raise OutputError(_otherwise(folder))
        training.restore(weights, card.get("scaler", {}))
    except (ModelRefused, LookupError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ")
        raise ModelRefused(
            f"{path}: training cannot go on from it: {why}; delete {folder} to train this network again"
        ) from error
    return Progress(epochs, kept["best"])


def _epoch(classes: Sequence[str], number: int, loss: float, auroc: dict[str, float | None]) -> Epoch:
    """An epoch as it was: a card keeps the classes in order of name."""
    return Epoch(number, loss, {name: auroc[name] for name in classes})


def finished(folder: Path, told: str) -> bool:
    """Whether this very network is trained already; raises OutputError if another one is."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(card, dict):
        return False
    if card.get("identity") != told:
        raise OutputError(_otherwise(folder))
    return (folder / BEST).is_file()


def save_patients(out: Path, material: Material) -> None:
    """Write whom the networks have met, in a form that an audit can compare and nobody can read."""
    found = {
        side.name: sorted({patient_key(side.dataset.name, sample.patient) for sample in side.samples})
        for side in (material.training, material.validation)
    }
    publish(out / PATIENTS, json.dumps(found).encode())


def _otherwise(folder: Path) -> str:
    return (
        f"{folder}: holds a network that was trained otherwise (train.yaml, data or code have changed since); --resume goes on"
        " only with the same; choose another --out, or delete the folder"
    )


def finish(
    folder: Path, plan: TrainingPlan, run: TrainingRun, material: Material, training: Training, told: str, progress: Progress,
    notes: Sequence[str],
) -> None:  # fmt: skip
    """Write the last weights and model.json, which says that the network is finished; the state is no longer needed."""
    save(folder / LAST, training.network.state_dict(), _checkpoint_card(run, material, progress.epochs[-1].number))
    card = _card(folder, plan, run, material, progress, notes)
    card["identity"] = told
    publish(folder / CARD, (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode())
    (folder / STATE).unlink(missing_ok=True)


def _checkpoint_card(run: TrainingRun, material: Material, epoch: int) -> dict[str, Any]:
    """What a checkpoint says of itself, so that it can be audited without its model.json."""
    return {
        "architecture": run.loader.family(), "strategy": run.strategy, "seed": run.seed, "classes": list(material.classes),
        "head": run.loader.head, "output": run.loader.output, "preprocessing": _preprocessing(run.loader.preprocessing),
        "epoch": epoch,
    }  # fmt: skip


def _preprocessing(lens: Preprocessing) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(lens).items() if value is not None}


def _card(
    folder: Path, plan: TrainingPlan, run: TrainingRun, material: Material, progress: Progress, notes: Sequence[str]
) -> dict[str, Any]:
    paths = [name for name in run.architecture.options if isinstance(getattr(run.loader, name, None), Path)]
    relative = {name: os.path.relpath(getattr(run.loader, name), folder.resolve()) for name in paths}
    counts = material.counts
    return {
        "schema": SCHEMA,
        "use": run.loader.name,
        "options": {**run.architecture.options, **relative},
        "paths": paths,
        "architecture": run.loader.family(),
        "pretrained": None if run.pretrained is None else Path(run.pretrained).name,
        "strategy": {
            "name": run.strategy,
            "parts": [{"use": strategy.name, "options": options(strategy)} for strategy in run.strategies],
        },
        "seed": run.seed,
        "classes": list(material.classes),
        "head": run.loader.head,
        "preprocessing": _preprocessing(run.loader.preprocessing),
        "counts": {
            "images": len(material.training.samples), "positives": list(counts.positives), "negatives": list(counts.negatives),
        },
        "data": {
            "use": plan.dataset.name, "options": options(plan.dataset), "training": _side(material, "training"),
            "validation": _side(material, "validation"), "listed": material.listed, "quarantined": len(material.quarantined),
        },
        "patients": f"../{PATIENTS}",
        "recipe": {"name": plan.config.recipe.use, **asdict(plan.recipe)},
        "epochs": [{**epoch._asdict(), "macro": epoch.macro} for epoch in progress.epochs],
        "best_epoch": progress.best,
        "notes": list(notes),
        "digests": {name: file_digest(folder / name) for name in (BEST, LAST)},
        "versions": {"auditor": __version__, "python": platform.python_version(), **{n: metadata.version(n) for n in VERSIONS}},
    }  # fmt: skip


def _side(material: Material, name: str) -> dict[str, Any]:
    side = material.training if name == "training" else material.validation
    return {"images": len(side.samples), "patients": side.patients, "digest": side.key}
