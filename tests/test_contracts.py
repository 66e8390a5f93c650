"""Every registered plugin is held to its kind's contract; adding a file adds its tests."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor import hookspecs, testing
from auditor.registry import KINDS, Registry, singular

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = Registry()
CLASSES = ("Nodule", "Effusion", "Mass")


def every(kind: str) -> Any:
    return pytest.mark.parametrize("cls", REGISTRY.all(kind).values(), ids=lambda cls: cls.name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_a_hook_a_folder_a_base_class_and_a_check(kind: str) -> None:
    word = singular(kind)
    assert hasattr(hookspecs, f"register_{kind}")
    assert (ROOT / "plugins" / kind / "__init__.py").is_file()
    module = importlib.import_module(f"auditor.{word}")
    assert any(inspect.isclass(value) and value.__module__ == module.__name__ for value in vars(module).values())
    assert callable(getattr(testing, f"check_{word}"))
    assert REGISTRY.all(kind), f"no built-in {word}"


@every("attributions")
def test_an_attribution_keeps_its_contract(cls: Any) -> None:
    testing.check_attribution(cls(method="Saliency") if cls.name == "captum" else cls())


@pytest.mark.parametrize(
    "method",
    [
        "InputXGradient",
        "LayerGradCam",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("IntegratedGradients", "Occlusion")),
    ],
)
def test_captum_methods_keep_the_contract_of_an_attribution(method: str) -> None:
    options = {"sliding_window_shapes": [3, 6, 6], "strides": [3, 3, 3]} if method == "Occlusion" else {}
    testing.check_attribution(REGISTRY.get("attributions", "captum")(method=method, options=options))


@every("analyses")
def test_an_analysis_keeps_its_contract(cls: Any) -> None:
    attribution = REGISTRY.get("attributions", "gradcam")() if "attribution" in cls.needs else None
    testing.check_analysis(cls(), attribution)


@every("strategies")
def test_a_strategy_keeps_its_contract(cls: Any) -> None:
    testing.check_strategy(cls())


@every("sections")
def test_a_section_keeps_its_contract(cls: Any, evidence: Any) -> None:
    testing.check_section(cls(), evidence)


@pytest.mark.parametrize("task", ["multilabel", "binary"])
def test_planted_data_keep_the_contract_of_a_data_set(task: str) -> None:
    testing.check_dataset(REGISTRY.get("datasets", "planted")(images=40, size=64, task=task))


@pytest.mark.parametrize("task", ["multilabel", "binary"])
def test_real_radiographs_keep_the_contract_of_a_data_set(task: str, shared_data: Path) -> None:
    testing.check_dataset(REGISTRY.get("datasets", "chestxray14")(root=shared_data / "chestxray14-sample", task=task))


def test_a_folder_of_images_keeps_the_contract_of_a_data_set(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(4):
        Image.fromarray(np.full((20, 30), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("image,patient,Nodule,Mass\n0.png,a,1,0\n1.png,a,0,\n2.png,b,-1,1\n3.png,c,0,0\n")
    (tmp_path / "boxes.csv").write_text("image,label,x,y,width,height\n0.png,Nodule,3,4,10,6\n")
    folder = REGISTRY.get("datasets", "image_folder")
    testing.check_dataset(folder(table=tmp_path / "labels.csv", folder=tmp_path, boxes=tmp_path / "boxes.csv"))


def test_dicom_files_keep_the_contract_of_a_data_set(tmp_path: Path, shared_data: Path) -> None:
    names = sorted(path.name for path in (shared_data / "dicom").glob("*.dcm"))
    (tmp_path / "labels.csv").write_text("image,patient,Nodule\n" + "".join(f"{name},p{n},0\n" for n, name in enumerate(names)))
    testing.check_dataset(REGISTRY.get("datasets", "dicom_folder")(table=tmp_path / "labels.csv", folder=shared_data / "dicom"))
