"""The JSON schema of mine.yaml accepts what is accepted and rejects what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.cli import main
from auditor.errors import ConfigError
from auditor.registry import Registry
from auditor.selection.config import MineConfig, read
from auditor.selection.schema import schema

from .conftest import ROOT, TINY
from .test_training_schema import fits, value_of

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def shape() -> dict[str, Any]:
    return schema(Registry([str(TINY)], ROOT))


def test_the_schema_has_every_key_and_can_be_printed(shape: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert set(shape["properties"]) == {field.alias or name for name, field in MineConfig.model_fields.items()}
    assert shape["required"] == ["title", "pool", "query", "budget"]
    assert main(["schema", "--mine"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["properties"].keys() == shape["properties"].keys()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/mine*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_accepts_the_examples(path: Path, shape: dict[str, Any], tmp_path: Path) -> None:
    assert fits(value_of(path.read_text(), tmp_path), shape, shape)


GOOD = [
    {}, {"function": "logdetmi", "eta": "0.5"}, {"kernel": "features", "eta": "2.0"}, {"query": "tiny"}, {"seed": "3"},
    {"query": "{use: tiny, choose: all, q_min: 3, ids: [image-001]}"}, {"max_quarantine": "0.5"}, {"classes": "[Mass, Nodule]"},
]  # fmt: skip
BAD = [
    {"function": "flqm"}, {"kernel": "gradients"}, {"budget": "0"}, {"budget": ""}, {"eta": "0"}, {"query": "{use: tiny, choose: some}"},
    {"query": "{use: tiny, q_min: 0}"}, {"query": "{use: nobody}"}, {"pool": "{use: tiny, ids: [a]}"}, {"pool": ""}, {"model": ""},
    {"model": "{use: tiny_network}"}, {"title": "3"}, {"buget": "3"}, {"max_quarantine": "2"}, {"classes": "Mass"}, {"batch": "0"},
]  # fmt: skip


@pytest.mark.parametrize("lines", GOOD, ids=str)
def test_it_accepts_what_is_good(lines: dict[str, str], shape: dict[str, Any], write_mining: Write, tmp_path: Path) -> None:
    path = write_mining(**lines)
    read(path)
    assert fits(value_of(path.read_text(), tmp_path), shape, shape)


@pytest.mark.parametrize("lines", BAD, ids=str)
def test_it_rejects_what_is_bad(lines: dict[str, str], shape: dict[str, Any], write_mining: Write, tmp_path: Path) -> None:
    path = write_mining(**lines)
    with pytest.raises(ConfigError):
        read(path)
    assert not fits(value_of(path.read_text(), tmp_path), shape, shape)


def test_it_accepts_an_audit_in_the_place_of_a_model(shape: dict[str, Any], write_mining: Write, tmp_path: Path) -> None:
    for said in ("audit-run", "{run: audit-run, model: a, audit: b.yaml}"):
        assert fits(value_of(write_mining(model="", from_=said).read_text(), tmp_path), shape, shape)
    assert not fits(value_of(write_mining(model="", from_="{model: a}").read_text(), tmp_path), shape, shape)
