"""The example evidence as a file, made by example_evidence.py where this code has not made it yet: no generated file is kept in git."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / ".pytest_cache" / "example"


def made() -> Path:
    """`results.json` of the example, by the code that it is made with; older ones are deleted."""
    sources = [Path(__file__).with_name("example_evidence.py"), *ROOT.glob("auditor/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:20]
    path = KEPT / f"{code}.json"
    if not path.is_file():
        from example_evidence import text

        KEPT.mkdir(parents=True, exist_ok=True)
        beside = KEPT / f"{code}.{os.getpid()}"
        beside.write_text(text(), encoding="utf-8")
        for older in KEPT.glob("*.json"):
            older.unlink(missing_ok=True)
        beside.replace(path)
    return path


EXAMPLE = made()
