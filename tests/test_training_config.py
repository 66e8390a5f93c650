"""train.yaml: what it may say, and what is said back when it is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.cli import main
from auditor.errors import ConfigError
from auditor.kinds import KINDS, kind_of
from auditor.training.config import read
from auditor.training.recipe import RECIPES

from .conftest import TRAINABLE

Write = Callable[..., Path]

LEAST = """\
title: t
dataset: {use: squares, split: train}
validation: {split: val}
models: [{use: factory, file: trainable.py, function: plain, options: {classes: 3}}]
strategies: [bce]
plugins: [trainable.py]
"""
KEYS = "title, dataset, validation, models, strategies, seeds, recipe, plugins, shared_patients, max_quarantine"
SMALLEST = KINDS["train.yaml"].smallest
STRATEGIES = (
    "bce, wbce, asl, asymmetric_adversarial, asymmetric_augmentation, asymmetric_combined, asymmetric_focal, asymmetric_margin,"
    " asymmetric_mixup, balanced_sampling, cb_focal, focal and 6 more"
)
RECIPE = "epochs, batch, optimiser, rate, decay, momentum, schedule, end, warmup, warmup_from, augmentation, precision"
JOINERS = "asymmetric_adversarial, asymmetric_augmentation, asymmetric_mixup, balanced_sampling, uneven"
PURE = f"which is a loss and nothing else; allowed: strategies that choose, spare or add images: {JOINERS}"
SET = "allowed: nothing, it is set by the training"


def changed(old: str, new: str) -> str:
    assert old in LEAST
    return LEAST.replace(old, new)


GOLDEN: dict[str, tuple[str, list[str]]] = {
    "an empty file": ("", [f"train.yaml:1:1: found an empty file; allowed: what a training needs; the least is {SMALLEST}"]),
    "keys that are missing": ("title: t\n", [f"train.yaml:1:1: {key}: is missing" for key in ("dataset", "models", "strategies")]),
    "a misspelt key": (LEAST + "seed: [1]\n", [f"train.yaml:7:1: seed: unknown key; allowed: {KEYS}; did you mean seeds?"]),
    "a strategy nobody knows": (changed("[bce]", "[bcee]"), [
        f"train.yaml:5:14: strategies[0]: no strategy is called 'bcee'; allowed: {STRATEGIES}; did you mean bce?",
    ]),
    "an option nobody knows": (changed("[bce]", "[{use: focal, gama: 2.0}]"), [
        "train.yaml:5:27: strategies[0].gama: unknown option of focal; allowed: alpha, gamma, scale; did you mean gamma?",
    ]),
    "a loss beside a loss": (changed("[bce]", "[{use: bce, with: [focal]}]"), [
        f"train.yaml:5:32: strategies[0].with[0]: found focal, {PURE}",
    ]),
    "an option inside with": (changed("[bce]", "[{use: bce, with: [{use: asymmetric_mixup, alfa: 1}]}]"), [
        ("train.yaml:5:56: strategies[0].with[0].alfa: unknown option of asymmetric_mixup; allowed: alpha, margin, rare, symmetric;"
        " did you mean alpha?"),
    ]),
    "the same twice in with": (changed("[bce]", "[{use: bce, with: [balanced_sampling, balanced_sampling]}]"), [
        "train.yaml:5:51: strategies[0].with[1]: found the same as strategies[0].with[0]; allowed: once",
    ]),
    "with that is no list": (changed("[bce]", "[{use: bce, with: balanced_sampling}]"), [
        "train.yaml:5:31: strategies[0].with: found 'balanced_sampling'; allowed: a list",
    ]),
    "a strategy twice": (changed("[bce]", "[bce, {use: bce}]"), [
        "train.yaml:5:19: strategies[1]: found the same as strategies[0]; allowed: once; give one of them another name with as:",
    ]),
    "names that are one folder": (changed("[bce]", "[{use: bce, as: a/b}, {use: focal, as: a_b}]"), [
        "train.yaml:5:35: strategies[1]: found the same as strategies[0]; allowed: once; give one of them another name with as:",
    ]),
    "a seed twice": (LEAST + "seeds: [0, 1, 0]\n", ["train.yaml:7:15: seeds[2]: found the same as seeds[0]; allowed: once"]),
    "seeds that are none": (LEAST + "seeds: [-1, x]\n", [
        "train.yaml:7:9: seeds[0]: found -1; allowed: at least 0",
        "train.yaml:7:13: seeds[1]: found 'x'; allowed: a whole number",
    ]),
    "a recipe nobody knows": (LEAST + "recipe: paper2021\n", [
        "train.yaml:7:9: recipe: found 'paper2021'; allowed: paper2022, imba_explain, small; did you mean paper2022?",
    ]),
    "a recipe nobody knows, with options": (LEAST + "recipe: {use: paper2021, epochs: 3}\n", [
        "train.yaml:7:15: recipe.use: found 'paper2021'; allowed: paper2022, imba_explain, small; did you mean paper2022?",
    ]),
    "options of a recipe": (LEAST + "recipe: {use: small, epochs: 0, bach: 3, optimiser: adamx, end: 2}\n", [
        "train.yaml:7:30: recipe.epochs: found 0; allowed: at least 1",
        f"train.yaml:7:33: recipe.bach: unknown option of recipe; allowed: {RECIPE}; did you mean batch?",
        "train.yaml:7:53: recipe.optimiser: found 'adamx'; allowed: adam, adamw, sgd; did you mean adam?",
        "train.yaml:7:65: recipe.end: found 2; allowed: at most 1.0",
    ]),
    "no split": (changed(", split: train", "").replace("{split: val}", "{images: 3}"), [
        "train.yaml:2:10: dataset: split is missing; say which part of squares is meant",
        "train.yaml:3:13: validation: split is missing; say which part of squares is meant",
    ]),
    "a share that is none": (changed("{split: val}", "1.5"), [
        "train.yaml:3:13: validation: found 1.5; allowed: less than 1.0 or a mapping",
    ]),
    "a split nobody knows": (changed("{split: val}", "{split: vall}"), [
        "train.yaml:3:21: validation.split: found 'vall'; allowed: train, val, test; did you mean val?",
    ]),
    "what the training sets": (changed("{classes: 3}", "{classes: 3}, strategy: bce, seed: 3, checkpoint: a.pt"), [
        f"train.yaml:4:85: models[0].strategy: found strategy; {SET}",
        f"train.yaml:4:100: models[0].seed: found seed; {SET}",
        f"train.yaml:4:109: models[0].checkpoint: found checkpoint; {SET}",
    ]),
    "a softmax": (changed("{classes: 3}", "{classes: 3}, head: softmax"), [
        "train.yaml:4:91: models[0].head: found softmax; allowed: sigmoid, for the losses take every class as a question of its own",
    ]),
    "a table of scores": (changed("{use: factory, file: trainable.py, function: plain, options: {classes: 3}}", "{use: scores}"), [
        ("train.yaml:4:10: models[0]: found scores, which cannot be made without a checkpoint (`checkpoint: Path | None`); allowed:"
        " factory, monai, t_densenet, torchvision"),
    ]),
    "a pretrained file that is not there": (changed("{classes: 3}", "{classes: 3}, pretrained: trainable.p"), [
        ("train.yaml:4:97: models[0].pretrained: found no file trainable.p; allowed: a checkpoint, or imagenet;"
        " did you mean trainable.py?"),
    ]),
    "a plugin that is not there": (changed("[trainable.py]", "[trainabl.py]"), [
        "train.yaml:6:11: plugins[0]: no file 'trainabl.py' in .; did you mean trainable.py?",
    ]),
    "much at once": (
        ("titel: t\ndataset: {use: squars, split: train}\nvalidation: {split: vall}\nmodels: [{use: factory, seed: 1}]\n"
        "strategies: [bcee, {use: bce, with: [focal]}]\nseeds: [1, 1]\nrecipe: {use: small, epocs: 3}\nplugins: [trainable.py]\n"),
        [
            "train.yaml:1:1: title: is missing",
            f"train.yaml:1:1: titel: unknown key; allowed: {KEYS}; did you mean title?",
            ("train.yaml:2:16: dataset.use: no dataset is called 'squars'; allowed: chestxray14, dicom_folder, image_folder,"
            " planted, squares; did you mean squares?"),
            f"train.yaml:4:25: models[0].seed: found seed; {SET}",
            f"train.yaml:5:14: strategies[0]: no strategy is called 'bcee'; allowed: {STRATEGIES}; did you mean bce?",
            f"train.yaml:5:38: strategies[1].with[0]: found focal, {PURE}",
            "train.yaml:6:12: seeds[1]: found the same as seeds[0]; allowed: once",
            f"train.yaml:7:22: recipe.epocs: unknown option of recipe; allowed: {RECIPE}; did you mean epochs?",
        ],
    ),
}  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    shutil.copy(TRAINABLE, tmp_path)

    def write(text: str) -> Path:
        (tmp_path / "train.yaml").write_text(text)
        return tmp_path / "train.yaml"

    return write


@pytest.mark.parametrize("name", GOLDEN)
def test_every_mistake_has_its_line(name: str, written: Callable[[str], Path]) -> None:
    text, expected = GOLDEN[name]
    path = written(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    found = str(caught.value).replace(f"{path.parent}/", "").replace(str(path.parent), ".")
    assert found.split("\n") == expected


def test_the_least_that_can_be_said_is_read(written: Callable[[str], Path]) -> None:
    plan = read(written(LEAST.replace("validation: {split: val}\n", "")))
    assert [run.name for run in plan.runs] == ["trainable.plain-bce-seed0"]
    assert plan.recipe == RECIPES["paper2022"]
    assert (plan.validation, plan.config.validation, plan.config.shared_patients) == (None, 0.1, False)


def test_architectures_strategies_and_seeds_are_multiplied_and_named(written: Callable[[str], Path]) -> None:
    network = "{use: factory, file: trainable.py, function: plain, options: {classes: 3}}"
    plan = read(
        written(
            LEAST.replace(f"[{network}]", f"[{network}, {network}]").replace("[bce]", "[{use: bce, with: [uneven]}, {use: bce, as: b}]")
            + "seeds: [7, 3]\nrecipe: {use: small, rate: 1e-3}\n"
        )
    )  # fmt: skip
    assert [run.name for run in plan.runs] == [
        f"trainable.plain{again}-{called}-seed{seed}"
        for again in ("", ".2")
        for called in ("bce+uneven", "b")
        for seed in (7, 3)
    ]
    assert {run.loader.seed for run in plan.runs} == {7, 3}
    assert {run.loader.classes for run in plan.runs} == {("Nodule", "Effusion", "Mass")}
    assert (plan.recipe.rate, plan.recipe.epochs) == (1e-3, 8)
    assert plan.validation is not None
    assert plan.validation.split == "val"


def test_the_recipe_of_the_paper_is_the_papers() -> None:
    recipe = RECIPES["paper2022"]
    assert (recipe.epochs, recipe.batch, recipe.optimiser, recipe.rate, recipe.decay) == (50, 512, "adam", 4e-4, 1e-6)
    assert (recipe.schedule, recipe.end, recipe.warmup, recipe.augmentation) == ("cosine", 0.0, 0, "paper")
    public = RECIPES["imba_explain"]
    assert (public.warmup, public.warmup_from, public.end, public.augmentation) == (1000, 0.01, 0.01, "imba_explain")


@pytest.mark.parametrize(
    ("text", "kind"),
    [(LEAST, "train.yaml"), (LEAST.replace("strategies: [bce]\n", "seeds: [1]\n"), "train.yaml"),
     ("title: t\nmodels: []\nreference: bce\n", "audit.yaml"), ("title: t\n", "audit.yaml"), (LEAST + "analyses: [performance]\n", "train.yaml")],
)  # fmt: skip
def test_a_file_is_told_apart_by_what_only_one_kind_says(text: str, kind: str, written: Callable[[str], Path]) -> None:
    assert kind_of(written(text)) == kind


def test_validate_describes_a_good_training(write_training: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_training(strategies="[bce, focal]", seeds="[0, 1, 2]")
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path} is good: Tiny networks\n"
        "  dataset       squares\n"
        "  networks      6: 1 architecture, 3 seeds\n"
        "  strategies    bce, focal\n"
        "  recipe        small: 2 epochs, batches of 8\n"
    )


def test_validate_tells_every_mistake_of_a_training(write_training: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(write_training(strategies="[bcee]", seeds="[1, 1]"))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "auditor: 2 mistakes"
    assert [line.split(": ")[1] for line in lines[1:]] == ["strategies[0]", "seeds[1]"]


def test_plan_says_what_a_training_costs(write_training: Write, capsys: pytest.CaptureFixture[str]) -> None:
    strategies = "[bce, {use: bce, with: [{use: asymmetric_mixup, rare: [Mass]}]}]"
    path = write_training(strategies=strategies, seeds="[0, 1]", recipe="{use: small, epochs: 5, batch: 10}")
    assert main(["plan", str(path), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "squares: 42 images listed, 24 for training, 18 for validation, 0 quarantined before reading" in out
    assert "4: 1 architecture x 2 strategies x 2 seeds" in out
    assert "5 epochs of 2 steps of 10 images each on cpu; 400 images forward and back" in out
    assert "few positive images: " in out
    assert main(["plan", str(write_training()), "--device", "cpu"]) == 0
    assert "2 epochs of 3 steps of 8 images each on cpu; 48 images forward and back" in capsys.readouterr().out


def test_plan_counts_the_steps_that_a_small_data_set_allows(write_training: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(write_training(recipe="{use: small, epochs: 5, batch: 64}")), "--device", "cpu"]) == 0
    assert "5 epochs of 1 step of 24 images each on cpu; 120 images forward and back" in capsys.readouterr().out
