"""Level 1: these are the files that were listed, all of them and no others. Needs nothing but Python."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import AuditError
from ..wording import how_many
from .found import Difference, Level

SUMS, MANIFEST, SIGNATURE = "SHA256SUMS", "manifest.json", "SHA256SUMS.sig"
LARGEST = 2 << 30
"""Bytes of one file beyond which it is not read: no bundle has such a file."""
LARGEST_LIST = 16 << 20
"""The same for the list itself and for the manifest, which are held in memory."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
PROVED = "every file is the one that {sums} and {manifest} list, and there is no other"
OPEN = "that the numbers are right, or that they follow from the cases"


def check(bundle: Path) -> Level:
    """Every file of a bundle against its lists; raises AuditError where there is no list, or one that cannot be one."""
    level = Level(1, PROVED.format(sums=SUMS, manifest=MANIFEST), OPEN)
    listed = sums(bundle)
    present = dict(_walk(bundle))
    for name in sorted(present.keys() | listed.keys()):
        if name in (SUMS, SIGNATURE):
            if present.get(name):
                level.differences.append(Difference(name, str(present[name])))
        elif name not in listed:
            level.differences.append(Difference(name, present[name] or f"is not listed in {SUMS}"))
        elif name not in present:
            level.differences.append(Difference(name, f"is listed in {SUMS} and is not there"))
        elif found := present[name] or _changed(bundle / name, listed[name]):
            level.differences.append(Difference(name, found))
    level.differences += _of_manifest(bundle, listed, set(present))
    level.said.append(f"{how_many(len(listed), 'file')} listed")
    return level


def sums(bundle: Path) -> dict[str, str]:
    """{path: sha256} of SHA256SUMS; raises AuditError for a list that names anything but files inside the bundle."""
    place = bundle / SUMS
    listed: dict[str, str] = {}
    for number, line in enumerate(_text(place).removesuffix("\n").split("\n"), 1):  # splitlines splits at more than line ends
        found = _LINE.fullmatch(line)
        if found is None:
            raise AuditError(f"{place}:{number}: found {_short(line)}; allowed: 64 hexadecimal digits, two spaces and a path")
        digest, name = found.groups()
        if not _inside(name):
            raise AuditError(f"{place}:{number}: found the path {_short(name)}; allowed: a path inside the bundle")
        if name in listed:
            raise AuditError(f"{place}:{number}: found {_short(name)} a second time; allowed: each file once")
        listed[name] = digest
    return listed


def _inside(name: str) -> bool:
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and ":" not in name and not {"", ".", ".."} & set(parts)


def _text(place: Path) -> str:
    """A list of the bundle as text; raises AuditError where it is not one."""
    try:
        size, kind = place.lstat().st_size, place.lstat().st_mode
        if not stat.S_ISREG(kind):
            raise AuditError(f"{place}: found {_kind(kind)}; allowed: a file")
        if size > LARGEST_LIST:
            raise AuditError(f"{place}: found {size:,} bytes; allowed: at most {LARGEST_LIST:,}")
        return place.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise AuditError(f"{place}: found bytes that are not UTF-8; allowed: text in UTF-8") from None
    except FileNotFoundError:
        raise AuditError(f"{place}: is not there; allowed: a bundle that `auditor share RUN` made") from None
    except OSError as error:
        raise AuditError(f"{place}: cannot be read ({error.strerror})") from error


def _walk(folder: Path, above: str = "") -> Iterator[tuple[str, str | None]]:
    """(path, None for a file or what else it is) of all that lies in a folder, links not followed."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{above}{entry.name}"
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                inside = list(_walk(Path(entry.path), f"{name}/"))
                yield from inside or [(f"{name}/", "is an empty folder; a bundle has none")]
            else:
                yield name, None if stat.S_ISREG(mode) else f"is {_kind(mode)}; allowed: a file"


def _kind(mode: int) -> str:
    return "a symbolic link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a special file"


def _changed(file: Path, expected: str) -> str | None:
    """What is wrong with the content of a file."""
    if (size := file.lstat().st_size) > LARGEST:
        return f"found {size:,} bytes; allowed: at most {LARGEST:,}, so it was not read"
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return None if found == expected else f"was changed: its sha256 is {found[:12]}…, {SUMS} says {expected[:12]}…"


def manifest(bundle: Path) -> dict[str, Any]:
    """manifest.json; raises AuditError where it is not a JSON object."""
    try:
        read = json.loads(_text(bundle / MANIFEST))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise AuditError(f"{bundle / MANIFEST}: found no JSON object; allowed: what `auditor share RUN` writes")
    return read


def _of_manifest(bundle: Path, listed: dict[str, str], present: set[str]) -> Iterator[Difference]:
    """Where the manifest and SHA256SUMS do not say the same of the same files."""
    if MANIFEST not in listed:
        yield Difference(SUMS, f"does not list {MANIFEST}")
        return
    if MANIFEST not in present:
        return
    try:
        files = manifest(bundle).get("files")
    except AuditError as error:
        yield Difference(MANIFEST, str(error).partition(": ")[2])
        return
    said = digests(files)
    if said is None:
        yield Difference(MANIFEST, "files: found no list of files with their sha256")
        return
    for name in sorted((said.keys() | listed.keys()) - {MANIFEST}):
        if name not in said:
            yield Difference(name, f"stands in {SUMS} and not in {MANIFEST}")
        elif name not in listed:
            yield Difference(_short(name), f"stands in {MANIFEST} and not in {SUMS}")
        elif said[name] != listed[name]:
            yield Difference(name, f"its sha256 in {MANIFEST} is not that in {SUMS}")


def digests(files: object) -> dict[str, str] | None:
    """{path: sha256} of the manifest's `files`, None where it is no such thing."""
    if not isinstance(files, dict):
        return None
    said: dict[str, str] = {}
    for name, told in files.items():
        digest = told.get("sha256") if isinstance(told, dict) else told
        if not isinstance(digest, str):
            return None
        said[name] = digest
    return said


def _short(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
