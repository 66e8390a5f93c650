"""Killed at any moment and resumed, a training ends as if it had never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.checkpoint import read_weights, weights_digest
from auditor.cli import main
from auditor.trained import BEST, CARD, LAST, STATE

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
LINES = {
    "network": "normed",
    "strategies": "[{use: multi_task, with: [{use: asymmetric_mixup, rare: [Mass]}, balanced_sampling]}]",
    "recipe": "{use: small, epochs: 3, batch: 8, augmentation: imba_explain, warmup: 2}",
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads here as in the processes that are killed: the promise is for one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(path: Path, out: Path, *words: str) -> int:
    return main(["train", str(path), "--out", str(out), "-q", *words])


def killed(path: Path, out: Path, moment: str, *words: str) -> int:
    """Trains in a process that kills itself at a moment such as `backward 5`: the fifth backward pass."""
    command = [sys.executable, "-m", "auditor", "train", str(path), "--out", str(out), "-q", *words]
    environment = {**os.environ, "AUDITOR_TEST_DIES_AT": moment, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120).returncode


def told(folder: Path) -> Any:
    """What a reader of the folder can see: model.json, and the digests of both networks."""
    card = json.loads((folder / CARD).read_text())
    return card, [weights_digest(read_weights(folder / name)) for name in (BEST, LAST)]


def only(out: Path) -> Path:
    (folder,) = out.glob("*-seed0")
    return folder


class Died(BaseException):
    """Stands in for a kill where a process of its own would take too long; nothing catches it."""


def test_a_kill_in_the_second_epoch_and_resume_give_the_straight_run(write_training: Write, tmp_path: Path) -> None:
    path = write_training(**LINES)
    assert train(path, tmp_path / "straight") == 0
    assert killed(path, tmp_path / "out", "backward 6") == -9  # one is the rehearsal, three the first epoch
    assert (only(tmp_path / "out") / STATE).exists()
    assert not (only(tmp_path / "out") / CARD).exists()
    assert train(path, tmp_path / "out", "--resume") == 0
    assert told(only(tmp_path / "out")) == told(only(tmp_path / "straight"))
    assert sorted(file.name for file in only(tmp_path / "out").iterdir()) == sorted([BEST, LAST, CARD])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["backward 1", "backward 2", "backward 9", *(f"fsync {n}" for n in range(1, 12, 2)),
                                    *(f"replace {n}" for n in range(2, 12, 2))])  # fmt: skip
def test_a_kill_at_any_moment_and_resume_give_the_straight_run(moment: str, write_training: Write, tmp_path: Path) -> None:
    path = write_training(**LINES)
    assert train(path, tmp_path / "straight") == 0
    assert killed(path, tmp_path / "out", moment) in (-9, 0)
    assert train(path, tmp_path / "out", "--resume") == 0
    assert told(only(tmp_path / "out")) == told(only(tmp_path / "straight"))
    assert not [file for file in only(tmp_path / "out").iterdir() if file.name.startswith(".")]


@pytest.mark.slow
def test_a_storm_of_kills_and_resumes_gives_the_straight_run(write_training: Write, tmp_path: Path) -> None:
    path = write_training(**LINES, seeds="[0, 1]")
    assert train(path, tmp_path / "straight") == 0
    moments = iter(["backward 3", "backward 5", "fsync 2", "replace 2", "backward 6", "fsync 4"])
    assert killed(path, tmp_path / "out", next(moments)) == -9
    for moment in moments:
        killed(path, tmp_path / "out", moment, "--resume")
    assert train(path, tmp_path / "out", "--resume") == 0
    for name in (
        "normed-multi_task+asymmetric_mixup+balanced_sampling-seed0",
        "normed-multi_task+asymmetric_mixup+balanced_sampling-seed1",
    ):
        assert told(tmp_path / "out" / f"trainable.{name}") == told(tmp_path / "straight" / f"trainable.{name}")


@pytest.mark.parametrize("at", [1, 3, 4, 7, 8])
def test_a_training_that_dies_while_it_writes_can_be_resumed(
    at: int, write_training: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_training(recipe="{use: small, epochs: 2, batch: 8}")
    assert train(path, tmp_path / "straight") == 0
    calls, real = iter(range(1, at)), os.replace

    def replace(*names: Any, **options: Any) -> None:
        if next(calls, None) is None:
            raise Died
        real(*names, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        with pytest.raises(Died):
            train(path, tmp_path / "out")
    assert train(path, tmp_path / "out", "--resume") == 0
    assert told(only(tmp_path / "out")) == told(only(tmp_path / "straight"))


def test_half_written_files_of_a_killed_process_are_swept_away(write_training: Write, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "trainable.plain-bce-seed0"
    folder.mkdir(parents=True)
    (folder / f".{STATE}.x1y2").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert train(write_training(), tmp_path / "out") == 0
    assert sorted(file.name for file in folder.iterdir()) == sorted([BEST, LAST, CARD, "notes.txt"])


def test_networks_that_are_there_are_refused_without_resume(write_training: Write, tmp_path: Path, capsys: Capture) -> None:
    path = write_training(seeds="[0, 1]")
    assert train(path, tmp_path / "out") == 0
    before = told(only(tmp_path / "out"))
    capsys.readouterr()
    assert train(path, tmp_path / "out") == 5
    assert capsys.readouterr().err == (
        f"auditor: {tmp_path / 'out'}: 2 of the 2 networks are there already, the first is trainable.plain-bce-seed0; --resume goes"
        " on with what is missing, another --out begins anew\n"
    )
    assert told(only(tmp_path / "out")) == before


def test_finished_networks_are_skipped_and_new_seeds_are_trained(
    write_training: Write, tmp_path: Path, capsys: Capture
) -> None:
    assert train(write_training(seeds="[0]"), tmp_path / "out") == 0
    times = {file: file.stat().st_mtime_ns for file in only(tmp_path / "out").iterdir()}
    capsys.readouterr()
    assert train(write_training(seeds="[0, 1]"), tmp_path / "out", "--resume") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["trainable.plain-bce-seed0", "was trained before"]
    assert lines[1].startswith("trainable.plain-bce-seed1 ")
    assert {file: file.stat().st_mtime_ns for file in only(tmp_path / "out").iterdir()} == times


@pytest.mark.parametrize(
    "change",
    [{"recipe": "{use: small, epochs: 2, batch: 8, rate: 1e-3}"}, {"dataset": "{use: squares, split: train, images: 27}"},
     {"network": "normed", "strategies": "[bce]", "models": ""}, {"validation": "{split: val, images: 21}"},
     {"strategies": "[{use: bce, scale: 2.0}]"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("state", ["finished", "begun"])
def test_a_changed_training_is_refused_with_the_way_out(
    state: str, change: dict[str, str], write_training: Write, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "models" in change:
        change = {
            "models": write_training().read_text().partition("models: ")[2].splitlines()[0].replace("size: 16", "size: 12")
        }
    if state == "begun":
        from auditor.training import record

        with monkeypatch.context() as patched:
            patched.setattr(record, "finish", lambda *_: (_ for _ in ()).throw(Died))
            with pytest.raises(Died):
                train(write_training(), tmp_path / "out")
    else:
        assert train(write_training(), tmp_path / "out") == 0
    capsys.readouterr()
    assert train(write_training(**change), tmp_path / "out", "--resume") == 5
    said = capsys.readouterr().err
    assert f"{tmp_path / 'out' / 'trainable.plain-bce-seed0'}: holds a network that was trained otherwise" in said
    assert said.endswith("--resume goes on only with the same; choose another --out, or delete the folder\n")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another", "text"])
def test_a_damaged_state_says_what_to_delete(
    damage: str, write_training: Write, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.training import record

    path = write_training()
    with monkeypatch.context() as patched:
        patched.setattr(record, "finish", lambda *_: (_ for _ in ()).throw(Died))
        with pytest.raises(Died):
            train(path, tmp_path / "out")
    state = only(tmp_path / "out") / STATE
    whole = state.read_bytes()
    middle = len(whole) - 40
    state.write_bytes({
        "cut": whole[: len(whole) // 2], "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "empty": b"",
        "another": (only(tmp_path / "out") / BEST).read_bytes(), "text": b"{}",
    }[damage])  # fmt: skip
    capsys.readouterr()
    assert train(path, tmp_path / "out", "--resume") == 2
    said = capsys.readouterr().err
    assert f"{state}: training cannot go on from it: " in said
    assert said.endswith(f"; delete {state.parent} to train this network again\n")
    for file in state.parent.iterdir():
        file.unlink()
    assert train(path, tmp_path / "out", "--resume") == 0


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_a_network_whose_card_is_damaged_is_trained_again(text: str, write_training: Write, tmp_path: Path) -> None:
    path = write_training()
    assert train(path, tmp_path / "out") == 0
    before = told(only(tmp_path / "out"))
    (only(tmp_path / "out") / CARD).write_text(text)
    assert train(path, tmp_path / "out", "--resume") == 0
    assert told(only(tmp_path / "out")) == before


def test_an_interrupt_is_exit_code_130_and_can_be_resumed(
    write_training: Write, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.training.loop import Training

    path, real = write_training(), Training.epoch

    def epoch(self: Training, number: int, notify: Any) -> Any:
        if number == 2:
            raise KeyboardInterrupt
        return real(self, number, notify)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "epoch", epoch)
        assert train(path, tmp_path / "out") == 130
    assert (only(tmp_path / "out") / STATE).exists()
    assert train(path, tmp_path / "out", "--resume") == 0
    assert train(path, tmp_path / "straight") == 0
    assert told(only(tmp_path / "out")) == told(only(tmp_path / "straight"))
