"""What stays at home: `RUN/private`, readable by its owner only, with the key that pseudonyms are made from."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ..errors import OutputError
from ..ledger import refused

FOLDER = "private"
KEY = "pseudonym.key"
KEY_BYTES = 32


def write(run: Path, name: str, data: bytes) -> Path:
    """A file of `RUN/private` whole or not at all: mode 0600 in a folder of mode 0700."""
    folder = run / FOLDER
    partial = folder / f"{name}.partial"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        partial.unlink(missing_ok=True)
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    except OSError as error:
        raise refused(folder, error) from error
    return folder / name


def key(run: Path) -> bytes:
    """The key of this run's pseudonyms: 32 random bytes, made once. Raises OutputError where the file is not such a key."""
    path = run / FOLDER / KEY
    if not path.is_file():
        write(run, KEY, secrets.token_bytes(KEY_BYTES))
    try:
        found = path.read_bytes()
    except OSError as error:
        raise refused(path, error) from error
    if len(found) != KEY_BYTES:
        raise OutputError(
            f"{path}: found {len(found)} bytes; allowed: the {KEY_BYTES} that were written there. Bring them back from a copy; "
            "without the file the next bundle has a new key, and its pseudonyms are not those of earlier ones"
        )
    return found
