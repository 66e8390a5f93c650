"""Who vouches for a bundle: a signature on its SHA256SUMS, made and checked by ssh-keygen, offline."""

from __future__ import annotations

import base64
import binascii
import struct
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import AuditError, MissingLibrary, among
from . import files, keys
from .files import SIGNATURE, SUMS
from .found import Difference, Level

NAMESPACE = "auditor-report"
"""What the signature is for: one made for e-mail or for a commit does not count here."""
NEEDED = "ssh-keygen is not on this machine (it comes with OpenSSH: apt install openssh-client)"
MEANS = "a signature says who vouches for which files, not that what stands in them is right"
SECONDS = 60


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle that holds what it lists; the signature lies beside SHA256SUMS. ssh-keygen asks for a pass phrase itself.

    Raises AuditError where the bundle is not whole, is signed already, or the key cannot sign; MissingLibrary without ssh-keygen.
    """
    keys.check_private(key)
    if wrong := files.check(bundle).differences:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise AuditError(
            f"{bundle} is not whole and cannot be signed: {wrong[0].line()}{more}; make the bundle again with auditor share"
        )
    if (bundle / SIGNATURE).exists():
        raise AuditError(f"{bundle / SIGNATURE}: found a signature; delete it to sign anew")
    try:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.absolute())]
        done = subprocess.run(command, input=(bundle / SUMS).read_bytes(), capture_output=True, check=False)
    except FileNotFoundError:
        raise MissingLibrary(NEEDED) from None
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise AuditError(f"{key}: ssh-keygen could not sign with it: {keys.why_not(key, done.stderr)}")
    from ..ledger import publish

    publish(bundle / SIGNATURE, done.stdout)
    return bundle / SIGNATURE


def check(bundle: Path, level: Level, allowed: Path | None, signer: str | None) -> None:
    """Add to level 1 what the signature says; `allowed` and `signer` ask for a signature by one of them."""
    if not (bundle / SIGNATURE).is_file():
        if signer is None:
            level.said.append("it is not signed, so nobody vouches for these files")
        else:
            level.differences.append(Difference(SIGNATURE, f"is not there; it was to be signed by {signer}"))
        return
    try:
        purpose = _namespace((bundle / SIGNATURE).read_bytes()[:65536])
    except ValueError:
        level.differences.append(Difference(SIGNATURE, "is no SSH signature"))
        return
    if purpose != NAMESPACE:
        level.differences.append(Difference(SIGNATURE, f"was made for {purpose!a}; allowed: {NAMESPACE!r}"))
        return
    try:
        _ask(bundle, level, allowed, signer)
    except FileNotFoundError:
        level.undecided.append(f"the signature: {NEEDED}")
    except subprocess.TimeoutExpired:
        level.undecided.append(f"the signature: ssh-keygen gave no answer within {SECONDS} s")


def _ask(bundle: Path, level: Level, allowed: Path | None, signer: str | None) -> None:
    good = _keygen(bundle, "check-novalidate")
    if good.returncode:
        level.differences.append(Difference(SIGNATURE, f"does not fit {SUMS}: one of the two was changed"))
        return
    if allowed is None or signer is None:
        level.said.append(f"the signature fits; {_key(good.stdout)}")
        level.said.append("whose key that is was not checked: give --allowed-signers FILE --signer NAME")
    elif _keygen(bundle, "verify", "-f", str(allowed.absolute()), "-I", signer).returncode:
        names = keys.names_in(allowed)
        known = any(fnmatchcase(signer, name) for name in names)
        whose = "" if known else f", and names no {signer} but {among(signer, names)}"
        why = f"fits, but {allowed} does not allow its key for {signer}{whose}; {_key(good.stdout)}"
        level.differences.append(Difference(SIGNATURE, why))
    else:
        level.said.append(f"signed by {signer}; {_key(good.stdout)}")
    level.said.append(MEANS)


def _keygen(bundle: Path, action: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    command = ["ssh-keygen", "-Y", action, "-n", NAMESPACE, "-s", str((bundle / SIGNATURE).absolute()), *more]
    content = (bundle / SUMS).read_bytes()
    return subprocess.run(command, input=content, capture_output=True, check=False, timeout=SECONDS)


def _key(said: bytes) -> str:
    """`its key is SHA256:...`, from what ssh-keygen says of a good signature."""
    words = said.decode("utf-8", "replace").split()
    return f"its key is {next((word for word in words if word.startswith('SHA256:')), 'not named')}"


def _namespace(armoured: bytes) -> str:
    """What an SSH signature was made for (PROTOCOL.sshsig of OpenSSH); ValueError where it is none."""
    lines = armoured.decode("ascii").strip().splitlines()
    if len(lines) < 3 or lines[0] != "-----BEGIN SSH SIGNATURE-----" or lines[-1] != "-----END SSH SIGNATURE-----":
        raise ValueError("no SSH signature")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
        if blob[:6] != b"SSHSIG":
            raise ValueError("no SSH signature")
        (key,) = struct.unpack_from(">I", blob, 10)
        (size,) = struct.unpack_from(">I", blob, 14 + key)
        return blob[18 + key : 18 + key + size].decode("utf-8")
    except (binascii.Error, struct.error) as error:
        raise ValueError("no SSH signature") from error
