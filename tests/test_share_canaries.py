"""Nothing of a patient, a path or a machine leaves with a bundle: words planted in some thirty places, looked for in every byte."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import re
import socket
import string
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from auditor.report import Rendered
from auditor.run import run
from auditor.share.bundle import share

PLUGIN = Path(__file__).parent / "plugins_for_tests" / "telltale.py"
PLACES = (
    "patient id", "image file name", "parent folder", "data folder", "table file name", "box file name", "extra column", "extra cell",
    "PNG text", "PNG international text", "EXIF", "XMP", "checkpoint path", "checkpoint folder", "plugin file name", "plugin folder",
    "option of a data set", "option of a model", "sample metadata", "quarantine reason", "quarantine detail",
    "text of an exception while reading", "note of a data set", "text of an exception in an analysis", "path that is not there",
    "finding of a plugin", "text of an exception in an observer", "global of the templates", "HOME", "USER", "host name",
    "working directory", "run folder", "comment in audit.yaml", "name of a small group", "folder of an earlier audit",
    "title of an earlier audit", "option of an earlier audit", "image of an earlier audit",
)  # fmt: skip
DICOM_PLACES = (
    "patient id",
    "image file name",
    "PatientName",
    "PatientID",
    "StudyDescription",
    "private tag",
    "InstitutionName",
)


def canary(place: str) -> str:
    """Twelve letters that stand nowhere else."""
    return "".join(string.ascii_uppercase[byte % 26] for byte in hashlib.sha256(f"canary of {place}".encode()).digest()[:12])


CANARIES = {place: canary(place) for place in {*PLACES, *DICOM_PLACES}}


# The scanner.


def spellings(word: str) -> set[bytes]:
    """A word as it may stand in bytes: in several encodings, hexadecimal, base64 at each offset, escaped, backwards."""
    plain = word.encode()
    found: set[bytes] = set()
    for text in (word, word.lower(), word[::-1], word.lower()[::-1]):
        found |= {text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be"), quote(text).encode()}
        found |= {text.encode().hex().encode(), text.encode().hex().upper().encode()}
        found |= {"".join(f"%{byte:02X}" for byte in text.encode()).encode(), "".join(f"&#{ord(c)};" for c in text).encode()}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + plain).rstrip(b"=")
        found.add(coded[-(-before * 8 // 6) + 1 : -1])
    return found


def contents(data: bytes, name: str = "") -> Iterator[bytes]:
    """Bytes, and what lies packed in them: data URIs, PNG chunks, streams and attachments of a PDF."""
    yield data
    for uri in re.findall(rb"base64,([A-Za-z0-9+/=]{16,})", data):
        try:
            yield from contents(base64.b64decode(uri))
        except binascii.Error:
            continue
    if data.startswith(b"\x89PNG"):
        yield from _chunks(data)
    if data.startswith(b"%PDF"):
        yield from _pdf(data)


def _chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    packed = b""
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        packed += body if kind == b"IDAT" else b""
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            for start in range(len(body)):
                try:
                    yield zlib.decompress(body[start:])
                    break
                except zlib.error:
                    continue
        at += 12 + size
    yield zlib.decompress(packed)


def _pdf(data: bytes) -> Iterator[bytes]:
    from pypdf import PdfReader
    from pypdf.generic import StreamObject

    reader = PdfReader(io.BytesIO(data))
    yield repr(reader.metadata).encode()
    for number in range(1, len(reader.xref_objStm) + sum(map(len, reader.xref.values())) + 1):
        try:
            found = reader.get_object(number)
        except Exception:  # a number that is not used
            continue
        yield repr(found).encode()
        if isinstance(found, StreamObject):
            yield found.get_data()
    for page in reader.pages:
        yield page.extract_text().encode()
    for files in reader.attachments.values():
        yield from files


def leaks(folder: Path) -> list[tuple[str, str]]:
    """(file, place) of every planted word that stands in a file of a folder, or in a name."""
    looked_for = {place: spellings(word) for place, word in CANARIES.items()}
    found = set()
    for path in sorted(folder.rglob("*")):
        texts = [path.relative_to(folder).as_posix().encode()]
        texts += list(contents(path.read_bytes())) if path.is_file() else []
        for place, words in looked_for.items():
            if any(word in text for text in texts for word in words):
                found.add((path.relative_to(folder).as_posix(), place))
    return sorted(found)


# The audit.


def films(folder: Path, n: int = 40) -> None:
    """n films of n / 2 patients with three findings, one of them in two patients only, each file with words in its metadata."""
    rng = np.random.default_rng(0)
    inside = folder / CANARIES["data folder"] / CANARIES["parent folder"]
    inside.mkdir(parents=True)
    rows = [f"image,patient,{CANARIES['extra column']},Mass,Nodule,Hernia"]
    boxes = ["image,label,x,y,width,height"]
    for number in range(n):
        name = f"{CANARIES['image file name']}-{number:02d}"
        labels = (int(number % 4 < 2), int(number % 3 == 0), int(number in (0, 4)))
        pixels = rng.integers(0, 90, (32, 32)).astype(np.uint8)
        pixels[4:12, 4:12] += 100 * labels[0]
        told, exif = PngInfo(), Image.Exif()
        told.add_text("Comment", CANARIES["PNG text"])
        told.add_itxt("Comment", CANARIES["PNG international text"], zip=True)
        told.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{CANARIES['XMP']}</x:xmpmeta>")
        exif[0x010E] = CANARIES["EXIF"]
        Image.fromarray(pixels).save(inside / f"{name}.png", pnginfo=told, exif=exif)
        where = f"{CANARIES['parent folder']}/{name}"
        rows.append(
            f"{where},{CANARIES['patient id']}{number // 2:02d},{CANARIES['extra cell']} {number},{','.join(map(str, labels))}"
        )
        if labels[0]:
            boxes.append(f"{where},Mass,4,4,8,8")
    (folder / f"{CANARIES['table file name']}.csv").write_text("\n".join(rows) + "\n")
    (folder / f"{CANARIES['box file name']}.csv").write_text("\n".join(boxes) + "\n")


def write_audit(folder: Path, formats: str) -> Path:
    """The audit of these films, with words in every place that a user or a plugin can put one."""
    films(folder)
    plugin = folder / CANARIES["plugin folder"] / f"{CANARIES['plugin file name']}.py"
    plugin.parent.mkdir()
    plugin.write_text(PLUGIN.read_text())
    plugin.with_suffix(".json").write_text(json.dumps(CANARIES))
    weights = folder / CANARIES["checkpoint folder"] / f"{CANARIES['checkpoint path']}.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    lens = "preprocessing: {size: 32, channels: 1, mean: [0.2], std: [0.3]}"
    network = f"use: small, checkpoint: '{weights}', classes: [Mass, Nodule, Hernia], remark: '{CANARIES['option of a model']}', {lens}"
    path = folder / "audit.yaml"
    path.write_text(
        f"# {CANARIES['comment in audit.yaml']}\n"
        "title: Two networks\n"
        f"dataset: {{use: films, table: {CANARIES['table file name']}.csv, boxes: {CANARIES['box file name']}.csv, suffix: .png,\n"
        f"  folder: {CANARIES['data folder']}, class_names: [Mass, Nodule, Hernia], remark: '{CANARIES['option of a data set']}'}}\n"
        f"models:\n  - {{{network}, strategy: bce}}\n  - {{{network}, strategy: focal}}\n"
        "reference: bce\n"
        "attributions: [gradcam]\n"
        "analyses: [performance, alignment, outcomes, raises, opens, mute]\n"
        f"plugins: ['{CANARIES['plugin folder']}/{CANARIES['plugin file name']}.py']\n"
        f"report: {{formats: [{formats}]}}\n"
        "gates: [{metric: auroc, claim: at_least, value: 0.5, class: Hernia}]\n"
        "batch: 8\nmax_quarantine: 0.5\ncontrols: false\nsubgroups: [ward]\n"
        f"card: {{system: {{owner: 'whoever asked on {CANARIES['host name']}'}}}}\n"
    )
    return path


def _retold(run: Path) -> None:
    """Words in what an earlier audit says of itself; another network, so that something has changed since."""
    told = json.loads((run / "results.json").read_text())
    told["audit"]["title"] = CANARIES["title of an earlier audit"]
    told["dataset"]["options"]["remark"] = CANARIES["option of an earlier audit"]
    told["accounting"]["quarantined"].append({"id": CANARIES["image of an earlier audit"], "reason": "other", "detail": None})
    told["models"][0]["digest"] = "0" * 20
    (run / "results.json").write_text(json.dumps(told))


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs and shares the audit in a folder, for a user and on a host whose names are planted words."""

    def go(formats: str, pictures: bool) -> SimpleNamespace:
        here = tmp_path / CANARIES["working directory"]
        here.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setenv("HOME", f"/home/{CANARIES['HOME']}")
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
            monkeypatch.setenv(name, CANARIES["USER"])
        monkeypatch.setattr(socket, "gethostname", lambda: CANARIES["host name"])
        out, audit = here / CANARIES["run folder"], write_audit(here, formats)
        earlier = here / CANARIES["folder of an earlier audit"]
        with patch("auditor.report.render", return_value=Rendered({}, [])):  # nobody reads its report
            run(audit, earlier)
        _retold(earlier)
        audit.write_text(audit.read_text().replace("report: {", f"report: {{earlier: {earlier.name}, "))
        run(audit, out)
        return SimpleNamespace(run=out, **share(out, pictures=pictures)._asdict())

    return go


def test_no_planted_word_leaves_with_a_bundle(told: Any) -> None:
    found = told("html", True)
    assert leaks(found.folder) == []
    assert {place for _, place in leaks(found.run)} >= {
        "patient id",
        "image file name",
        "finding of a plugin",
        "quarantine detail",
        "title of an earlier audit",
        "option of an earlier audit",
    }
    gaps = {(gap.analysis, gap.reason) for gap in found.evidence.gaps}
    assert ("raises", "failed: an exception of a plugin (its message is not shared)") in gaps
    assert ("opens", "failed: LookupError (its message is not shared)") in gaps
    assert {row["reason"] for row in found.evidence.accounting["quarantined"]} == {"other", "error:RuntimeError"}
    assert found.evidence.audit["shared"]["classes_withheld"] == ["Hernia"]
    assert [row.missing for row in found.evidence.gates] == ["fewer than 5 patients: not shared"]
    assert found.evidence.pictures
    assert found.evidence.audit["card"]["system"]["owner"] == "whoever asked on (host)"
    assert {row.group for row in found.evidence.subgroups} == {"1", "group not shared"}
    assert found.evidence.dataset["described"] == {
        "audited": {"ward": {"known": None, "missing": "fewer than 5 patients: not shared"}}
    }


@pytest.mark.slow
def test_nor_with_its_pdf(told: Any) -> None:
    found = told("html, pdf", False)
    assert (found.folder / "report.pdf").is_file()
    assert leaks(found.folder) == []


def test_no_word_of_a_dicom_header_leaves(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    rng = np.random.default_rng(1)
    rows = ["image,patient,Mass"]
    (tmp_path / "films").mkdir()
    for number in range(24):
        name = f"{CANARIES['image file name']}{number:02d}"
        film = Dataset()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID = SecondaryCaptureImageStorage
        film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        for keyword in ("PatientName", "PatientID", "StudyDescription", "InstitutionName"):
            setattr(film, keyword, CANARIES[keyword])
        film.private_block(0x0041, "AUDITOR TEST", create=True).add_new(1, "LO", CANARIES["private tag"])
        film.PhotometricInterpretation, film.SamplesPerPixel, film.PixelRepresentation = "MONOCHROME2", 1, 0
        film.Rows = film.Columns = 32
        film.BitsAllocated = film.BitsStored = 16
        film.HighBit = 15
        film.PixelData = rng.integers(0, 4000, (32, 32)).astype("<u2").tobytes()
        pydicom.dcmwrite(tmp_path / "films" / f"{name}.dcm", film, enforce_file_format=True)
        rows.append(f"{name},{CANARIES['patient id']}{number:02d},{number % 2}")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "telltale.py").write_text(PLUGIN.read_text().partition("@hookimpl\ndef judge")[0])
    (tmp_path / "telltale.json").write_text(json.dumps(CANARIES))
    (tmp_path / "w.safetensors").write_bytes(b"w")
    (tmp_path / "audit.yaml").write_text(
        "title: DICOM\ndataset: {use: dicom_folder, table: table.csv, folder: films, suffix: .dcm}\n"
        "models: [{use: small, checkpoint: w.safetensors, classes: [Mass], strategy: bce,\n"
        "  preprocessing: {size: 32, channels: 1, mean: [0.2], std: [0.3]}}]\n"
        "reference: bce\nattributions: []\nanalyses: [performance]\nplugins: [telltale.py]\nreport: {formats: [html]}\nbatch: 8\n"
    )
    run(tmp_path / "audit.yaml", tmp_path / "run")
    found = share(tmp_path / "run")
    assert found.evidence.accounting["used"] == 24
    assert leaks(found.folder) == []


# The scanner finds what it looks for.


@pytest.mark.parametrize("spelt", sorted(spellings("QWERTYUIOPAS")))
def test_every_spelling_of_a_word_is_found(spelt: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CANARIES, "here", "QWERTYUIOPAS")
    (tmp_path / "x.txt").write_bytes(b"some text " + spelt + b" and more")
    assert ("x.txt", "here") in leaks(tmp_path)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_word_in_base64_is_found_at_every_offset(before: int, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(base64.b64encode(b"a" * before + CANARIES["USER"].encode() + b"behind"))
    assert leaks(tmp_path) == [("x.txt", "USER")]


def test_a_word_in_a_picture_inside_a_page_is_found(tmp_path: Path) -> None:
    told = PngInfo()
    told.add_text("Comment", CANARIES["PNG text"], zip=True)
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, "PNG", pnginfo=told)
    uri = base64.b64encode(file.getvalue()).decode()
    (tmp_path / "page.html").write_text(f'<img src="data:image/png;base64,{uri}">')
    assert leaks(tmp_path) == [("page.html", "PNG text")]


def test_a_word_in_a_pdf_and_its_attachment_is_found(tmp_path: Path) -> None:
    from auditor.report import write_pdf

    write_pdf(f"<p>{CANARIES['HOME']}</p>", tmp_path / "a.pdf")
    write_pdf("<p>nothing</p>", tmp_path / "b.pdf", json.dumps({"x": CANARIES["USER"]}))
    assert leaks(tmp_path) == [("a.pdf", "HOME"), ("b.pdf", "USER")]
