"""Where a network starts: drawn from its seed, or filled from a file or from torchvision's weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from auditor.cli import main
from auditor.errors import ModelRefused
from auditor.training.config import read
from auditor.training.start import fill, fresh

from .conftest import trainable

Write = Callable[..., Path]
RESNET = "{use: torchvision, architecture: resnet18, preprocessing: {size: 32}, pretrained: %s}"


def saved(folder: Path, name: str, classes: int, **changed: Any) -> Path:
    """A checkpoint of one of the tests' networks with so many classes."""
    from .plugins_for_tests import trainable as networks

    torch.manual_seed(99)
    save_file(getattr(networks, name)(classes).state_dict(), folder / "start.safetensors")
    return folder / "start.safetensors"


def test_a_file_of_the_same_architecture_is_taken_with_the_head_drawn_anew(write_training: Write, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    kept = load_file(saved(tmp_path, "plain", 14))
    plan = read(write_training(models=f"[{trainable(more=', pretrained: start.safetensors')}]"))
    network, (said,) = fresh(plan.runs[0])
    own, drawn = network.state_dict(), fresh(read(write_training()).runs[0])[0].state_dict()
    assert said == "pretrained weights: 4 of 6 taken; drawn anew: 3.weight, 3.bias"
    for name, value in own.items():
        assert torch.equal(value, drawn[name] if name.startswith("3.") else kept[name]), name


def test_where_it_started_is_in_the_card_and_told(
    write_training: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "plain", 14)
    path = write_training(models=f"[{trainable(more=', pretrained: start.safetensors')}]")
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 0
    assert "pretrained weights: 4 of 6 taken" in capsys.readouterr().err
    (card,) = (json.loads(file.read_text()) for file in (tmp_path / "out").glob("*/model.json"))
    assert card["pretrained"] == "start.safetensors"
    assert card["notes"] == ["pretrained weights: 4 of 6 taken; drawn anew: 3.weight, 3.bias"]


def test_a_file_of_another_architecture_is_refused_with_the_line(
    write_training: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a.weight": torch.zeros(3), "0.0.weight": torch.zeros(4, 1, 3, 3)}, tmp_path / "start.safetensors")
    path = write_training(models=f"[{trainable(more=', pretrained: start.safetensors')}]")
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        f"auditor: {path}:4:10: models[0]: pretrained: {tmp_path / 'start.safetensors'} fills 1 of the 6 weights"
    )
    assert said.endswith("(not 0.0.bias, 0.2.weight, 0.2.bias, ...); is it another architecture?\n")
    assert not list((tmp_path / "out").glob("*-seed0"))


def test_a_pretrained_file_that_is_code_is_refused(
    write_training: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "start.safetensors").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    path = write_training(models=f"[{trainable(more=', pretrained: start.safetensors')}]")
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 2
    assert f"{path}:4:10: models[0]: " in capsys.readouterr().err


def test_imagenet_without_internet_says_how_to_bring_the_weights(
    write_training: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import WeightsEnum

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", no_network)
    path = write_training(models=f"[{RESNET % 'imagenet'}]")
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 2
    assert capsys.readouterr().err == (
        f"auditor: {path}:4:10: models[0]: pretrained: the imagenet weights of resnet18 cannot be downloaded here (OSError); on a"
        " machine with internet, save them: safetensors.torch.save_file(torchvision.models.resnet18(weights='DEFAULT')"
        ".state_dict(), 'resnet18.safetensors'), and write pretrained: resnet18.safetensors\n"
    )


def test_imagenet_for_a_network_of_ones_own_is_refused(write_training: Write, tmp_path: Path) -> None:
    plan = read(write_training(models=f"[{trainable(more=', pretrained: imagenet')}]"))
    with pytest.raises(ModelRefused, match=r"torchvision has no imagenet weights for trainable\.plain; name a checkpoint file"):
        fresh(plan.runs[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "name"), [("use: t_densenet", "densenet121"), ("use: torchvision, architecture: resnet18", "resnet18")]
)
def test_downloaded_weights_fill_all_but_what_is_new(
    line: str, name: str, write_training: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    torch.manual_seed(5)
    offered = torchvision.models.get_model(name).state_dict()
    old = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for key, value in offered.items()}
    given = old if name == "densenet121" else offered
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda *_, **__: given)
    plan = read(write_training(models=f"[{{{line}, preprocessing: {{size: 32}}, pretrained: imagenet}}]"))
    network, (said,) = fresh(plan.runs[0])
    own = network.state_dict()
    new = said.partition("drawn anew: ")[2].split(", ")
    assert len(new) <= 6
    assert all("norm5" in key or "classifier" in key or "fc" in key for key in new), said
    assert sum(torch.equal(value, offered[key]) for key, value in own.items() if key in offered) >= len(own) - 8


def test_every_weight_is_trained_even_where_the_loader_froze_it(write_training: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = read(write_training()).runs
    frozen = fresh(run)[0].requires_grad_(False)
    monkeypatch.setattr(type(run.loader), "load", lambda _: frozen)
    assert all(weight.requires_grad for weight in fresh(run)[0].parameters())


def test_a_loader_that_draws_without_a_seed_is_given_the_seed_of_the_run(
    write_training: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = read(write_training(seeds="[0, 1]", strategies="[bce, focal]")).runs
    monkeypatch.setattr(type(runs[0].loader), "load", lambda _: torch.nn.Linear(3, 2))
    drawn = {}
    for run in runs:
        drawn[run.strategy, run.seed] = fresh(run)[0].weight
        torch.rand(1)
    assert torch.equal(drawn["bce", 0], drawn["focal", 0])
    assert not torch.equal(drawn["bce", 0], drawn["bce", 1])


def test_fill_counts_what_it_takes() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    given = {name: value + 1 for name, value in network.state_dict().items() if name != "0.bias"}
    assert fill(network, given, "f") == "pretrained weights: 5 of 6 taken; drawn anew: 0.bias"
    assert fill(network, network.state_dict(), "f") == "pretrained weights: 6 of 6 taken; drawn anew: none"
