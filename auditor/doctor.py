"""Examines this machine: what the auditor needs, what it could use, and the command that brings what is missing."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata as metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Literal, NamedTuple

from .errors import ExitCode

Status = Literal["ok", "missing", "optional"]


class Finding(NamedTuple):
    """One thing looked at; `mend` is the command that brings what is missing. `optional` means missing, but not needed."""

    what: str
    status: Status
    detail: str
    mend: str = ""


class Library(NamedTuple):
    """A shared library that WeasyPrint opens, by the names it goes by, and the packages that bring it."""

    what: str
    names: tuple[str, ...]
    apt: str
    needed: bool = True


LIBRARIES = (
    Library("GObject", ("libgobject-2.0.so.0", "libgobject-2.0.0.dylib"), "libglib2.0-0"),
    Library("Pango", ("libpango-1.0.so.0", "libpango-1.0.dylib"), "libpango-1.0-0"),
    Library("PangoFT2", ("libpangoft2-1.0.so.0", "libpangoft2-1.0.dylib"), "libpangoft2-1.0-0"),
    Library("HarfBuzz", ("libharfbuzz.so.0", "libharfbuzz.0.dylib"), "libharfbuzz0b"),
    Library("Fontconfig", ("libfontconfig.so.1", "libfontconfig.1.dylib"), "fontconfig"),
    Library("HarfBuzz subset", ("libharfbuzz-subset.so.0", "libharfbuzz-subset.0.dylib"), "libharfbuzz-subset0", needed=False),
)
DICOM_SYNTAXES = ("JPEGBaseline8Bit", "JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless", "HTJ2KLossless", "RLELossless")
IMPORTED = ("torch", "numba", "scipy", "safetensors", "captum", "monai", "pydicom")
PIP = f"{sys.executable} -m pip install"


def examine() -> list[Finding]:
    """Look at everything; one thing that is broken does not keep the rest from being looked at."""
    findings: list[Finding] = []
    for look in (_python, _distributions, _imports, _torch_pair, _gpu, _libraries, _weasyprint, _fonts, _decoders):
        try:
            findings += look()
        except Exception as error:
            name = look.__name__.strip("_").replace("_", " ")
            findings.append(Finding(name, "missing", f"{type(error).__name__}: {error}", f"{PIP} --force-reinstall auditor"))
    return findings


def table(findings: list[Finding]) -> str:
    """The findings in columns, what mends them below each, and a last line that sums up."""
    width = max(len(finding.what) for finding in findings)
    rows: list[str] = []
    for finding in findings:
        rows.append(f"{finding.status:8}  {finding.what:{width}}  {finding.detail}".rstrip())
        if finding.mend:
            rows.append(f"{'':8}  {'':{width}}  -> {finding.mend}")
    missing = sum(finding.status == "missing" for finding in findings)
    rows += ["", f"{missing} missing; the commands above mend it." if missing else "This machine is ready."]
    return "\n".join(rows)


def exit_code(findings: list[Finding]) -> ExitCode:
    """2 when something is missing that an audit needs, else 0."""
    return ExitCode.REFUSED if any(finding.status == "missing" for finding in findings) else ExitCode.COMPLETE


def _python() -> list[Finding]:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    mend = "" if good else "install Python 3.11, 3.12 or 3.13 and make the virtual environment with it"
    return [Finding("Python", "ok" if good else "missing", f"{platform.python_version()} on {platform.platform()}", mend)]


def _distributions() -> list[Finding]:
    """Every distribution that we require, with its version; those of extras are optional."""
    findings = []
    for wanted in metadata.requires("auditor") or []:
        requirement, _, marker = (part.strip() for part in wanted.partition(";"))
        extra = re.search(r"extra == ['\"](\w+)['\"]", marker)
        if extra and extra[1] not in ("dicom", "parquet"):
            continue
        parts = re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?(?:>=([\d.]+))?", requirement)
        if parts:
            findings.append(_distribution(parts[1], parts[2], extra[1] if extra else None, requirement))
    return findings


def _distribution(name: str, least: str | None, extra: str | None, requirement: str) -> Finding:
    lacking: Status = "optional" if extra else "missing"
    wanted = f"auditor[{extra}]" if extra else requirement
    mend = f"{PIP} '{wanted}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, lacking, "not installed", mend)
    if least and numbers(version) < numbers(least):
        return Finding(name, lacking, f"{version}, older than {least}", mend)
    return Finding(name, "ok", version)


def numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version.

    >>> numbers("2.15.0+cu128") > numbers("2.10"), numbers("8.3.0rc1")
    (True, (8, 3, 0))
    """
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _imports() -> list[Finding]:
    """Libraries with compiled parts: whether they load, which a version number does not say."""
    return [finding for name in IMPORTED if (finding := _import(name)) is not None]


def _import(name: str) -> Finding | None:
    try:
        importlib.import_module(name)
    except Exception as error:
        what = f"does not load: {type(error).__name__}: {error}".splitlines()[0]
        return Finding(f"import {name}", "missing", what, f"{PIP} --force-reinstall {name}")
    return None


def _torch_pair() -> list[Finding]:
    """torchvision is compiled against one torch; with another its operators are not there."""
    mend = f"{PIP} --force-reinstall torch torchvision"
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except Exception as error:
        return [Finding("torch with torchvision", "missing", f"do not fit: {error}".splitlines()[0], mend)]
    return [Finding("torch with torchvision", "ok", "fit each other")]


def _gpu() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        slow = "everything runs on the CPU, more slowly"
        if shutil.which("nvidia-smi"):
            found = f"this torch ({torch.__version__}) cannot use the GPU; {slow}"
            return [Finding("CUDA", "optional", found, f"{PIP} --force-reinstall torch torchvision  # a build for your driver")]
        return [Finding("CUDA", "optional", f"no GPU; {slow}")]
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    return [Finding("CUDA", "ok", f"{torch.version.cuda}: {names}")]


def _libraries() -> list[Finding]:
    """The system libraries that WeasyPrint opens for the PDF."""
    return [library_finding(library, _loads) for library in LIBRARIES]


def library_finding(library: Library, loads: Callable[[str], bool]) -> Finding:
    """Whether a shared library can be opened under one of its names."""
    if any(loads(name) for name in library.names):
        return Finding(library.what, "ok", "for the PDF")
    lacking: Status = "missing" if library.needed else "optional"
    mend = _system_command(library.apt, "pango")
    return Finding(library.what, lacking, f"{library.names[0]} cannot be opened; the PDF needs it", mend)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _system_command(apt: str, brew: str) -> str:
    if sys.platform == "darwin":
        return f"brew install {brew}"
    return f"sudo apt-get install {apt}"


def _weasyprint() -> list[Finding]:
    """Whether a page can be laid out and written."""
    try:
        import weasyprint

        size = len(weasyprint.HTML(string="<p>x</p>").write_pdf())
    except Exception as error:
        mend = _system_command("libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fontconfig", "pango")
        return [Finding("a PDF page", "missing", f"cannot be written: {error}".splitlines()[0], mend)]
    return [Finding("a PDF page", "ok", f"{size:,} bytes")]


def _fonts() -> list[Finding]:
    """The report carries its own fonts; the system's are for what those lack."""
    own = sorted(font.name for font in _walk(files("auditor_templates")) if font.name.endswith((".ttf", ".otf", ".woff2")))
    listed = subprocess.run(["fc-list"], capture_output=True, text=True, check=False).stdout if shutil.which("fc-list") else ""
    system = len(listed.splitlines())
    detail = f"{len(own)} in the report's templates, {system} on the system"
    if own or system:
        return [Finding("fonts", "ok", detail)]
    return [Finding("fonts", "missing", detail, _system_command("fonts-dejavu-core", "font-dejavu"))]


def _walk(folder: Any) -> list[Any]:
    entries = list(folder.iterdir())
    return [*(e for e in entries if e.is_file()), *(inner for e in entries if e.is_dir() for inner in _walk(e))]


def _decoders() -> list[Finding]:
    """The ways in which a DICOM file may be compressed."""
    import pydicom.uid
    from pydicom.pixels import get_decoder

    findings = []
    for name in DICOM_SYNTAXES:
        decoder = get_decoder(getattr(pydicom.uid, name))
        if decoder.is_available:
            findings.append(Finding(f"DICOM {name}", "ok", "can be read"))
        else:
            why = "; ".join(decoder.missing_dependencies)
            findings.append(Finding(f"DICOM {name}", "optional", f"cannot be read: {why}", f"{PIP} 'auditor[dicom]'"))
    return findings
