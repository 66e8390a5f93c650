"""Writes the bundle: beside its place first, then moved there whole; what stood there before is replaced, never mixed with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .. import pictures as picture_files
from ..errors import AuditError, MissingLibrary, OutputError
from ..evidence import Evidence
from ..evidence import read as evidence_of
from ..ledger import locked, refused
from ..registry import Registry
from ..report import render
from . import boxed_tables, case_tables, cells, group_table, histograms, manifest, private, pseudonyms
from .by_group import ByGroup
from .record import Record
from .record import read as recorded
from .redact import Redaction
from .said import Said, names
from .texts import Texts

FOLDER = "share"
FILES = frozenset(
    {
        "report.html",
        "report.pdf",
        "results.json",
        "audit.yaml",
        group_table.FILE,
        manifest.MANIFEST,
        manifest.SUMS,
        manifest.SIGNED,
    }
)


class Shared(NamedTuple):
    """A finished bundle: its folder, its evidence, and what could not be made."""

    folder: Path
    evidence: Evidence
    messages: list[str]


def share(run: Path, out: Path | None = None, pictures: bool = False) -> Shared:
    """Write `RUN/share`, or `out`, from a finished run; the same run and key give the same bytes.

    Raises OutputError where the place holds anything that is not a bundle, or where the run is too old or unfinished to be shared.
    """
    folder = (out or run / FOLDER).absolute()
    with locked(run):
        check_place(folder)
        record, original = recorded(run), evidence_of(run)
        stand_ins = pseudonyms.Pseudonyms(private.key(run))
        samples = record.samples
        private.write(run, "pseudonyms.csv", pseudonyms.table(stand_ins, (s.id for s in samples), (s.patient for s in samples)))
        counted = cells.count(run, record, original)
        texts = Texts(_secret(record, stand_ins), names(original))
        said = Said(texts, Registry(), str(original.dataset["use"]))
        spread = histograms.shared(run, record, original, counted)
        by_group = ByGroup(run, record, original, counted)
        evidence = Redaction(record, counted, stand_ins, texts, said).evidence(original, spread, by_group, pictures)
        beside = folder.with_name(f".{folder.name}.partial")
        try:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            case_tables.write(run, beside, record, counted, stand_ins)
            boxed_tables.write(run, beside, record, counted, stand_ins)
            group_table.write(beside, by_group, evidence.audit["shared"]["groups_told"], stand_ins)
            (beside / "audit.yaml").write_bytes(said.audit(record))
            (beside / "results.json").write_text(evidence.to_json(), encoding="utf-8")
            messages = _report(beside, evidence)
            manifest.write(beside, record, evidence, stand_ins)
            _move(beside, folder)
        except OSError as error:
            raise refused(folder, error) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return Shared(folder, evidence, messages)


def check_place(folder: Path) -> None:
    """Raise OutputError unless there is nothing, an empty folder, or an earlier bundle with nothing else in it."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: found a file or a link; allowed: a new folder, or an earlier bundle to be replaced")
    if not folder.is_dir():
        return
    inside = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    found = [path.relative_to(folder).as_posix() for path in inside]
    strange = [
        name for name, path in zip(found, inside, strict=True) if path.is_symlink() or not (name in FILES or _is_table(name))
    ]
    if strange or (found and manifest.MANIFEST not in found):
        what = f"{strange[0]}, which no bundle has" if strange else f"files and no {manifest.MANIFEST}"
        raise OutputError(
            f"{folder}: found {what}; allowed: a new folder, or an earlier bundle to be replaced. Nothing was written: "
            "name another folder with --out"
        )


def _is_table(name: str) -> bool:
    return name.startswith(f"{case_tables.FOLDER}/") and name.endswith(".csv") and name.count("/") == 1


def _secret(record: Record, stand_ins: pseudonyms.Pseudonyms) -> dict[str, str]:
    """Every name of an image and a patient, with what stands for it."""
    found = {sample.patient: stand_ins.patient(sample.patient) for sample in record.samples}
    return found | {sample.id: stand_ins.image(sample.id) for sample in record.samples}


def _report(folder: Path, evidence: Evidence) -> list[str]:
    """The report of the shared evidence by the ordinary code; pictures only pass through."""
    picture_files.save(folder, evidence.pictures)
    messages: list[str] = []
    formats: Sequence[str] = evidence.audit["report"]["formats"]
    try:
        failures = render(folder, formats, Registry()).failures
    except MissingLibrary as error:
        messages.append(str(error))
        failures = []
    finally:
        shutil.rmtree(folder / "arrays", ignore_errors=True)
    if failures:
        raise AuditError(
            f"the section {failures[0].section} cannot be made from what is shared ({failures[0].error}); nothing was written"
        )
    return messages


def _move(beside: Path, folder: Path) -> None:
    """Put the finished bundle in its place; an earlier one is set aside first and deleted last."""
    for path in (*beside.rglob("*"), beside):
        _sync(path)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    beside.replace(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
