"""What a run keeps for the day it is shared: audit.yaml as it was read, and whose code the audit was made with."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from .. import sample_record
from ..dataset import Sample
from ..errors import OutputError
from ..identity import digest
from ..plan import Plan, to_json
from ..registry import BUILT_IN
from . import private

AUDIT, MADE_WITH = "audit.yaml", "made_with.json"
AGAIN = "run the audit again: finished work is kept, and nothing is measured twice"


class Record(NamedTuple):
    """A finished run as far as it is needed to share it: plan.json, its samples of both splits, and what the run kept."""

    plan: Mapping[str, Any]
    audited: tuple[Sample, ...]
    training: tuple[Sample, ...]
    audit: bytes
    made_with: Mapping[str, Any]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Those of both splits."""
        return self.audited + self.training


def keep(plan: Plan, audit: Path, run: Path) -> None:
    """Write what `read` needs and plan.json does not hold into `RUN/private`."""
    private.write(run, AUDIT, audit.read_bytes())
    content = {
        "plan": digest(to_json(plan)),
        "plugins": [_plugin(name, audit.parent) for name in plan.config.plugins],
        "components": _components(plan),
        "batch": plan.config.batch,
        "device": plan.device,
    }
    private.write(run, MADE_WITH, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read(run: Path) -> Record:
    """What is known of a finished run; raises OutputError where it was not kept, or is of another run."""
    plan_text = _text(run / "plan.json")
    plan, results = json.loads(plan_text), json.loads(_text(run / "results.json"))
    if "known" not in plan:
        raise OutputError(f"{run}: the run was made by a version that could not share; {AGAIN}")
    made_with = json.loads(_text(run / private.FOLDER / MADE_WITH))
    if not results["audit"].get("plan") == made_with["plan"] == digest(plan_text):
        raise OutputError(f"{run}: plan.json, results.json and {private.FOLDER}/ are not of one run; {AGAIN}")
    training = plan.get("training_images") or {}
    return Record(
        plan,
        sample_record.read(plan["known"], plan["samples"]),
        sample_record.read(training["known"], training["samples"]) if training else (),
        (run / private.FOLDER / AUDIT).read_bytes(),
        made_with,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}; {AGAIN}") from error


def _plugin(name: str, base: Path) -> dict[str, str]:
    """A plugin that audit.yaml lists: a distribution with its version, or a file by its content."""
    if name.endswith(".py"):
        return {"kind": "file", "sha256": hashlib.sha256((base / name).read_bytes()).hexdigest()}
    try:
        return {"kind": "distribution", "name": name, "version": metadata.version(name)}
    except metadata.PackageNotFoundError:  # named by its entry point
        owner = next((entry.dist for entry in metadata.entry_points(group="auditor", name=name) if entry.dist), None)
        return {"kind": "distribution", "name": owner.name if owner else name, "version": owner.version if owner else "unknown"}


def _components(plan: Plan) -> list[dict[str, Any]]:
    """Every component that the audit names: whether its code came with auditor, and the digest of that code."""
    uses = [("datasets", plan.dataset.name)]
    uses += [("models", model.loader.name) for model in plan.models]
    uses += [("attributions", attribution.name) for attribution in plan.attributions]
    uses += [("analyses", analysis.name) for analysis in plan.analyses]
    return [
        {
            "kind": kind, "name": name, "code": plan.registry.code_digest(kind, name),
            "built_in": sys.modules[plan.registry.get(kind, name).__module__].__name__.startswith(f"{BUILT_IN}."),
        }
        for kind, name in dict.fromkeys(uses)
    ]  # fmt: skip
