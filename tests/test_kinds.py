"""Which kind of YAML file it is: told by its keys, and said where another kind is expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditor import errors
from auditor.cli import main
from auditor.config import AuditConfig, Written, shaped
from auditor.kinds import KINDS, refusal
from auditor.problems import Places, Problems
from auditor.selection.config import MineConfig
from auditor.selection.simulation_config import SimulationConfig
from auditor.training.config import TrainConfig
from auditor.yaml_marks import parse

SHAPES: dict[str, type[Written]] = {
    "audit.yaml": AuditConfig,
    "train.yaml": TrainConfig,
    "mine.yaml": MineConfig,
    "simulate.yaml": SimulationConfig,
}
Write = Callable[..., Path]


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_of_a_kind_are_those_that_its_reader_knows(kind: str) -> None:
    shape = SHAPES[kind]
    assert {field.alias or name for name, field in shape.model_fields.items()} == KINDS[kind].keys
    assert shape.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_example_is_one(kind: str) -> None:
    problems, places = Problems(), Places(kind)
    data = parse(KINDS[kind].smallest, places, problems)
    assert refusal(data, kind, kind) is None
    assert shaped(SHAPES[kind], {}, data, places, problems) is not None, problems.lines()


@pytest.mark.parametrize("text", ["", "# only a comment\n\n"])
@pytest.mark.parametrize(
    ("command", "needs"),
    [
        ("validate", "audit.yaml"), ("plan", "audit.yaml"), ("run", "audit.yaml"), ("train", "train.yaml"), ("mine", "mine.yaml"),
        ("mine --simulate", "simulate.yaml"),
    ],
)  # fmt: skip
def test_an_empty_file_is_answered_with_the_least_that_is_needed(
    text: str, command: str, needs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "empty.yaml").write_text(text)
    assert main([*command.split(), str(path)]) == 2
    kind = KINDS[needs]
    least = f"allowed: what {kind.what} needs; the least is {kind.smallest}\n"
    assert capsys.readouterr().err == f"auditor: {path}:1:1: found an empty file; {least}"


@pytest.mark.parametrize(
    ("given", "command", "answer"),
    [
        ("train.yaml", "run", "this looks like a train.yaml; use auditor train {path}, or write an audit"),
        ("mine.yaml", "run", "this looks like a mine.yaml; use auditor mine {path}, or write an audit"),
        ("simulate.yaml", "run", "this looks like a simulate.yaml; use auditor mine --simulate {path}, or write an audit"),
        ("audit.yaml", "train", "this looks like a audit.yaml; use auditor run {path}, or write a training"),
        ("train.yaml", "mine", "this looks like a train.yaml; use auditor train {path}, or write a selection"),
        ("audit.yaml", "mine --simulate", "this looks like a audit.yaml; use auditor run {path}, or write a simulation"),
    ],
)
def test_a_file_of_another_kind_is_sent_to_its_command(
    given: str, command: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path := tmp_path / "file.yaml").write_text(KINDS[given].smallest)
    assert main([*command.split(), str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"auditor: {path}:1:1: found ")
    assert said.endswith(answer.format(path=path).replace("a audit", "an audit") + "\n")
    assert said.count("\n") == 1


def test_many_names_are_cut_and_the_nearest_come_first() -> None:
    names = [f"class_{letter}" for letter in "abcdefghijklmnopqrst"]
    said = errors.among("clas_t", names)
    assert said.startswith("class_t, ")
    assert said.endswith(" and 8 more; did you mean class_t?")
    assert said.count(",") == 11
    assert errors.among("?", names[:12]) == ", ".join(names[:12])
    assert errors.among("CLASS_B", names[:3]) == "class_a, class_b, class_c; did you mean class_b?"
