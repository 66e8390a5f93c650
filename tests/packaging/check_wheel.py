"""The wheel holds exactly the package files that git tracks: nothing forgotten, nothing extra. Run by `make check`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOMES = {"auditor": "auditor", "plugins": "auditor_plugins", "templates": "auditor_templates"}


def tracked() -> set[str]:
    """Files of the three packages that git tracks, under their installed names."""
    names = subprocess.run(["git", "ls-files", *HOMES], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    return {f"{HOMES[name.split('/')[0]]}/{name.split('/', 1)[1]}" for name in names if name}


def packed(folder: Path) -> set[str]:
    """Files of the wheel, its metadata left out."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return {name for name in file.namelist() if ".dist-info/" not in name}


def main() -> int:
    """Print the differences; 0 when there are none."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = tracked(), packed(Path(folder))
    for name in sorted(wanted - found):
        sys.stderr.write(f"tracked but not in the wheel: {name}\n")
    for name in sorted(found - wanted):
        sys.stderr.write(f"in the wheel but not tracked: {name}\n")
    return int(wanted != found)


if __name__ == "__main__":
    raise SystemExit(main())
