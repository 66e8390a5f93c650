"""Validation: AUROC of the classes that have one, every image once, and the epoch that is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from auditor.cli import main
from auditor.imaging import normalise
from auditor.training.loop import Diverged, Epoch
from auditor.training.record import Progress

Write = Callable[..., Path]
Make = Callable[[Path], list[Any]]


def test_macro_auroc_is_scikit_learns_over_the_known_labels(write_training: Write, trainings: Make) -> None:
    path = write_training(validation="{split: val, images: 60, unknown: Effusion}")
    (training,) = trainings(path)
    epoch = training.epoch(1, lambda _: None)
    logits, labels = training.logits(), training.setting.validation.labels
    assert (labels[:, 1] == -1).sum() == 30
    wanted = {}
    for number, name in enumerate(training.setting.classes):
        known = labels[:, number] >= 0
        wanted[name] = roc_auc_score(labels[known, number], logits[known, number])
    assert epoch.auroc == pytest.approx(wanted, abs=1e-12)
    assert epoch.macro == pytest.approx(np.mean(list(wanted.values())), abs=1e-12)


def test_a_class_without_positives_is_not_estimable_and_never_0(write_training: Write, trainings: Make) -> None:
    (training,) = trainings(write_training(validation="{split: val, absent: Mass}"))
    epoch = training.epoch(1, lambda _: None)
    assert epoch.auroc["Mass"] is None
    assert epoch.macro == pytest.approx(np.mean([epoch.auroc["Nodule"], epoch.auroc["Effusion"]]))
    assert Epoch(1, 0.5, {"Nodule": None}).macro is None


def test_every_validation_image_goes_through_the_network_once_as_the_audit_feeds_it(
    write_training: Write, trainings: Make
) -> None:
    (training,) = trainings(write_training(validation="{split: val, images: 21}", recipe="{use: small, epochs: 1, batch: 8}"))
    fed: list[Any] = []
    training.network.register_forward_pre_hook(lambda _, given: fed.append(given[0].numpy().copy()))
    logits = training.logits()
    setting = training.setting
    wanted = normalise(setting.validation_pixels.rows(setting.validation.rows), setting.lens).numpy()
    assert np.array_equal(np.concatenate(fed), wanted)
    assert logits.shape == (21, 3)
    assert not training.network.training


def test_validation_is_in_evaluation_mode_and_training_goes_back(write_training: Write, trainings: Make) -> None:
    (training,) = trainings(write_training(network="normed"))
    modes: list[bool] = []
    training.network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    training.epoch(1, lambda _: None)
    training.epoch(2, lambda _: None)
    assert modes == ([True] * 3 + [False] * 3) * 2


def test_logits_that_are_not_finite_end_the_network_with_the_image(write_training: Write, trainings: Make) -> None:
    import torch

    (training,) = trainings(write_training())
    with torch.no_grad():
        training.network[3].weight.mul_(torch.inf)
    with pytest.raises(Diverged, match=r"after epoch 1 the network gives no finite logits for .* of 18 .*\(the first is val-0"):
        training._validate(1)


MACROS = st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8)


@settings(deadline=None)
@given(MACROS)
def test_the_best_epoch_is_the_first_with_the_highest_macro_auroc(macros: list[float | None]) -> None:
    progress = Progress()
    for number, macro in enumerate(macros, 1):
        progress = progress.after(Epoch(number, 0.1, {"a": macro}))
    estimable = [macro for macro in macros if macro is not None]
    assert len(progress.epochs) == len(macros)
    if not estimable:
        assert progress.best == len(macros)
    elif macros.count(None) == 0:
        assert progress.best == macros.index(max(estimable)) + 1


def test_the_kept_checkpoint_is_the_best_epoch_and_the_last_is_kept_beside_it(
    write_training: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.checkpoint import read_card, read_weights, weights_digest
    from auditor.training.loop import Training

    macros = iter([0.5, 0.9, 0.9, 0.7])
    seen: list[str] = []

    def played(self: Training, epoch: int) -> dict[str, float | None]:
        seen.append(weights_digest(self.network.state_dict()))
        return {"Nodule": next(macros)}

    monkeypatch.setattr(Training, "_validate", played)
    path = write_training(recipe="{use: small, epochs: 4, batch: 8}")
    assert main(["train", str(path), "--out", str(tmp_path / "out"), "-q"]) == 0
    (folder,) = (tmp_path / "out").glob("*-seed0")
    card = json.loads((folder / "model.json").read_text())
    assert (card["best_epoch"], [epoch["macro"] for epoch in card["epochs"]]) == (2, [0.5, 0.9, 0.9, 0.7])
    for name, number in (("model.safetensors", 2), ("last.safetensors", 4)):
        assert weights_digest(read_weights(folder / name)) == seen[number - 1]
        assert read_card(folder / name)["epoch"] == number


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_share_of_the_patients_is_held_out_whole_and_always_the_same(
    share: float, write_training: Write, trainings: Make
) -> None:
    path = write_training(dataset="{use: squares, split: train, images: 90}", validation=str(share))
    (training,) = trainings(path)
    setting = training.setting
    sides = [{sample.patient for sample in side.samples} for side in (setting.training, setting.validation)]
    assert sides[0].isdisjoint(sides[1])
    assert len(setting.training.samples) + len(setting.validation.samples) == 90
    assert share * 90 <= len(setting.validation.samples) < share * 90 + 3
    again = trainings(path)[0].setting.validation
    assert [sample.id for sample in again.samples] == [sample.id for sample in setting.validation.samples]


def test_counts_are_those_of_the_training_side_without_the_unknown(write_training: Write, trainings: Make) -> None:
    (training,) = trainings(write_training(dataset="{use: squares, split: train, images: 30, unknown: Effusion}"))
    found, samples = training.setting.counts, training.setting.training.samples
    for number, name in enumerate(found.classes):
        counted = Counter(sample.labels[number] for sample in samples)
        assert (found.positives[number], found.negatives[number]) == (counted[1], counted[0]), name
    assert found.positives[1] + found.negatives[1] == 15
