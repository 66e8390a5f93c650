"""What stands in the documents runs: YAML is read, command lines are understood, Python compiles, cited tests exist."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from example import EXAMPLE

from auditor import config
from auditor.cli import cli, main
from auditor.problems import Problems
from auditor.registry import Registry
from auditor.selection.config import From, MineConfig
from auditor.selection.simulation_config import SimulationConfig
from auditor.training.config import TrainConfig

from .conftest import ROOT

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
QUOTE = re.compile(r"<!-- quoted: (\S+) -->\n```\w+\n(.*?)```\n<!-- end -->", re.DOTALL)
PROGRAM = re.compile(r"(?:\S+/)?auditor$")


def blocks(*languages: str) -> list[Any]:
    """(page, text) of every fenced block in one of these languages."""
    return [
        pytest.param(page, found[2], id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, found in enumerate(FENCE.finditer(page.read_text()))
        if found[1] in languages
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if QUOTE.search(page.read_text())], ids=lambda page: page.name)
def test_a_page_quotes_files_word_for_word(page: Path) -> None:
    for path, text in QUOTE.findall(page.read_text()):
        assert text == (ROOT / path).read_text(), path


def test_the_guide_quotes_a_whole_plugin_of_every_kind() -> None:
    quoted = {path for path, _ in QUOTE.findall((ROOT / "docs" / "plugins.md").read_text())}
    assert quoted == {str(path.relative_to(ROOT)) for path in ROOT.glob("examples/one_file_plugin/*.py")} | {
        "examples/observers/mlflow_observer.py"
    }


SHAPES: dict[str, tuple[type[Any], dict[str, type[Any]]]] = {
    "test": (SimulationConfig, {}),
    "pool": (MineConfig, {"from": From}),
    "strategies": (TrainConfig, {}),
    "reference": (config.AuditConfig, {"claims": config.Claims, "gates": config.Gate, "report": config.Report}),
    "gates": (config.Judging, {"claims": config.Claims, "gates": config.Gate}),
    "claims": (config.Judging, {"claims": config.Claims}),
}
"""By a key that only such a file has: what it is read as."""
KINDS = {"dataset": "datasets", "pool": "datasets", "models": "models", "attributions": "attributions", "analyses": "analyses"}


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_a_yaml_block_is_read_and_its_plugins_know_their_options(page: Path, text: str, tmp_path: Path) -> None:
    (tmp_path / "block.yaml").write_text(text)
    said = yaml.safe_load(text)
    shape, inner = SHAPES[next(key for key in SHAPES if key in said)]
    problems = Problems()
    data, places = config.mapping(tmp_path / "block.yaml", shape, problems)
    found = config.shaped(shape, inner, data, places, problems)
    problems.stop()
    assert found is not None
    registry = Registry()
    training = isinstance(found, TrainConfig)
    for key, kind in KINDS.items():
        uses = getattr(found, key, ())
        for number, use in enumerate(uses if isinstance(uses, tuple) else (uses,)):
            told = {"strategy": "-", "checkpoint": None} if training and kind == "models" else {}
            whole = config.Use.model_validate({"use": use.use, **use.options, **told})
            path = key if use is uses else f"{key}[{number}]"
            registry.build(kind, whole, path, found, problems)
    problems.stop()


def commands() -> Iterator[Any]:
    """(line, whether it is to be typed as it stands) of every command line of ours, in blocks and inside sentences."""
    for page in PAGES:
        text = page.read_text()
        fenced = [line for found in FENCE.finditer(text) if found[1] in ("", "bash") for line in found[2].splitlines()]
        spoken = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
        for said in dict.fromkeys(fenced + spoken):
            line = said.split("#")[0].strip()
            ours = line and (PROGRAM.match(line.split()[0]) or "-m auditor " in line)
            if ours and len(line.split()) > 1:
                yield pytest.param(line, said in fenced, id=f"{page.name}: {line[:60]}")


@pytest.mark.parametrize(("line", "whole"), list(commands()))
def test_a_command_line_is_one_that_the_program_understands(line: str, whole: bool) -> None:
    plain = re.sub(r"\[([^\]]*)\]", r"\1", line)  # what may be left out is there
    plain = re.sub(r"(\w+)(\|\w+)+", r"\1", plain).split(" > ")[0].replace("KIND", "dataset").replace(" ...", "")
    words = shlex.split(plain)
    at = next(number for number, word in enumerate(words) if PROGRAM.match(word))
    with click.Context(cli, info_name="auditor") as context:
        name, command, rest = cli.resolve_command(context, words[at + 1 :])
        assert command is not None
        try:
            command.make_context(name, rest, parent=context).close()
        except click.MissingParameter:
            if whole:  # a sentence may name a command without its arguments
                raise


def test_command_lines_were_found_and_a_wrong_one_is_caught() -> None:
    lines = {parameter.values[0] for parameter in commands()}
    assert {"auditor run first.yaml", "auditor mine --simulate simulate.yaml", "auditor gate RUN"} <= lines
    assert len(lines) > 40
    for wrong in (
        "auditor runn audit.yaml",
        "auditor run audit.yaml --fast",
        "auditor export RUN --format xls",
        "auditor report A B",
    ):
        with pytest.raises(click.UsageError, match=r"No such command|No such option|is not one of|unexpected extra|Missing"):
            test_a_command_line_is_one_that_the_program_understands(wrong, whole=True)


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([\w-]+)", page.read_text(), re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_a_python_block_compiles(page: Path, text: str) -> None:
    compile(text, page.name, "exec")


def test_the_readmes_notebook_runs(tmp_path: Path) -> None:
    (block,) = [p.values[1] for p in blocks("python") if "auditor.load" in p.values[1]]
    (tmp_path / "results.json").write_text(EXAMPLE.read_text())
    kept = [
        line for line in block.splitlines() if not line.startswith("audit.cases")
    ]  # those need a run; tests/test_notebook.py
    names: dict[str, Any] = {}
    exec("\n".join(kept).replace("first-run", str(tmp_path)), names)
    table = names["audit"].select(metric="auroc").summaries
    assert set(table["metric"]) == {"auroc"}
    assert {"metric", "class", "value"} <= set(table)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_cites_exists(page: Path) -> None:
    for file, name in re.findall(r"`(test_\w+\.py)::(\w+)`", page.read_text()):
        assert f"\ndef {name}(" in (ROOT / "tests" / file).read_text(), f"{page.name} cites {file}::{name}"


def test_every_promise_cites_a_test_or_says_that_it_is_about_nothing_done() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    promises = re.findall(r"\*\*(P\d+)\. .*?(?=\*\*P\d|\n## )", text, re.DOTALL)
    assert promises == [f"P{number}" for number in range(1, 12)]
    for found in re.finditer(r"\*\*(P\d+)\. (.*?)(?=\*\*P\d|\n## )", text, re.DOTALL):
        assert "`test_" in found[2] or found[1] == "P11"


@pytest.mark.slow
def test_the_five_minutes_of_the_readme_end_in_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np
    import torch
    from PIL import Image
    from torchvision.models import resnet18

    text = (ROOT / "README.md").read_text().split("## Your own checkpoint in five minutes")[1].split("\n## ")[0]
    head = next(found[2] for found in FENCE.finditer(text) if found[2].startswith("image,")).splitlines()[0]
    block = next(found[2] for found in FENCE.finditer(text) if found[1] == "yaml")
    draw = random.Random(0)
    (tmp_path / "images").mkdir()
    rows = [head]
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 80), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:03}.png")
        rows.append(",".join([f"{number:03}.png", str(number // 2), *(str(draw.randint(0, 1)) for _ in range(3))]))
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "first.yaml").write_text(block)
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=3).state_dict(), tmp_path / "bce.pt")
    assert main(["validate", str(tmp_path / "first.yaml")]) == 0
    assert main(["run", str(tmp_path / "first.yaml"), "-q"]) == 0, capsys.readouterr().err
    page = (tmp_path / "first-run" / "report.html").read_text()
    assert "My first audit" in page
    assert "listed 40 = used 40" in page
    assert (tmp_path / "first-run" / "report.pdf").is_file()
