"""Names that tell patients and images apart and say nothing of them: keyed, so that nobody without the key can try names out."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
from collections.abc import Iterable
from typing import Literal

Kind = Literal["image", "patient"]
SIZE = 10
"""Bytes of a pseudonym: 80 bits, so that among a million images two share one with a chance below 1e-12."""


class Pseudonyms:
    """The first 10 bytes of HMAC-SHA256(key, kind + id), in hexadecimal; a kind of its own for images and for patients."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def image(self, name: str) -> str:
        """What stands for an image."""
        return self._keyed("image", name)

    def patient(self, name: str) -> str:
        """What stands for a patient."""
        return self._keyed("patient", name)

    def digest(self, text: str) -> str:
        """What stands for a digest of names, which could be tried out as the names can."""
        return self._keyed("digest", text)

    def _keyed(self, kind: str, name: str) -> str:
        return hmac.new(self._key, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()[:SIZE].hex()


def table(pseudonyms: Pseudonyms, images: Iterable[str], patients: Iterable[str]) -> bytes:
    """pseudonyms.csv: kind, id, pseudonym, in order of kind and id."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("kind", "id", "pseudonym"))
    writer.writerows(("image", name, pseudonyms.image(name)) for name in sorted(set(images)))
    writer.writerows(("patient", name, pseudonyms.patient(name)) for name in sorted(set(patients)))
    return file.getvalue().encode("utf-8", "surrogatepass")
