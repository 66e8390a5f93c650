"""mine.yaml: what it may say, and what is said back when it is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.cli import main
from auditor.errors import ConfigError
from auditor.kinds import KINDS, kind_of
from auditor.selection.config import read
from auditor.selection.functions import FUNCTIONS

from .conftest import LENS, TINY

Write = Callable[..., Path]

LEAST = """\
title: t
model: {use: tiny_network, strategy: bce}
pool: {use: tiny, seed: 3}
query: {use: tiny}
classes: [Mass]
budget: 6
plugins: [tiny.py]
"""
KEYS = "title, from, model, pool, query, classes, budget, function, kernel, eta, seed, batch and 2 more"
SMALLEST = KINDS["mine.yaml"].smallest
NAMES = "flqmi, logdetmi, gcmi, fl1mi, com, random, entropy, margin, least_confidence, badge, coreset"


def changed(old: str, new: str) -> str:
    assert old in LEAST
    return LEAST.replace(old, new)


GOLDEN: dict[str, tuple[str, list[str]]] = {
    "an empty file": ("", [f"mine.yaml:1:1: found an empty file; allowed: what a selection needs; the least is {SMALLEST}"]),
    "keys that are missing": ("title: t\n", [
        *(f"mine.yaml:1:1: {key}: is missing" for key in ("pool", "query", "budget")),
        "mine.yaml:1:1: found neither from nor model; allowed: one of them, a network has to say what it misses",
        "mine.yaml:1:1: classes: is missing; allowed: the rare classes, or `from` an audit that found weak ones",
    ]),
    "a misspelt key": (LEAST + "budgets: 3\n", [f"mine.yaml:8:1: budgets: unknown key; allowed: budget, {KEYS.replace('budget, ', '')}; did you mean budget?"]),
    "a function nobody knows": (LEAST + "function: flqm\n", [
        f"mine.yaml:8:11: function: found 'flqm'; allowed: {NAMES}; did you mean flqmi?",
    ]),
    "a kernel nobody knows": (LEAST + "kernel: gradients\n", [
        "mine.yaml:8:9: kernel: found 'gradients'; allowed: gradient, features; did you mean gradient?",
    ]),
    "a budget of nothing": (changed("budget: 6", "budget: 0"), ["mine.yaml:6:9: budget: found 0; allowed: at least 1"]),
    "an eta of nothing": (LEAST + "eta: 0\n", ["mine.yaml:8:6: eta: found 0; allowed: more than 0.0"]),
    "an eta that changes nothing": (LEAST + "function: gcmi\neta: 2.0\n", [
        "mine.yaml:9:1: eta: found eta, which changes nothing with gcmi; leave it out",
    ]),
    "options of a baseline": (LEAST + "function: badge\neta: 2.0\nkernel: features\n", [
        "mine.yaml:9:1: eta: found eta, which changes nothing with badge; leave it out",
        "mine.yaml:10:1: kernel: found kernel, which changes nothing with badge; leave it out",
    ]),
    "an eta without a determinant": (LEAST + "function: logdetmi\neta: 1.5\n", [
        "mine.yaml:9:6: eta: found 1.5; allowed with logdetmi: at most 1, or there is no determinant",
    ]),
    "a class nobody knows": (changed("[Mass]", "[Mas, Nodule, Nodule]"), [
        "mine.yaml:5:11: classes[0]: no class is called 'Mas'; allowed: Nodule, Effusion, Mass; did you mean Mass?",
        "mine.yaml:5:24: classes[2]: found the same as classes[1]; allowed: once",
    ]),
    "no class": (changed("classes: [Mass]\n", ""), [
        "mine.yaml:1:1: classes: is missing; allowed: the rare classes, or `from` an audit that found weak ones",
    ]),
    "a model and an audit": (LEAST + "from: audit-run\n", [
        "mine.yaml:1:1: found both from and model; allowed: one of them, a network has to say what it misses",
        "mine.yaml:8:7: from: found no results.json in ./audit-run; allowed: the folder of a finished run",
    ]),
    "a table of scores": (changed("{use: tiny_network, strategy: bce}", "{use: scores, values: probabilities, table: tiny.py, strategy: bce}"), [
        "mine.yaml:2:8: model: found a table of scores; allowed: a network, for images are compared by its features",
        ("mine.yaml:2:52: model.table: ./tiny.py:1: found ['\"A data set and networks small enough to audit in a second, which count what is"
        " asked of them.\"']; allowed: a header with the image column and one column per class"),
    ]),
    "options of the query": (changed("query: {use: tiny}", "query: {use: tiny, choose: missed, q_min: 0, ids: [a, a], sed: 1}"), [
        "mine.yaml:4:28: query.choose: found 'missed'; allowed: misclassified, all; did you mean misclassified?",
        "mine.yaml:4:43: query.q_min: found 0; allowed: at least 1",
    ]),
    "an option that the query's data set does not have": (changed("query: {use: tiny}", "query: {use: tiny, ids: [a, a], sed: 1}"), [
        "mine.yaml:4:29: query.ids[1]: found the same as query.ids[0]; allowed: once",
        ("mine.yaml:4:33: query.sed: unknown option of tiny; allowed: images, seed, size, unreadable, nan_pixels, odd_boxes, only;"
         " did you mean seed?"),
    ]),
    "no split": (changed("{use: tiny, seed: 3}", "planted"), [
        "mine.yaml:3:7: pool: split is missing; say which part of planted is meant",
    ]),
    "much at once": (
        ("titel: t\nmodel: {use: tiny_netwrk}\npool: {use: tinny}\nquery: {use: tiny, seed: x}\nclasses: [Mas]\nbudget: many\n"
        "plugins: [tiny.py]\n"),
        [
            "mine.yaml:1:1: title: is missing",
            f"mine.yaml:1:1: titel: unknown key; allowed: {KEYS}; did you mean title?",
            "mine.yaml:2:8: model: no model is called 'tiny_netwrk'; allowed: factory, monai, scores, t_densenet, tiny_network, torchvision; did you mean tiny_network?",
            "mine.yaml:3:7: pool: no dataset is called 'tinny'; allowed: chestxray14, dicom_folder, image_folder, planted, tiny; did you mean tiny?",
            "mine.yaml:4:26: query.seed: found 'x'; allowed: a whole number",
            "mine.yaml:6:9: budget: found 'many'; allowed: a whole number",
        ],
    ),
}  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    shutil.copy(TINY, tmp_path)

    def write(text: str) -> Path:
        (tmp_path / "mine.yaml").write_text(text)
        return tmp_path / "mine.yaml"

    return write


@pytest.mark.parametrize("name", GOLDEN)
def test_every_mistake_has_its_line(name: str, written: Callable[[str], Path]) -> None:
    text, expected = GOLDEN[name]
    path = written(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    found = str(caught.value).replace(f"{path.parent}/mine", "mine").replace(str(path.parent), ".")
    assert found.split("\n") == expected


def test_the_least_that_can_be_said_is_read(written: Callable[[str], Path]) -> None:
    plan = read(written(LEAST))
    config = plan.config
    assert (config.function, config.kernel, config.eta, config.seed) == ("flqmi", "gradient", 1.0, 0)
    assert (config.query.choose, config.query.q_min, config.query.ids) == ("misclassified", 5, ())
    assert (plan.classes, plan.why, plan.audited) == (("Mass",), (), None)


def test_every_function_can_be_named() -> None:
    from auditor.selection.baselines import BASELINES
    from auditor.selection.config import BASELINES as TOLD

    assert BASELINES == TOLD
    assert ", ".join([*FUNCTIONS, *BASELINES]) == NAMES


@pytest.mark.parametrize(
    ("text", "kind"),
    [(LEAST, "mine.yaml"), ("title: t\nbudget: 3\n", "mine.yaml"), ("title: t\nmodels: []\nreference: bce\n", "audit.yaml"),
     ("title: t\n", "audit.yaml"), (LEAST + "analyses: [performance]\n", "mine.yaml")],
)  # fmt: skip
def test_a_file_is_told_apart_by_what_only_one_kind_says(text: str, kind: str, written: Callable[[str], Path]) -> None:
    assert kind_of(written(text)) == kind


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished audit of two tiny networks: audit.yaml, and audit-run beside it."""
    folder = tmp_path_factory.mktemp("audited")
    models = "".join(
        f"\n  - {{use: tiny_network, strategy: {name}, weights: {n}, {LENS}}}" for n, name in ((1, "bce"), (2, "focal"))
    )
    (folder / "audit.yaml").write_text(
        f"title: Two tiny networks\ndataset: {{use: tiny}}\nmodels: {models}\nreference: bce\nattributions: []\n"
        f"analyses: [performance]\nreport: {{formats: [html], images: false}}\nplugins: ['{TINY}']\nbatch: 4\n"
    )
    assert main(["run", str(folder / "audit.yaml"), "--device", "cpu", "-q"]) == 0
    return folder


FROM_AUDIT = """\
title: t
from: {run: audit-run, model: focal · tiny_network · seed 0}
pool: {use: tiny, images: 60, seed: 3}
query: {use: tiny}
budget: 6
"""


def beside(audited: Path, text: str = FROM_AUDIT) -> Path:
    (audited / "mine.yaml").write_text(text)
    return audited / "mine.yaml"


def test_a_network_of_a_finished_audit_is_taken_up_with_its_plugins_and_its_weakest_class(
    audited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = beside(audited)
    plan = read(path)
    assert plan.audited is not None
    assert (plan.loader.strategy, plan.audited.model) == ("focal", "focal · tiny_network · seed 0")
    levels = {
        row["class"]: row["value"]
        for row in json.loads((audited / "audit-run" / "results.json").read_text())["summaries"]
        if row["metric"] == "auroc" and row["model"] == plan.audited.model and row["class"] in ("Nodule", "Effusion", "Mass")
    }
    worst = min(levels, key=lambda name: levels[name])
    assert plan.classes == (worst,)
    assert main(["mine", str(path), "--device", "cpu", "-q"]) == 0
    said = f"chosen for {worst}: the lowest AUROC of this model, {levels[worst]:.3f}"
    assert said in capsys.readouterr().err
    record = json.loads((audited / "mine-run" / "mine.json").read_text())
    assert record["model"]["audit"] == "Two tiny networks"
    assert record["model"]["options"]["weights"] == 2


def test_classes_that_training_met_rarely_are_chosen_and_the_reason_told(audited: Path) -> None:
    results = audited / "audit-run" / "results.json"
    before = results.read_text()
    changed = json.loads(before)
    changed["dataset"]["train"] = {"images": 1000, "positives": {"Nodule": 9, "Effusion": 300, "Mass": 4}}
    try:
        results.write_text(json.dumps(changed))
        plan = read(beside(audited))
    finally:
        results.write_text(before)
    assert set(plan.classes) >= {"Nodule", "Mass"}
    assert plan.why[:2] == (
        "chosen for Nodule: rare, on 0.9 % of the training images",
        "chosen for Mass: rare, on 0.4 % of the training images",
    )


WRONG_AUDITS = {
    "which model": (FROM_AUDIT.replace("{run: audit-run, model: focal · tiny_network · seed 0}", "audit-run"),
        "mine.yaml:2:7: from: model is missing; allowed: bce · tiny_network · seed 0, focal · tiny_network · seed 0"),
    "another model": (FROM_AUDIT.replace("model: focal", "model: vocal"),
        ("mine.yaml:2:7: from: no model is called 'vocal · tiny_network · seed 0'; allowed: bce · tiny_network · seed 0,"
        " focal · tiny_network · seed 0; did you mean focal · tiny_network · seed 0?")),
    "another folder": (FROM_AUDIT.replace("audit-run", "audi-run"),
        "mine.yaml:2:7: from: found no results.json in ./audi-run; allowed: the folder of a finished run; did you mean audit-run?"),
    "no audit.yaml": (FROM_AUDIT.replace("run: audit-run,", "run: audit-run, audit: a.yaml,"),
        "mine.yaml:2:7: from: found no ./a.yaml, the audit.yaml of this run; say where it is: from: {run: audit-run, audit: FILE}"),
    "a misspelt key": (FROM_AUDIT.replace("model: focal", "modl: focal"),
        "mine.yaml:2:24: from.modl: unknown key; allowed: run, audit, model; did you mean model?"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_AUDITS)
def test_an_audit_that_does_not_say_enough_is_told(name: str, audited: Path) -> None:
    text, expected = WRONG_AUDITS[name]
    with pytest.raises(ConfigError) as caught:
        read(beside(audited, text))
    assert str(caught.value).replace(f"{audited}/mine", "mine").replace(str(audited), ".").split("\n")[0] == expected


def test_weights_that_were_not_audited_are_refused(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, audit = beside(audited), audited / "audit.yaml"
    before = audit.read_text()
    try:
        audit.write_text(before.replace("weights: 2", "weights: 5"))
        assert main(["mine", str(path), "--device", "cpu", "-q", "--out", str(audited / "other")]) == 2
    finally:
        audit.write_text(before)
    assert "mine.yaml:2:7: from: the weights are not those that were audited; run the audit again" in capsys.readouterr().err
