"""An audit takes up the folder that a training has left, and a stranger's strategy is trained like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.cli import main
from auditor.config import read
from auditor.errors import ConfigError
from auditor.trained import BEST, CARD, STATE

from .conftest import FILM, ROOT, TRAINABLE

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with out/: two strategies, two seeds, trained once for all tests of this file, and the plugin beside it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(TRAINABLE, folder / "nets.py")
    (folder / "train.yaml").write_text(
        "title: t\ndataset: {use: squares, split: train}\nvalidation: {split: val}\n"
        f"models: [{{use: factory, file: nets.py, function: plain, options: {{classes: 3}}, {FILM}}}]\n"
        "strategies: [bce, focal]\nseeds: [0, 1]\nrecipe: {use: small, epochs: 1, batch: 8}\nplugins: [nets.py]\n"
    )
    assert main(["train", str(folder / "train.yaml"), "--out", str(folder / "out"), "-q"]) == 0
    return folder


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    """A copy of that folder to spoil."""
    return Path(shutil.copytree(kept, tmp_path / "home"))


def audit(folder: Path, models: str, **lines: str) -> Path:
    content = {
        "title": "t", "dataset": "{use: squares, split: test, images: 30}", "models": models, "reference": "bce",
        "analyses": "[performance]", "attributions": "[gradcam]", "report": "{formats: [html], images: false}",
        "plugins": "[nets.py]", **lines,
    }  # fmt: skip
    (folder / "audit.yaml").write_text("".join(f"{key}: {value}\n" for key, value in content.items()))
    return folder / "audit.yaml"


def by_hand(strategy: str, seed: int) -> str:
    file = f"out/nets.plain-{strategy}-seed{seed}/{BEST}"
    return (
        f"{{use: factory, file: nets.py, function: plain, options: {{classes: 3}}, {FILM}, checkpoint: {file},"
        f" strategy: {strategy}, seed: {seed}}}"
    )


def mistake(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path)
    return str(caught.value).replace(str(path.parent), ".")


def numbers(run: Path) -> Any:
    found = json.loads((run / "results.json").read_text())
    return found["summaries"], found["comparisons"]


def test_naming_the_folder_gives_the_numbers_of_naming_every_checkpoint(home: Path) -> None:
    listed = ", ".join(by_hand(strategy, seed) for strategy in ("bce", "focal") for seed in (0, 1))
    for name, models in (("folder", "{from: out}"), ("hand", f"[{listed}]")):
        assert main(["run", str(audit(home, models)), "--out", str(home / name), "-q", "--device", "cpu"]) == 0
    found = numbers(home / "folder")
    assert found == numbers(home / "hand")
    assert len(found[0]) > 4


def test_the_networks_come_in_order_with_what_is_known_of_them(home: Path) -> None:
    config = read(audit(home, "{from: out}"))
    assert [(model.options["strategy"], model.options["seed"]) for model in config.models] == [
        ("bce", 0), ("bce", 1), ("focal", 0), ("focal", 1),
    ]  # fmt: skip
    assert all(model.options["classes"] == ["Nodule", "Effusion", "Mass"] for model in config.models)
    assert [card["strategy"]["parts"][0]["use"] for _, card in config.trained] == ["bce", "bce", "focal", "focal"]
    assert read(audit(home, f"[{by_hand('bce', 0)}]")).trained == ()


def test_a_folder_that_was_moved_as_a_whole_is_still_right(home: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.move(home, moved)
    path = audit(moved, "{from: out}")
    assert Path(read(path).models[0].options["file"]) == moved / "nets.py"
    assert main(["validate", str(path)]) == 0
    assert main(["run", str(path), "--out", str(moved / "run"), "-q", "--device", "cpu"]) == 0


def test_no_card_names_a_person_or_a_machine(home: Path) -> None:
    for card in home.glob("out/*/model.json"):
        assert str(home.parent) not in card.read_text()
        assert json.loads(card.read_text())["options"]["file"] == "../../nets.py"


def test_other_options_hold_for_all_networks_of_the_folder(home: Path) -> None:
    config = read(audit(home, "{from: out, layers: {attribution: '0.0'}, seed: 9}"))
    assert {model.options["layers"]["attribution"] for model in config.models} == {"0.0"}
    assert {model.options["seed"] for model in config.models} == {9}
    assert main(["validate", str(audit(home, "{from: out, layerz: {attribution: '0.0'}}"))]) == 2


def test_a_network_that_is_not_finished_is_named(home: Path) -> None:
    folder = home / "out" / "nets.plain-focal-seed1"
    (folder / CARD).unlink()
    shutil.copy(folder / BEST, folder / STATE)
    assert mistake(audit(home, "{from: out}")) == (
        "./audit.yaml:3:16: models.from: found 1 unfinished network (nets.plain-focal-seed1): auditor train --resume goes on with"
        " them; delete the folders of those that are not to be audited"
    )
    shutil.rmtree(folder)
    assert len(read(audit(home, "{from: out}")).models) == 3


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("{from: empty}", "found no model.json in ./empty or below it; allowed: what `auditor train` has written"),
        ("{from: oot}", "found no folder ./oot; did you mean out?"),
        ("{from: 3}", "found 3; allowed: a folder that `auditor train` has written"),
    ],
)
def test_a_folder_without_networks_is_refused(models: str, said: str, home: Path) -> None:
    (home / "empty").mkdir()
    assert mistake(audit(home, models)) == f"./audit.yaml:3:16: models.from: {said}"


@pytest.mark.parametrize(
    "damage",
    ["{", "[]", "{}", '{"schema": 2}', {"strategy": {}}, {"strategy": "bce"}, {"seed": "0"}, {"options": {}}, {"use": None},
     {"classes": None}],
    ids=str,
)  # fmt: skip
def test_a_damaged_card_is_refused_with_its_name(damage: Any, home: Path) -> None:
    file = home / "out" / "nets.plain-bce-seed1" / CARD
    file.write_text(damage if isinstance(damage, str) else json.dumps(json.loads(file.read_text()) | damage))
    said = mistake(audit(home, "{from: out}"))
    assert said.startswith("./audit.yaml:3:16: models.from: ./out/nets.plain-bce-seed1/model.json")


def test_a_checkpoint_that_was_exchanged_is_refused_by_its_seal(home: Path, capsys: Capture) -> None:
    file = home / "out" / "nets.plain-bce-seed1" / BEST
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    assert main(["run", str(audit(home, "{from: out}")), "--out", str(home / "run"), "-q", "--device", "cpu"]) == 2
    assert "is not as it was written: its digest differs" in capsys.readouterr().err


def test_a_strangers_strategy_of_one_file_is_trained(write_training: Write, tmp_path: Path, capsys: Capture) -> None:
    file = ROOT / "examples" / "one_file_plugin" / "my_strategy.py"
    assert len(file.read_text().splitlines()) <= 30
    shutil.copy(file, tmp_path)
    path = write_training(strategies="[bce, {use: my_strategy, power: 1.0}, {use: my_strategy, with: [balanced_sampling]}]",
                          plugins=f"['{TRAINABLE}', my_strategy.py]")  # fmt: skip
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[:3]] == [
        f"trainable.plain-{name}-seed0" for name in ("bce", "my_strategy", "my_strategy+balanced_sampling")
    ]
    card = json.loads((tmp_path / "out" / "trainable.plain-my_strategy-seed0" / CARD).read_text())
    assert card["strategy"] == {"name": "my_strategy", "parts": [{"use": "my_strategy", "options": {"power": 1.0}}]}
    positives, negatives = card["counts"]["positives"], card["counts"]["negatives"]
    assert card["counts"]["images"] == 24
    assert [p + n for p, n in zip(positives, negatives, strict=True)] == [24] * 3
