"""What the files of SSH keys hold, told before ssh-keygen is asked, which says it in riddles."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import AuditError, ConfigError

_PUBLIC = re.compile(r"(ssh|ecdsa|sk)-[\w@.-]+ AAAA[\w+/=]+")
"""A public key as ssh-keygen writes it: what kind it is, and its bytes."""
_LINE = re.compile(
    r"(?P<names>\"[^\"]+\"|\S+)\s+(?P<options>[\w-]+(?:=\"[^\"]*\")?(?:,[\w-]+(?:=\"[^\"]*\")?)*\s+)?(?P<key>(ssh|ecdsa|sk)-[\w@.-]+ AAAA.*)"
)
LONGEST = 1 << 20


def check_private(key: Path) -> None:
    """AuditError where a file cannot be what to sign with: it is not there, is no key, or is only the public half of one.

    A public key is enough where its private half lies beside it or an agent holds it (SSH_AUTH_SOCK).
    """
    if not key.is_file():
        raise AuditError(f"{key}: found no such file; allowed: a private key (ssh-keygen -t ed25519 makes one)")
    text = _text(key)
    if _PUBLIC.match(text):
        private = key.with_suffix("") if key.suffix == ".pub" else key
        if not (private != key and private.is_file()) and not os.environ.get("SSH_AUTH_SOCK"):
            raise AuditError(
                f"{key}: found the public half of a key; allowed: the private half, which ssh-keygen wrote as {private.name}"
            )
    elif not text.startswith("-----BEGIN "):
        raise AuditError(f"{key}: found no SSH key; allowed: a private key (ssh-keygen -t ed25519 makes one)")


def why_not(key: Path, said: bytes) -> str:
    """Why ssh-keygen could not sign, from what it said."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    if any("are too open" in line for line in lines):
        return f"others can read it; chmod 600 {key}"
    if _PUBLIC.match(_text(key)):
        return "it is the public half of a key, and neither a file beside it nor the SSH agent has the private half"
    return lines[-1] if lines else "it gave no reason"


def names_in(allowed: Path) -> list[str]:
    """Who may sign, in the order of an allowed-signers file; ConfigError for a line that is none, and for a file without any."""
    if not allowed.is_file():
        raise ConfigError(f"{allowed}: found no such file; allowed: a file as in ssh-keygen(1), ALLOWED SIGNERS")
    names: list[str] = []
    for number, line in enumerate(_text(allowed).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _PUBLIC.match(line):
            way = f'echo "ada@example.org $(cat {allowed})" > allowed_signers'
            raise ConfigError(
                f"{allowed}:{number}: found a public key without a name before it; allowed: who it belongs to, as in {way}"
            )
        found = _LINE.fullmatch(line.strip())
        if found is None:
            what = "a private key" if line.startswith("-----BEGIN ") else f"{line.strip()[:40]!r}"
            raise ConfigError(
                f"{allowed}:{number}: found {what}; allowed: a name and a public key, as in ada@example.org ssh-ed25519 AAAA..."
            )
        names += found["names"].strip('"').split(",")
    if not names:
        raise ConfigError(f"{allowed}: names nobody; allowed: a line per person, as in ada@example.org ssh-ed25519 AAAA...")
    return names


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("utf-8", "replace")
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from None
