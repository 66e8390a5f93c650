"""`auditor validate` reads tables, lists and the headers of checkpoints, and tells everything at once, each at its option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.checkpoint import save
from auditor.cli import main
from auditor.errors import ModelRefused
from auditor.outputs import unmatched
from auditor.placing import placed

AUDIT = """\
title: t
dataset: {dataset}
models:
  - {model}
reference: bce
analyses: [performance]
subgroups: [{by}]
"""
DATASET = "{use: image_folder, table: labels.csv, folder: images, groups: [sex]}"
MODEL = "{use: torchvision, architecture: shufflenet_v2_x0_5, checkpoint: bce.safetensors, strategy: bce}"
TABLE = "image,patient,sex,Mass,Nodule\na.png,1,F,0,1\nb.png,2,M,1,0\n"
Tell = Callable[..., list[str]]


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    from torchvision.models import shufflenet_v2_x0_5

    return dict(shufflenet_v2_x0_5(num_classes=2).state_dict())


@pytest.fixture
def home(tmp_path: Path, weights: dict[str, Any]) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).touch()  # validate opens no image
    (tmp_path / "labels.csv").write_text(TABLE)
    save(tmp_path / "bce.safetensors", weights, {"classes": ["Mass", "Nodule"], "architecture": "shufflenet_v2_x0_5"})
    return tmp_path


@pytest.fixture
def tell(home: Path, capsys: pytest.CaptureFixture[str]) -> Tell:
    """What validate says of an audit.yaml in the folder, and plan says the same."""

    def told(dataset: str = DATASET, model: str = MODEL, by: str = "sex") -> list[str]:
        text = AUDIT.replace("{dataset}", dataset).replace("{model}", model).replace("{by}", by)
        (home / "audit.yaml").write_text(text)
        code = main(["validate", str(home / "audit.yaml")])
        said = capsys.readouterr().err
        if code:
            assert main(["plan", str(home / "audit.yaml")]) == code == 2
            assert capsys.readouterr().err == said
        lines = said.removeprefix("auditor: ").replace(f"{home}/", "").splitlines()
        return lines[1:] if lines and lines[0].endswith(" mistakes") else lines

    return told


def test_a_good_audit_is_good(tell: Tell) -> None:
    assert tell() == []


def test_everything_that_headers_show_is_told_at_once(tell: Tell, home: Path) -> None:
    (home / "boxes.csv").write_text("image,lable,x,y,width,height\n")
    found = tell(
        "{use: image_folder, table: labels.csv, folder: images, groups: [sexx, sex], class_names: [Mas, Nodule], boxes: boxes.csv,"
        " split: test}",
        "{use: torchvision, architecture: shufflenet_v2_x1_5, checkpoint: bce.safetensors, strategy: bce, layers: {attribution: conv55}}",
    )
    assert [line.partition(": ")[2].partition(": ")[0] for line in found] == [
        "dataset.groups[0]", "dataset.class_names[0]", "dataset.split", "models[0].checkpoint", "models[0].checkpoint",
        "models[0].layers.attribution",
    ]  # fmt: skip
    columns = "there is image, patient, sex, Mass, Nodule"
    assert found[0] == f"audit.yaml:2:74: dataset.groups[0]: labels.csv:1: no column 'sexx'; {columns}; did you mean sex?"
    assert found[1].startswith(
        f"audit.yaml:2:100: dataset.class_names[0]: labels.csv:1: class_names: no column 'Mas'; {columns}; did"
    )
    assert found[2].startswith("audit.yaml:2:139: dataset.split: labels.csv:1: split_column: no column 'split'; there is")
    assert "says otherwise than audit.yaml: architecture shufflenet_v2_x0_5, not shufflenet_v2_x1_5" in found[3]
    assert "have another shape" in found[4]
    assert found[5].endswith("no layer 'conv55' in ShuffleNetV2; did you mean conv5?")


@pytest.mark.parametrize(
    ("table", "dataset", "expected"),
    [
        ("", DATASET, "2:37: dataset.table: labels.csv: the table is empty; a header row with the names of the columns is expected"),
        (TABLE.replace(",", ";"), DATASET, "2:37: dataset.table: labels.csv:1: the columns are separated by semicolons; allowed: commas"),
        ("PK\x03\x04", DATASET, "2:37: dataset.table: labels.csv: found a zip archive, such as an Excel workbook; allowed: a table as CSV"),
        (TABLE.splitlines()[0] + "\n", DATASET, "2:10: dataset.class_names: labels.csv: there is no row under the header"),
        (TABLE + "c.png,3,F,NaN,1\n", DATASET, "2:10: dataset.class_names: labels.csv:4: Mass is 'NaN'; 1, 0, and -1 or nothing for unknown are read"),
        (TABLE, DATASET.replace("folder: images", "folder: labels.csv"), "2:57: dataset.folder: found a file, labels.csv; allowed: a folder of images"),
        (TABLE, DATASET.replace("labels.csv", "images"), "2:37: dataset.table: found a folder, images; allowed: a CSV file"),
        (TABLE + "c.png,3\n", DATASET, "2:37: dataset.table: labels.csv:4: 2 fields under 5 columns"),
        (TABLE + "a.png,3,F,1,1\n", DATASET, "2:10: dataset.image_column: labels.csv:4: 'a.png' is listed a second time, first in line 2"),
        (TABLE + "c.png,,F,1,1\n", DATASET, "2:10: dataset.patient_column: labels.csv:4: the patient is not named"),
        (TABLE.replace("a.png", "x.png").replace("b.png", "y.png"), DATASET,
         "2:57: dataset.folder: images: none of the 2 files that labels.csv names is there, such as 'x.png'; there is a.png, b.png; did you mean b.png?"),
        (TABLE.replace(",1\n", ",yes\n"), DATASET[:-1] + ", class_names: [Mass, Nodule]}",
         "2:100: dataset.class_names[1]: labels.csv:2: Nodule is 'yes'; 1, 0, and -1 or nothing for unknown are read"),
        (TABLE, DATASET.replace("images,", "image,"), "2:57: dataset.folder: found no file image; did you mean images?"),
        (TABLE, "{use: chestxray14, root: images}",
         "2:35: dataset.root: images: no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv here (plain or .gz); root is the folder of the NIH's tables"),
    ],
)  # fmt: skip
def test_what_a_table_shows_stands_at_its_option(table: str, dataset: str, expected: str, tell: Tell, home: Path) -> None:
    (home / "labels.csv").write_text(table)
    assert f"audit.yaml:{expected}" in tell(dataset)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (MODEL.replace("x0_5", "x0_55"), "4:38: models[0].architecture: torchvision has no classifier 'shufflenet_v2_x0_55'; allowed: shufflenet_v2_x0_5, "),
        (MODEL[:-1] + ", classes: [Mass, Nodul]}", "4:118: models[0].classes[1]: found 'Nodul', and no output called 'Nodule'; allowed: the classes of the data set, Mass, Nodule; did you mean Nodule?"),
        (MODEL[:-1] + ", classes: [Mass, Nodule, Hernia]}", "4:70: models[0].checkpoint: bce.safetensors does not fit ShuffleNetV2: 2 have another shape (fc.weight is [2, 1024] in the file and [3, 1024] here, "),
        (MODEL.replace("bce.safetensors", "torn.safetensors"), "4:70: models[0].checkpoint: torn.safetensors is neither safetensors nor a state dict saved by torch.save, or it is cut short; "),
        (MODEL.replace("bce.safetensors", "images/../bce.safetensor"), "4:70: models[0].checkpoint: found no file bce.safetensor; did you mean bce.safetensors?"),
        (MODEL[:-1] + ", preprocessing: {mean: [0.5, 0.5]}}", "4:124: models[0].preprocessing.mean: found 2 values; allowed: 1, or one for each of 3 channels"),
        ("{use: scores, table: labels.csv, values: logits, strategy: bce, prefix: p_}", "4:77: models[0].prefix: labels.csv:1: no column begins with 'p_'; there is image, patient, sex, Mass, Nodule"),
        ("{use: scores, table: labels.csv, values: logits, strategy: bce, image_column: imge}", "4:83: models[0].image_column: labels.csv:1: no column 'imge'; there is image, patient, sex, Mass, Nodule; did you mean image?"),
        ("{use: t_densenet, checkpoint: null, strategy: bce}", "4:5: models[0].classes: the outputs have no names; add classes: [Mass, Nodule] in the order of the network's outputs"),
    ],
)  # fmt: skip
def test_what_a_header_shows_stands_at_its_option(model: str, expected: str, tell: Tell, home: Path) -> None:
    (home / "torn.safetensors").write_bytes((home / "bce.safetensors").read_bytes()[:1000])
    assert tell(model=model)[0].startswith(f"audit.yaml:{expected}")


def test_an_attribute_that_the_data_set_does_not_have_is_told_without_listing_it(tell: Tell) -> None:
    (line,) = tell(by="age")
    assert line == "audit.yaml:7:13: subgroups[0]: found 'age'; allowed: an attribute that the data set has: sex"


def test_weights_that_only_loading_shows_to_be_broken_are_told_with_line_and_network(
    tell: Tell, home: Path, weights: dict[str, Any]
) -> None:
    """NaN is in no header: validate passes it, plan loads the network and names both."""
    import torch

    broken = {**weights, "fc.bias": torch.full((2,), torch.nan)}
    save(home / "bce.safetensors", broken, {"classes": ["Mass", "Nodule"]})
    (home / "audit.yaml").write_text(AUDIT.format(dataset=DATASET, model=MODEL, by="sex"))
    assert main(["validate", str(home / "audit.yaml")]) == 0
    with pytest.raises(ModelRefused) as caught:
        planned(home / "audit.yaml")
    said = str(caught.value).replace(f"{home}/", "")
    assert said.startswith(
        "audit.yaml:4:5: models[0] (bce · shufflenet_v2_x0_5 · seed 0): bce.safetensors holds fc.bias with 2 of 2"
    )


def planned(path: Path) -> str:
    from auditor.config import read
    from auditor.estimate import describe
    from auditor.planning import make
    from auditor.registry import Registry

    return describe(make(read(path), Registry()))


def test_an_explanation_method_that_captum_does_not_have_stands_at_its_option(home: Path, tell: Tell) -> None:
    (line,) = tell(by="sex]\nattributions: [{use: captum, method: Salency}")
    assert line.startswith("audit.yaml:8:38: attributions[0].method: captum has no method 'Salency'; there are Saliency, ")


def test_plan_names_outputs_that_are_no_class(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n},{n % 2},0.{n}\n" for n in range(9))
    (home / "images.csv").write_text("image,Mass,score\n" + rows)
    (home / "scores.csv").write_text("image,Mass,Hernia\n" + rows)
    (home / "audit.yaml").write_text(
        "title: t\ndataset: {use: image_folder, table: images.csv}\nreference: bce\nattributions: []\nanalyses: [performance]\n"
        "models: [{use: scores, table: scores.csv, values: logits, strategy: bce}]\n"
    )
    assert main(["plan", str(home / "audit.yaml")]) == 0
    assert "  not used  bce · scores · seed 0: output Hernia, no class of the data set" in capsys.readouterr().out


def test_a_network_in_a_state_dict_of_torch_save_is_held_against_its_architecture(
    tell: Tell, home: Path, weights: dict[str, Any]
) -> None:
    import torch

    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, home / "bce.pt")
    model = MODEL.replace("bce.safetensors", "bce.pt")[:-1] + ", classes: [Mass, Nodule]}"
    assert tell(model=model) == []
    (line,) = tell(model=model.replace("x0_5", "x1_0"))
    assert "bce.pt does not fit ShuffleNetV2" in line


# whose line is to blame


def test_a_misspelt_output_is_blamed_and_not_the_data_set() -> None:
    (found,) = unmatched(("Effusion", "Mass"), ("Mass", "Efusion", "Other"))
    assert found.option == "classes[1]"
    assert found.message.startswith("found 'Efusion', and no output called 'Effusion'; ")
    assert found.message.endswith("; did you mean Effusion?")


def test_an_output_is_blamed_once_and_one_that_is_a_class_never() -> None:
    assert [found.option for found in unmatched(("Mass", "Masses"), ("Mass",))] == ["classes"]
    assert [found.option for found in unmatched(("Effusion", "Effusions"), ("Efusion",))] == ["classes[0]", "classes"]
    (found,) = unmatched(("a", "b", "c"), ("b",))
    assert found.message == "found no output called 'a', 'c'; the outputs are b"
    assert [found.message for found in unmatched(("a",), ("a", "a"))] == ["found 'a' more than once; allowed: each output once"]


def test_a_message_stands_at_the_option_that_it_begins_with() -> None:
    from auditor import ModelLoader

    loader = ModelLoader(strategy="bce")
    assert placed("classes[1]: what", loader, "models[0]", str) == "models[0].classes[1]: what"
    assert placed("layers.attribution: what", loader, "m", str) == "m.layers.attribution: what"
    assert placed("/a/b.csv:1: what", loader, "m", str) == "m: /a/b.csv:1: what"
    assert placed("unknown: what", loader, "m", str) == "m: unknown: what"
