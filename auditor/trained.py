"""What training leaves beside a network, and how an audit takes up a folder of such networks: `models: {from: runs/}`.

A folder with `model.json` holds a finished network: `model.safetensors` (the best epoch), `last.safetensors`, and in model.json
everything that is known of how they were made. Nothing in it is code.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .errors import ConfigError, nearest
from .problems import Places, Problems, plain_path, show
from .wording import how_many

CARD = "model.json"
BEST = "model.safetensors"
LAST = "last.safetensors"
STATE = "state.safetensors"
PATIENTS = "patients.json"
SCHEMA = 1

_NEEDED: Mapping[str, type] = {
    "use": str, "options": dict, "strategy": dict, "seed": int, "classes": list, "counts": dict,
}  # fmt: skip


class Trained(NamedTuple):
    """A finished network: its folder, and its model.json."""

    folder: Path
    card: Mapping[str, Any]


def read_folder(folder: Path) -> list[Trained]:
    """Every finished network below the folder, in order of name.

    Raises ConfigError if there is none, if one is not finished, or if one cannot be understood.
    """
    if not folder.is_dir():
        siblings = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ConfigError(f"found no folder {folder}{nearest(folder.name, siblings)}")
    found, waiting = [], []
    for path, folders, files in os.walk(folder):
        folders.sort()
        if CARD in files:
            found.append(Trained(Path(path), read_card(Path(path) / CARD)))
        elif STATE in files:
            waiting.append(Path(path).name)
    if waiting:
        named = ", ".join(sorted(waiting)[:3]) + (", ..." if len(waiting) > 3 else "")
        raise ConfigError(
            f"found {how_many(len(waiting), 'unfinished network')} ({named}): auditor train --resume goes on with them; delete the folders"
            " of those that are not to be audited"
        )
    if not found:
        raise ConfigError(f"found no {CARD} in {folder} or below it; allowed: what `auditor train` has written")
    return found


def read_card(path: Path) -> dict[str, Any]:
    """A model.json; raises ConfigError if it is not one."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__}); train the network again") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        version = card.get("schema") if isinstance(card, dict) else None
        raise ConfigError(f"{path}: found schema {show(version)}; allowed: {SCHEMA}")
    for key, kind in _NEEDED.items():
        if not isinstance(card.get(key), kind):
            raise ConfigError(f"{path}: found {show(card.get(key))} as {key}; allowed: what `auditor train` writes there")
    paths = card.get("paths", [])
    if not isinstance(card["strategy"].get("name"), str) or any(not isinstance(card["options"].get(p), str) for p in paths):
        raise ConfigError(f"{path}: its strategy has no name, or a path in it is missing; train the network again")
    return card


def expand(data: dict[str, Any], places: Places, problems: Problems) -> list[Trained]:
    """Put the networks of `models: {from: FOLDER}` in the place of that line, and give them in order.

    FOLDER may be a pattern (`runs/resnet50-*`). Other keys beside `from` are options that hold for all of them. Nothing is changed where `models` is a list.
    """
    models = data.get("models")
    if not isinstance(models, dict) or "from" not in models:
        return []
    written = models["from"]
    if not isinstance(written, str) or not written:
        problems.add(
            f"{places.place('models.from')}: found {show(written)}; allowed: a folder that `auditor train` has written"
        )
        problems.stop()
    try:
        at = plain_path(Path(places.file).absolute().parent / str(written))
        found = [network for folder in _matching(at) for network in read_folder(folder)]
    except ConfigError as error:
        problems.add(f"{places.place('models.from')}: {error}")
        problems.stop()
        raise
    shared = {key: value for key, value in models.items() if key != "from"}
    data["models"] = [{**as_use(folder, card), **shared} for folder, card in found]
    return found


def _matching(folder: Path) -> list[Path]:
    """The folder itself, or the folders of networks that fit it where it is a pattern."""
    if folder.is_dir() or not any(sign in str(folder) for sign in "*?["):
        return [folder]
    found = [Path(name) for name in sorted(glob.glob(str(folder)))]
    networks = [path for path in found if (path / CARD).exists() or (path / STATE).exists()]
    if not networks:
        raise ConfigError(f"found no network that fits {folder}; allowed: folders that `auditor train` has written")
    return networks


def patient_key(dataset: str, patient: str) -> str:
    """What a patient of a data set is called in `patients.json`: enough to recognise one, not to name one."""
    return hashlib.sha256(f"auditor|{dataset}|{patient}".encode()).hexdigest()[:16]


def met(network: Trained, dataset: str, patients: Iterable[str]) -> dict[str, int] | None:
    """How many of these patients the network was trained on, and validated on; None where patients.json is not there."""
    try:
        kept = json.loads((network.folder / network.card["patients"]).read_text(encoding="utf-8"))
        sides = {side: set(kept[side]) for side in ("training", "validation")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    keys = {patient_key(dataset, patient) for patient in patients}
    return {side: len(keys & names) for side, names in sides.items()}


def as_use(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """A finished network as audit.yaml would name it."""
    options = dict(card["options"])
    for name in card.get("paths", ()):  # relative to model.json, so that the folder can be moved as a whole
        options[name] = str((folder / options[name]).resolve())
    known = {
        "strategy": card["strategy"]["name"], "seed": card["seed"], "checkpoint": str(folder / BEST), "classes": card["classes"],
    }  # fmt: skip
    return {"use": card["use"], **options, **known}
