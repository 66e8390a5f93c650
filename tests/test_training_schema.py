"""The JSON schema of train.yaml accepts what is accepted and rejects what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor import yaml_marks
from auditor.cli import main
from auditor.problems import Problems
from auditor.registry import Registry
from auditor.training.config import TrainConfig
from auditor.training.schema import schema

from .conftest import ROOT, TRAINABLE

Write = Callable[..., Path]

KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
}  # fmt: skip
KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description", "enum",
    "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maximum", "maxItems", "minimum", "minItems", "minLength",
    "prefixItems", "properties", "required", "title", "type",
}  # fmt: skip


def fits(value: Any, shape: dict[str, Any], root: dict[str, Any]) -> bool:
    """JSON Schema 2020-12 as far as our schemas use it; a keyword that is not known here fails the test."""
    assert shape.keys() <= KNOWN, shape.keys() - KNOWN
    if "$ref" in shape:
        target = root
        for step in shape["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        if not fits(value, target, root):
            return False
    if "anyOf" in shape and not any(fits(value, option, root) for option in shape["anyOf"]):
        return False
    if ("const" in shape and value != shape["const"]) or ("enum" in shape and value not in shape["enum"]):
        return False
    if "type" in shape and (
        not isinstance(value, KINDS[shape["type"]]) or (isinstance(value, bool) != (shape["type"] == "boolean"))
    ):
        return False
    if isinstance(value, str):
        return len(value) >= shape.get("minLength", 0)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return within(value, shape)
    if isinstance(value, list):
        return listed(value, shape, root)
    return all_keys(value, shape, root) if isinstance(value, dict) else True


def within(value: float, shape: dict[str, Any]) -> bool:
    low, high = shape.get("minimum", value), shape.get("maximum", value)
    return low <= value <= high and shape.get("exclusiveMinimum", value - 1) < value < shape.get("exclusiveMaximum", value + 1)


def listed(value: list[Any], shape: dict[str, Any], root: dict[str, Any]) -> bool:
    if not shape.get("minItems", 0) <= len(value) <= shape.get("maxItems", len(value)):
        return False
    before = shape.get("prefixItems", [])
    shapes = [*before, *[shape.get("items", {})] * len(value)]
    return all(fits(item, of, root) for item, of in zip(value, shapes, strict=False))


def all_keys(value: dict[str, Any], shape: dict[str, Any], root: dict[str, Any]) -> bool:
    if any(key not in value for key in shape.get("required", ())):
        return False
    rest = shape.get("additionalProperties", True)
    for key, item in value.items():
        of = shape.get("properties", {}).get(key, rest)
        if of is False or (isinstance(of, dict) and not fits(item, of, root)):
            return False
    return True


@pytest.fixture(scope="module")
def shape() -> dict[str, Any]:
    return schema(Registry([str(TRAINABLE)], ROOT))


def value_of(text: str, folder: Path) -> Any:
    (folder / "train.yaml").write_text(text)
    found, _ = yaml_marks.read(folder / "train.yaml", Problems())
    return found


def test_the_schema_has_every_key_and_can_be_printed(shape: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert set(shape["properties"]) == {field.alias or name for name, field in TrainConfig.model_fields.items()}
    assert shape["required"] == ["title", "dataset", "models", "strategies"]
    assert main(["schema", "--train"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["properties"].keys() == shape["properties"].keys()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/train.yaml")), ids=lambda path: path.parent.name)
def test_it_accepts_the_examples(path: Path, shape: dict[str, Any], tmp_path: Path) -> None:
    assert fits(value_of(path.read_text(), tmp_path), shape, shape)


GOOD = [
    {}, {"validation": "0.2"}, {"validation": "{split: val, images: 3}"}, {"strategies": "[bce, {use: focal, gamma: 1.0}]"},
    {"strategies": "[{use: bce, with: [balanced_sampling, {use: asymmetric_mixup, alpha: 0.5}], as: mixed}]"},
    {"recipe": "imba_explain"}, {"recipe": "{use: paper2022, epochs: 3, precision: bfloat16, augmentation: none}"},
    {"seeds": "[0, 4294967295]"}, {"shared_patients": "true"}, {"max_quarantine": "0.0"},
    {"models": "[{use: torchvision, architecture: resnet18, pretrained: imagenet}, {use: t_densenet, pretrained: a.safetensors}]"},
]  # fmt: skip
BAD = [
    {"validation": "1.0"}, {"validation": "[val]"}, {"strategies": "[bcee]"}, {"strategies": "[]"},
    {"strategies": "[{use: focal, gama: 1.0}]"}, {"strategies": "[{use: bce, with: balanced_sampling}]"},
    {"strategies": "[{use: bce, with: [{use: nobody}]}]"}, {"recipe": "paper2021"}, {"recipe": "{epochs: 3}"},
    {"recipe": "{use: small, epochs: 0}"}, {"recipe": "{use: small, augmentation: papr}"}, {"seeds": "[-1]"}, {"seeds": "[4294967296]"},
    {"seeds": "[x]"}, {"shared_patients": "1"}, {"max_quarantine": "2"}, {"title": "3"}, {"seed": "[1]"},
    {"models": "[{use: torchvision, architecture: resnet18, strategy: bce}]"},
    {"models": "[{use: torchvision, architecture: resnet18, checkpoint: a.pt}]"}, {"models": "[{use: torchvision}]"},
    {"models": "[{use: torchvision, architecture: resnet18, pretrained: 3}]"}, {"dataset": "{use: squares, split: trian}"},
]  # fmt: skip


def put(write: Write, lines: dict[str, str]) -> str:
    return write(**lines).read_text()


@pytest.mark.parametrize("lines", GOOD, ids=str)
def test_it_accepts_what_is_good(lines: dict[str, str], shape: dict[str, Any], write_training: Write, tmp_path: Path) -> None:
    assert fits(value_of(put(write_training, lines), tmp_path), shape, shape)


@pytest.mark.parametrize("lines", BAD, ids=str)
def test_it_rejects_what_is_bad(lines: dict[str, str], shape: dict[str, Any], write_training: Write, tmp_path: Path) -> None:
    from auditor.errors import ConfigError
    from auditor.training.config import read

    path = write_training(**lines)
    with pytest.raises(ConfigError):
        read(path)
    assert not fits(value_of(path.read_text(), tmp_path), shape, shape)
