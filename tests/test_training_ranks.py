"""Several processes train one network together and say the same as one alone. Each test starts processes of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.checkpoint import read_weights
from auditor.training.ranks import LeftAlone, Ranks
from auditor.training.train import PIXELS

Write = Callable[..., Path]
Ended = tuple[int, str, str]
TIMES = 600


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def together(path: Path, out: Path, of: int, *words: str, **environment: str) -> list[Ended]:
    """Train as torchrun would with so many processes; gives (exit code, stdout, stderr) of each."""
    port, started = str(free_port()), []
    for rank in range(of):
        own = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(of),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        command = [sys.executable, "-m", "auditor", "train", str(path), "--out", str(out), "--device", "cpu", *words]
        surroundings = {**os.environ, **own, "OMP_NUM_THREADS": "1", **environment}
        started.append(subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    found = []
    for process in started:
        out_text, err_text = process.communicate(timeout=TIMES)
        found.append((process.returncode, out_text, err_text))
    return found


def only(out: Path) -> Path:
    (folder,) = out.glob("*-seed0")
    return folder


def aurocs(folder: Path) -> list[dict[str, float]]:
    return [epoch["auroc"] for epoch in json.loads((folder / "model.json").read_text())["epochs"]]


def test_every_item_belongs_to_one_process() -> None:
    for of in (1, 2, 3, 5):
        for items in (0, 1, 7, 10):
            assert sorted(item for number in range(of) for item in Ranks(number, of).share(items)) == list(range(items))


def test_one_process_alone_needs_no_others() -> None:
    ranks = Ranks()
    ranks.wait()
    assert ranks.gather("a") == ["a"]
    assert ranks.add_up(torch.tensor(3.0)) == 3
    weight = torch.nn.Parameter(torch.zeros(2))
    ranks.add_gradients([weight])
    assert weight.grad is None


def test_a_process_that_has_gone_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed as dist

    def gone(*_: Any) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(dist, "barrier", gone)
    with pytest.raises(LeftAlone, match="another process of this training has ended or cannot be reached"):
        Ranks(1, 2).wait()


@pytest.mark.slow
@pytest.mark.parametrize("uneven", [False, True])
def test_two_processes_end_with_the_weights_and_scores_of_one(uneven: bool, write_training: Write, tmp_path: Path) -> None:
    """In the uneven case batches of 7 and 19 validation images leave the second process with less, and labels are unknown."""
    lines = {
        "dataset": "{use: squares, split: train, unknown: Effusion}",
        "validation": "{split: val, images: 19}",
        "recipe": "{use: small, epochs: 3, batch: 7, augmentation: imba_explain}",
        "strategies": "[{use: multi_task, with: [balanced_sampling]}]",
    }
    path = write_training(**(lines if uneven else {}))
    alone, both = together(path, tmp_path / "one", 1), together(path, tmp_path / "two", 2)
    assert [code for code, _, _ in alone + both] == [0, 0, 0], both
    for name in ("model.safetensors", "last.safetensors"):
        first, second = (read_weights(only(tmp_path / of) / name) for of in ("one", "two"))
        for key, value in first.items():
            torch.testing.assert_close(second[key], value, atol=1e-5, rtol=1e-4)
    for first, second in zip(aurocs(only(tmp_path / "one")), aurocs(only(tmp_path / "two")), strict=True):
        assert second == pytest.approx(first, abs=1e-5)
    assert not (tmp_path / "two" / PIXELS).exists()


@pytest.mark.slow
def test_only_the_first_process_speaks_and_writes(write_training: Write, tmp_path: Path) -> None:
    strategies = "[bce, {use: uneven, as: u}, {use: bce, with: [{use: asymmetric_mixup, rare: [Mass]}], as: mixed}]"
    path = write_training(network="normed", strategies=strategies, dataset="{use: squares, split: train, broken: [3]}",
                          validation="{split: val, images: 18, broken: [1]}", max_quarantine="0.1",
                          recipe="{use: small, epochs: 2, batch: 4}")  # fmt: skip
    (code, out, err), second = together(path, tmp_path / "out", 2)
    assert (code, second[0]) == (0, 0), (err, second)
    assert [line.split()[0] for line in out.splitlines()] == [
        f"trainable.normed-{name}-seed0" for name in ("bce", "u", "mixed")
    ] + ["to"]
    assert "2 quarantined" in err
    assert second[1:] == ("", "")
    log = (tmp_path / "out" / "log.txt").read_text().splitlines()
    assert len([line for line in log if "epoch 1:" in line]) == 3
    assert len([line for line in log if "images listed" in line]) == 1


@pytest.mark.slow
def test_every_image_is_seen_once_in_evaluation_whatever_the_number_of_processes(write_training: Write, tmp_path: Path) -> None:
    path = write_training(validation="{split: val, images: 23}", recipe="{use: small, epochs: 1, batch: 6}")
    script = tmp_path / "count.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\nimport numpy as np\nfrom auditor.progress import Silence\n"
        "from auditor.training.config import read\nfrom auditor.training.loop import Training\n"
        "from auditor.training.ranks import joined\nfrom auditor.training.start import fresh\n"
        "from auditor.training.train import _Session\n"
        "with joined('cpu') as (ranks, device):\n"
        "    plan = read(sys.argv[1])\n"
        "    session = _Session(plan, Path(sys.argv[2]), ranks, device, Silence())\n"
        "    session._prepare()\n"
        "    run = plan.runs[0]\n"
        "    training = Training(fresh(run)[0], run.strategies, 0, session._setting(run))\n"
        "    fed = []\n"
        "    training.network.register_forward_pre_hook(lambda _, given: fed.append(given[0].flatten(1).numpy().copy()))\n"
        "    logits = training.logits()\n"
        "    rows = [row.tobytes().hex() for row in np.concatenate(fed)]\n"
        "    said = {'fed': rows, 'logits': logits.tolist()}\n"
        "    Path(sys.argv[2], f'{ranks.number}.json').write_text(json.dumps(said))\n"
    )
    found = {}
    for of in (1, 2, 3):
        port, folder = str(free_port()), tmp_path / f"by-{of}"
        folder.mkdir()
        started = [
            subprocess.Popen([sys.executable, str(script), str(path), str(folder)], env={
                **os.environ, "RANK": str(rank), "WORLD_SIZE": str(of), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            })
            for rank in range(of)
        ]  # fmt: skip
        assert [process.wait(TIMES) for process in started] == [0] * of
        found[of] = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(of)]
    images = sorted(found[1][0]["fed"])
    assert len(set(images)) == 23
    for of in (2, 3):
        assert sorted(image for rank in found[of] for image in rank["fed"]) == images
        for rank in found[of]:
            torch.testing.assert_close(torch.tensor(rank["logits"]), torch.tensor(found[1][0]["logits"]), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_when_the_first_process_fails_the_others_end_too_and_do_not_call_it_our_mistake(
    write_training: Write, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    path = write_training()
    assert [code for code, _, _ in together(path, out, 1)] == [0]
    first, second = together(path, out, 2)
    assert (first[0], second[0]) == (5, 5)
    assert "--resume goes on" in first[2]
    died = together(write_training(), tmp_path / "other", 2, AUDITOR_TEST_DIES_AT="fsync 2")
    assert died[0][0] == -9
    assert died[1][0] == 3
    assert "another process of this training has ended" in died[1][2]
    assert "internal error" not in died[1][2]
    assert [code for code, _, _ in together(path, tmp_path / "other", 2, "--resume")] == [0, 0]


@pytest.mark.slow
def test_more_processes_than_images_of_a_batch_are_refused(write_training: Write, tmp_path: Path) -> None:
    ended = together(write_training(recipe="{use: small, epochs: 1, batch: 1}"), tmp_path / "out", 2)
    assert [code for code, _, _ in ended] == [2, 2]
    assert "recipe: 2 processes cannot share batches of 1 images" in ended[0][2]


@pytest.mark.slow
def test_torchrun_starts_it(write_training: Write, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", "-m", "auditor",
               "train", str(write_training()), "--out", str(tmp_path / "out"), "--device", "cpu", "-q"]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=TIMES, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best epoch") == 1
    assert (only(tmp_path / "out") / "model.json").is_file()
