"""What the documents say is what the code does."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from auditor.cli import cli
from auditor.errors import ExitCode
from auditor.gates import CLAIMS
from auditor.registry import KINDS, Registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
QUOTES = re.findall(r"<!-- quoted: (\S+) -->\n```\w+\n(.*?)```\n<!-- end -->", README, re.DOTALL)


def test_something_is_quoted() -> None:
    assert QUOTES


@pytest.mark.parametrize(("path", "text"), QUOTES)
def test_the_readme_quotes_files_word_for_word(path: str, text: str) -> None:
    assert text == (ROOT / path).read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_names_every_built_in(kind: str) -> None:
    for name in Registry().all(kind) if kind != "sections" else ():
        assert f"`{name}`" in README, f"{kind}: {name}"


def test_the_readme_explains_every_exit_code() -> None:
    for code in ExitCode:
        assert re.search(rf"(\| |, ){code.value}( \||,)", README), code


def yaml_of_readme(key: str, *more: str) -> str:
    (block,) = [
        b for b in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if all(f"\n{name}:" in b for name in (key, *more))
    ]
    return str(block)


def test_the_readmes_training_can_be_read_and_plans_every_network(tmp_path: Path) -> None:
    from auditor.training.config import read

    (tmp_path / "train.yaml").write_text(yaml_of_readme("strategies").replace("/data/nih", str(tmp_path)))
    (tmp_path / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels,Patient ID\na.png,Mass,1\n")
    (tmp_path / "train_val_list.txt").write_text("a.png\n")
    plan = read(tmp_path / "train.yaml")
    assert len(plan.runs) == 2 * 4 * 3
    assert [combination.called for combination in plan.config.strategies] == ["bce", "wbce", "cb_focal", "bce+mixup"]


def test_the_readmes_audit_has_the_shape_that_is_read(tmp_path: Path) -> None:
    from auditor import config

    block = yaml_of_readme("reference", "attributions")
    (tmp_path / "audit.yaml").write_text(block)
    found = config.read(tmp_path / "audit.yaml")
    assert found.reference == "bce"
    assert [model.use for model in found.models] == ["torchvision", "t_densenet"]


def test_the_readmes_gates_are_gates_of_the_readmes_audit(tmp_path: Path) -> None:
    from auditor import config, gates
    from auditor.problems import Problems

    (tmp_path / "gates.yaml").write_text(yaml_of_readme("gates"))
    (tmp_path / "audit.yaml").write_text(yaml_of_readme("reference", "attributions"))
    found, audit, registry, problems = (
        config.judging(tmp_path / "gates.yaml"),
        config.read(tmp_path / "audit.yaml"),
        Registry(),
        Problems(),
    )
    analyses = [registry.build("analyses", use, f"analyses[{n}]", audit, problems) for n, use in enumerate(audit.analyses)]
    about = gates.measured(analyses, [], audit.strategies, audit.reference, ["Pneumothorax"])
    gates.check(found, about, problems)
    problems.stop()
    assert {gate.claim for gate in found.judged_gates} == {"noninferior", "not_shown_worse", "at_least"}
    assert [gate.margin for gate in found.judged_gates] == [0.02, None, None, 0.01]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_readme_and_the_methods_name_every_claim_of_a_gate(claim: str) -> None:
    assert claim in README
    assert f"`{claim}`" in (ROOT / "docs" / "methods.md").read_text()


@pytest.mark.parametrize("command", cli.commands)
def test_the_readme_names_every_command(command: str) -> None:
    assert f"auditor {command}" in README


def test_the_readmes_selection_has_the_shape_that_is_read(tmp_path: Path) -> None:
    from auditor import config
    from auditor.problems import Problems
    from auditor.selection.config import From, MineConfig

    (tmp_path / "mine.yaml").write_text(yaml_of_readme("pool"))
    problems = Problems()
    data, places = config.mapping(tmp_path / "mine.yaml", MineConfig, problems)
    found = config.shaped(MineConfig, {"from": From}, data, places, problems)
    problems.stop()
    assert found is not None
    assert (found.budget, found.function, len(found.classes)) == (400, "flqmi", 3)


def test_the_page_on_selection_names_every_key_and_function() -> None:
    from auditor.selection.baselines import BASELINES
    from auditor.selection.config import MineConfig, Query
    from auditor.selection.functions import FUNCTIONS
    from auditor.selection.simulation_config import SimulationConfig
    from auditor.training.config import TrainConfig

    page = (ROOT / "docs" / "selection.md").read_text()
    own = SimulationConfig.model_fields.keys() - TrainConfig.model_fields.keys()
    keys = {field.alias or name for name, field in (MineConfig.model_fields | Query.model_fields).items()} - {"use", "options"}
    for name in [*FUNCTIONS, *BASELINES, *keys, *own]:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/**/audit.yaml")), ids=lambda path: path.parent.name)
def test_every_example_audit_can_be_read_and_its_plugins_know_its_options(path: Path, tmp_path: Path) -> None:
    from auditor import config
    from auditor.problems import Problems

    copy = Path(shutil.copytree(path.parent, tmp_path / "example")) / path.name
    named = re.search(r"from: ([\w-]+)", copy.read_text())
    trained = copy.parent / (named[1] if named else "train-run") / "network"
    trained.mkdir(parents=True)
    options = {"architecture": "resnet50"}
    known = {"strategy": {"name": "bce"}, "seed": 0, "classes": ["Hernia"], "counts": {}}
    card = {"schema": 1, "use": "torchvision", "options": options, **known}
    (trained / "model.json").write_text(json.dumps(card))
    found = config.read(copy)
    registry, problems = Registry(found.plugins, copy.parent), Problems()
    for kind, uses in {"datasets": [found.dataset], "models": found.models, "analyses": found.analyses}.items():
        for number, use in enumerate(uses):
            registry.build(kind, use, kind if kind == "datasets" else f"{kind}[{number}]", found, problems)
    problems.stop()


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")]), ids=lambda p: p.name
)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_lock_names_no_registry_host() -> None:
    assert "://" not in (ROOT / "locked.txt").read_text()
