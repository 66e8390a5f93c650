"""Who may import what, where an import contract cannot see it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "torchvision", "captum", "monai", "scipy", "numba", "weasyprint", "pydicom", "matplotlib"}
LIGHT = [
    "cli",
    "config",
    "registry",
    "plan",
    "ledger",
    "findings",
    "evidence",
    "report",
    "export",
    "statistics.compare",
    "results_schema",
]


@pytest.mark.parametrize("module", LIGHT)
def test_nothing_heavy_is_imported_on_the_way_to_help_validate_plugins_and_report(module: str) -> None:
    words = f"import sys, auditor.{module}; print(*(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: path.stem)
def test_a_plugin_file_imports_no_second_identity_and_no_bundle_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            assert not name.startswith(("plugins.", "monai.bundle")), f"{path.name}:{node.lineno} imports {name}"
            assert name != "plugins"


def test_every_public_name_can_be_imported() -> None:
    import auditor

    for name in auditor.__all__:
        assert getattr(auditor, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = auditor.Nonsense
