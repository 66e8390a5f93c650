"""What goes wrong in training, one fault at a time: what is said, what is kept, and the exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditor.checkpoint import file_digest, read_weights
from auditor.cli import main
from auditor.training.train import PIXELS

from .conftest import trainable

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def go(tmp_path: Path, capsys: Capture) -> Callable[..., tuple[int, str, str]]:
    """Trains into out/; gives exit code, stdout and stderr."""

    def train(path: Path, *words: str) -> tuple[int, str, str]:
        code = main(["train", str(path), "--out", str(tmp_path / "out"), "-q", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return train


Go = Callable[..., tuple[int, str, str]]


def test_a_loss_that_is_no_number_ends_that_network_with_its_images_and_trains_the_others(
    write_training: Write, go: Go, tmp_path: Path
) -> None:
    huge = "{use: small, epochs: 2, batch: 8, warmup: 0, optimiser: sgd, decay: 0.0, rate: 3e+38}"
    code, out, err = go(write_training(strategies="[bce, {use: focal, gamma: 0.0, scale: 0.0}]", recipe=huge))
    assert code == 3
    (line,) = [line for line in err.splitlines() if "-bce-" in line]
    assert line.startswith("trainable.plain-bce-seed0: the loss is ")
    assert " at step " in line
    assert " of epoch 1, on 8 images (train-0" in line
    assert line.endswith("allowed: a finite number; lower the rate of the recipe, or look at the strategy")
    assert "trainable.plain-focal-seed0" in out
    assert (tmp_path / "out" / "trainable.plain-focal-seed0" / "model.json").is_file()
    assert not list((tmp_path / "out" / "trainable.plain-bce-seed0").glob("*.json"))
    assert (tmp_path / "out" / PIXELS).is_dir()


def test_a_strategy_that_fails_in_the_middle_ends_that_network_and_the_others_are_trained(
    write_training: Write, go: Go
) -> None:
    code, out, err = go(write_training(strategies="[{use: stumbles, after: 4}, bce]"))
    assert code == 3
    assert "trainable.plain-stumbles-seed0: " in err
    assert "strategy stumbles failed: ZeroDivisionError: on purpose" in err
    assert "internal error" not in err
    assert out.split()[0] == "trainable.plain-bce-seed0"


def test_a_strategy_that_fails_at_once_is_refused_before_anything_is_trained(
    write_training: Write, go: Go, tmp_path: Path
) -> None:
    path = write_training(strategies="[bce, stumbles]")
    code, _, err = go(path)
    assert (code, err) == (
        2, f"auditor: {path}:4:10: models[0]: strategy stumbles failed: ZeroDivisionError: on purpose\n",
    )  # fmt: skip
    assert not list((tmp_path / "out").glob("*-seed0"))


def test_a_network_that_gives_something_else_is_refused(write_training: Write, go: Go) -> None:
    path = write_training(network="pair")
    code, _, err = go(path)
    assert code == 2
    assert err.endswith("models[0]: the network gives tuple; allowed: logits [2, 3], one per image and class\n")
    wrong = trainable().replace("classes: 3", "classes: 5")
    code, _, err = go(write_training(models=f"[{wrong}]"))
    assert code == 2
    assert err.endswith("the network gives [2, 5]; allowed: logits [2, 3], one per image and class\n")


def test_colour_images_for_a_network_with_one_channel_are_refused(write_training: Write, go: Go) -> None:
    code, _, err = go(write_training(dataset="{use: squares, split: train, colour: true}"))
    assert code == 2
    assert "images with colours cannot be fed to a network with one channel; read them with colour: false" in err


def test_colour_images_train_a_network_with_three_channels(write_training: Write, go: Go) -> None:
    three = "preprocessing: {size: 16, channels: 3}"
    path = write_training(dataset="{use: squares, split: train, colour: true}", models=f"[{trainable(film=three)}]")
    assert go(path)[0] == 0


def test_images_that_cannot_be_read_are_counted_and_left_out(write_training: Write, go: Go, tmp_path: Path) -> None:
    path = write_training(
        dataset="{use: squares, split: train, images: 40, broken: [3], nan: [7, 8]}", max_quarantine="0.2",
        validation="{split: val, images: 18, broken: [0], nan: []}",
    )  # fmt: skip
    code, _, err = go(path)
    assert code == 0
    assert "58 images listed: 37 for training, 17 for validation, 4 quarantined" in err
    (card,) = (json.loads(file.read_text()) for file in (tmp_path / "out").glob("*/model.json"))
    assert (card["data"]["listed"], card["data"]["quarantined"]) == (58, 4)
    assert (card["data"]["training"]["images"], card["data"]["validation"]["images"], card["counts"]["images"]) == (37, 17, 37)
    assert all(p + n == 37 for p, n in zip(card["counts"]["positives"], card["counts"]["negatives"], strict=True))


def test_too_many_images_that_cannot_be_read_are_refused_by_reason(write_training: Write, go: Go, tmp_path: Path) -> None:
    bad = {
        "dataset": "{use: squares, split: train, broken: [3], nan: [7, 8]}",
        "validation": "{split: val, broken: [], nan: []}",
    }
    path = write_training(**bad)
    code, _, err = go(path)
    assert code == 2
    assert err == (
        f"auditor: {path}:2:10: dataset: 3 of 48 images cannot be used: nonfinite-pixels (2), decode:truncated (1); allowed: a"
        " share of 0.005; mend them, or raise max_quarantine\n"
    )
    assert go(write_training(**bad, max_quarantine="0.1"))[0] == 0


def test_no_image_that_can_be_read_is_refused(write_training: Write, go: Go) -> None:
    path = write_training(dataset="{use: squares, split: train, images: 3, broken: [0, 1, 2]}", max_quarantine="1.0",
                          validation="{split: val, broken: []}")  # fmt: skip
    code, _, err = go(path)
    assert (code, err.partition("dataset: ")[2]) == (
        2, "none of the images listed for training can be used; nothing is left to work with\n",
    )  # fmt: skip


def test_truncated_files_are_counted_as_such(write_training: Write, go: Go, tmp_path: Path) -> None:
    from PIL import Image

    draw, rows = np.random.default_rng(0), ["file,patient,split,Nodule,Effusion,Mass"]
    for number in range(24):
        Image.fromarray(draw.integers(0, 256, (20, 20), np.uint8)).save(tmp_path / f"{number}.png")
        rows.append(
            f"{number}.png,p{number},{'train' if number < 16 else 'val'},{number % 2},{number // 2 % 2},{number // 4 % 2}"
        )
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "20.png").write_bytes(b"")
    options = (
        "use: image_folder, table: labels.csv, folder: ., image_column: file, patient_column: patient, split_column: split"
    )
    path = write_training(dataset=f"{{{options}, split: train}}", validation="{split: val}", max_quarantine="0.1")
    code, _, err = go(path)
    assert code == 0, err
    assert "24 images listed: 15 for training, 7 for validation, 2 quarantined" in err
    code, _, err = go(write_training(dataset=f"{{{options}, split: train}}", validation="{split: val}"), "--resume")
    assert code == 2
    assert "2 of 24 images cannot be used: decode:truncated (1), not-an-image (1); allowed: a share of 0.005" in err


def test_patients_on_both_sides_are_refused_unless_that_is_meant(write_training: Write, go: Go) -> None:
    both = "{use: squares, split: train, one_hospital: true}"
    path = write_training(dataset=both)
    code, _, err = go(path)
    assert code == 2
    assert err.startswith(f"auditor: {path}:3:13: validation: 6 patients are in both the training and the validation images")
    assert err.endswith("allowed: disjoint patients, or shared_patients: true if that is meant\n")
    assert go(write_training(dataset=both, shared_patients="true"))[0] == 0


def test_a_class_without_positives_is_named_and_trained_around(write_training: Write, go: Go, tmp_path: Path) -> None:
    strategies = "[bce, wbce, focal, cb_focal, inter_wbce, multi_task, ldam, logit_adjustment]"
    path = write_training(
        dataset="{use: squares, split: train, absent: Mass}", strategies=strategies, validation="{split: val, absent: Effusion}"
    )
    code, out, err = go(path)
    assert code == 0
    assert len(out.splitlines()) == 9
    assert "no positive training image: Mass; such a class cannot be learned" in err
    assert "no positive validation image: Effusion; such a class has no AUROC to choose epochs by" in err
    cards = {
        card["strategy"]["name"]: card
        for file in (tmp_path / "out").glob("*/model.json")
        if (card := json.loads(file.read_text()))
    }
    assert all(card["counts"]["positives"][2] == 0 for card in cards.values())
    assert all(card["epochs"][0]["auroc"]["Effusion"] is None for card in cards.values())
    assert all(np.isfinite([epoch["loss"] for epoch in card["epochs"]]).all() for card in cards.values())
    for name in ("wbce", "cb_focal"):
        assert any("Mass" in note for note in cards[name]["notes"]), name


def test_labels_that_are_known_of_no_image_are_refused(write_training: Write, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from auditor.training import material

    listed = material.listed_samples

    def bare(dataset: Any, place: str) -> Any:
        classes, samples = listed(dataset, place)
        return classes, [replace(sample, labels=(None, None, None)) for sample in samples]

    monkeypatch.setattr(material, "listed_samples", bare)
    code, _, err = go(write_training())
    assert code == 2
    assert "none of the images listed for training can be used" in err


# the disk


def full(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The `at`-th fsync from now on, and all that come after it, find the disk full."""
    calls, real = iter(range(1, at)), os.fsync

    def fsync(handle: Any) -> None:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_full_disk_leaves_the_old_checkpoint_whole_and_is_exit_code_5(
    at: int, write_training: Write, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = write_training(), tmp_path / "out" / "trainable.plain-bce-seed0"
    with monkeypatch.context() as patched:
        full(patched, at)
        code, _, err = go(path)
    assert code == 5, err
    assert "o space left" in err
    assert not list(folder.glob(".*"))
    for file in folder.glob("*.safetensors"):
        assert read_weights(file)
    assert not (folder / "model.json").exists()
    assert go(path, "--resume")[0] == 0
    assert (folder / "model.json").is_file()


def test_a_disk_that_cannot_hold_the_pixels_says_so_before_anything_is_read(
    write_training: Write, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    code, _, err = go(write_training())
    assert code == 5
    assert "training-" in err
    assert "no space left" in err
    assert not list((tmp_path / "out" / PIXELS).glob("*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB; the test is skipped where none can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a disk of 400 kB cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_a_real_disk_that_is_full_while_a_checkpoint_is_written(
    write_training: Write, small_disk: Path, capsys: Capture
) -> None:
    path = write_training(recipe="{use: small, epochs: 3, batch: 8}")
    out = small_disk / "out"
    assert main(["train", str(path), "--out", str(out), "-q"]) == 0
    digests = {file: file_digest(file) for file in out.glob("*/*.safetensors")}
    (small_disk / "ballast").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize - 64_000))
    capsys.readouterr()
    assert main(["train", str(write_training(seeds="[1, 2, 3, 4]")), "--out", str(out), "-q"]) == 5
    said = capsys.readouterr().err
    assert "o space left" in said
    assert "safetensors" in said
    assert "Traceback" not in said
    assert {file: file_digest(file) for file in digests} == digests


def test_a_folder_that_may_not_be_written_is_exit_code_5(write_training: Write, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "out").write_text("a file")
    assert main(["train", str(write_training()), "--out", str(tmp_path / "out"), "-q"]) == 5
    assert "choose another --out" in capsys.readouterr().err
