"""manifest.json: what the bundle's numbers were made from, as canonical JSON, and the sha256 of every file beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from .. import __version__
from ..evidence import SCHEMA_VERSION, Evidence
from .pseudonyms import Pseudonyms
from .record import Record

MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
SIGNED = f"{SUMS}.sig"
FORMAT = "auditor bundle 1"


def write(folder: Path, record: Record, evidence: Evidence, pseudonyms: Pseudonyms) -> None:
    """Write manifest.json about what lies in the folder, then SHA256SUMS about both."""
    files = digests(folder)
    (folder / MANIFEST).write_bytes(canonical(contents(record, evidence, pseudonyms) | {"files": files}))
    sums = {name: told["sha256"] for name, told in files.items()} | {MANIFEST: _sha256(folder / MANIFEST)}
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())), encoding="utf-8")


def contents(record: Record, evidence: Evidence, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """Everything but the files; digests of names are keyed, so that nobody can try names out."""
    made, audit, data = record.made_with, evidence.audit, evidence.dataset
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "audit": pseudonyms.digest(str(made["plan"])),
        "asked": {"sha256": hashlib.sha256(record.audit).hexdigest(), "said_in": "audit.yaml"},
        "tool": {"distribution": "auditor", "version": audit.get("tool", __version__), "shared_with": __version__},
        "plugins": [{"kind": "distribution", "name": "auditor", "version": metadata.version("auditor")}, *made["plugins"]],
        "components": made["components"],
        "models": [_model(model) for model in evidence.models],
        "dataset": {
            "use": data["use"], "options": data["options"], "classes": data["classes"], "counts": data["counts"], "images": data["images"],
            "patients": data["patients"], "samples_sha256": samples_digest(record, pseudonyms, audit["shared"]["classes_withheld"]),
        },
        "determinism": {"batch": made["batch"], "device": made["device"], "seed": audit["seed"], "chunks": record.plan["chunks"]},
        "environment": evidence.environment,
        "gates": {"written": audit["gates"]["written"], "outcomes": [_gate(row) for row in evidence.gates]},
        "shared": audit["shared"],
    }  # fmt: skip


def samples_digest(record: Record, pseudonyms: Pseudonyms, withheld: Any) -> str:
    """sha256 over a line per sample of both splits: split, image, patient, labels of the classes that are shared; in order of these."""
    shared = [number for number, name in enumerate(record.plan["dataset"]["classes"]) if name not in withheld]
    lines = sorted(
        ",".join(
            [split, pseudonyms.image(sample.id), pseudonyms.patient(sample.patient)]
            + ["" if sample.labels[number] is None else str(sample.labels[number]) for number in shared]
        )
        for split, samples in (("audited", record.audited), ("training", record.training))
        for sample in samples
    )
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, UTF-8, no NaN, no blanks, one line feed at the end: the same content has the same bytes."""
    return (json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n").encode(
        "utf-8"
    )


def digests(folder: Path) -> dict[str, dict[str, Any]]:
    """{path inside the folder: sha256 and bytes} of every file of it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): {"sha256": _sha256(path), "bytes": path.stat().st_size} for path in paths}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model(model: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "use", "strategy", "seed", "head", "layers", "digest", "preprocessing", "options", "status")
    return {**{name: model[name] for name in names}, "architecture": model["family"], "classes": model["outputs"]}


def _gate(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("gate", "claim", "tier", "outcome", "sentence")}
