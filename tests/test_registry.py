"""Plugins: what is loaded and what is not, how names are answered, how options are checked."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from auditor import Attribution, ConfigError, Dataset, PluginError
from auditor.config import AuditConfig, Problems, Use, read
from auditor.loading import code_files
from auditor.options import in_words
from auditor.registry import BASES, KINDS, Registry, singular
from auditor.schema import schema
from auditor.validate import validate

ONE = '''
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from pydantic import Field
from auditor import Dataset, Layers, hookimpl

@dataclass(frozen=True)
class Mine(Dataset):
    """A data set of mine. It has options."""

    name = "mine"
    root: Path
    others: tuple[Path, ...] = ()
    count: int = 3
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    kind: Literal["long", "short"] = "long"
    size: int | str | None = None
    flag: bool = False
    layers: Layers = field(default_factory=Layers)
    odd: int = 1

    def __post_init__(self):
        if self.odd % 2 == 0:
            raise ValueError("odd must be odd")

    def classes(self):
        return ("a", "b")

@hookimpl
def register_datasets():
    return [Mine]
'''
PLAIN = """
from auditor import Attribution, hookimpl

class Plain(Attribution):
    name = "plain"

@hookimpl
def register_attributions():
    return [Plain]
"""


def plugin(folder: Path, text: str, name: str = "mine.py") -> Registry:
    (folder / name).write_text(text)
    return Registry([name], folder)


def config_in(folder: Path, dataset: str) -> AuditConfig:
    path = folder / "audit.yaml"
    path.write_text(f"title: t\ndataset: {dataset}\nmodels: [{{use: m, strategy: a}}]\nreference: a\n")
    return read(path)


def built(folder: Path, dataset: str) -> Any:
    """The component, or the lines that say why not."""
    registry, config, problems = plugin(folder, ONE), config_in(folder, dataset), Problems()
    component = registry.build("datasets", config.dataset, "dataset", config, problems)
    assert (component is None) == bool(problems)
    return component or [line.replace(str(folder / "audit.yaml"), "audit.yaml") for line in problems.lines()]


def refusal(folder: Path, text: str, name: str = "mine.py") -> str:
    with pytest.raises(PluginError) as caught:
        plugin(folder, text, name)
    return str(caught.value).replace(str(folder), "FOLDER")


# what is loaded


def test_built_ins_come_in_by_name_and_are_what_their_kind_says() -> None:
    registry = Registry()
    for kind in KINDS:
        found = registry.all(kind)
        assert list(found) == sorted(found)
        for name, cls in found.items():
            assert registry.get(kind, name) is cls
            assert any(base.__name__ == BASES[kind][1] for base in cls.__mro__)
            assert cls.__module__.startswith(f"auditor_plugins.{kind}.")
            assert registry.source(kind, name).is_file()
    assert {"gradcam", "cam"} <= set(registry.all("attributions"))


def test_one_pattern_holds_for_all_kinds() -> None:
    hooks = {name for name in dir(Registry().hook) if name.startswith("register_")} - {"register_commands"}
    assert hooks == {f"register_{kind}" for kind in KINDS}
    assert [singular(kind) for kind in KINDS] == ["dataset", "model", "strategy", "attribution", "analysis", "section"]


def test_a_loose_file_is_loaded_only_when_it_is_listed(tmp_path: Path) -> None:
    registry = plugin(tmp_path, ONE)
    assert issubclass(registry.get("datasets", "mine"), Dataset)
    assert registry.source("datasets", "mine") == tmp_path / "mine.py"
    assert "mine" not in Registry().all("datasets")
    module = sys.modules[registry.get("datasets", "mine").__module__]
    assert getattr(module, "__auditor_plugin__", False) is True
    assert str(tmp_path) not in sys.path


def test_a_loose_file_is_imported_once_until_it_changes(tmp_path: Path) -> None:
    first = plugin(tmp_path, PLAIN).get("attributions", "plain")
    assert plugin(tmp_path, PLAIN).get("attributions", "plain") is first
    assert plugin(tmp_path, PLAIN + "\n").get("attributions", "plain") is not first


class Entry:
    """An entry point that says when it is loaded."""

    module = "their_plugin"

    def __init__(self, name: str, distribution: str, module: object) -> None:
        self.name, self.dist, self._module, self.loaded = name, type("Dist", (), {"name": distribution})(), module, False

    def load(self) -> object:
        self.loaded = True
        if isinstance(self._module, BaseException):
            raise self._module
        return self._module


def test_an_installed_distribution_is_loaded_only_when_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registry = plugin(tmp_path, PLAIN)
    module = sys.modules[registry.get("attributions", "plain").__module__]
    monkeypatch.setitem(sys.modules, "their_plugin", module)
    good, evil = Entry("plain_maps", "Auditor.Plain", module), Entry("evil", "auditor-evil", SystemExit(3))
    monkeypatch.setattr(metadata, "entry_points", lambda group: [good, evil] if group == "auditor" else [])
    Registry()
    assert not good.loaded
    for name in ("auditor-plain", "Auditor_Plain", "plain-maps"):
        assert "plain" in Registry([name]).all("attributions")
    assert not evil.loaded
    with pytest.raises(PluginError, match=r"plugins\[0\]: auditor-evil: their_plugin: SystemExit: 3"):
        Registry(["evil"])
    with pytest.raises(PluginError, match=r"installed: Auditor.Plain, auditor-evil; did you mean auditor-evil"):
        Registry(["auditor-evli"])
    monkeypatch.setattr(metadata, "entry_points", lambda group: [good, Entry("plain_maps", "other", module)])
    with pytest.raises(PluginError, match=r"offered more than once: Auditor.Plain \(plain_maps\), other \(plain_maps\)"):
        Registry(["plain_maps"])


# what is refused


def test_a_plugin_that_cannot_be_imported_says_file_line_and_what(tmp_path: Path) -> None:
    assert refusal(tmp_path, "import auditor\n\n1 / 0\n") == "plugins[0]: FOLDER/mine.py:3: ZeroDivisionError: division by zero"
    assert refusal(tmp_path, "x = (\n") == "plugins[0]: FOLDER/mine.py:1: SyntaxError: '(' was never closed"
    assert refusal(tmp_path, "import nowhere_at_all\n").endswith(
        "mine.py:1: ModuleNotFoundError: No module named 'nowhere_at_all'"
    )
    assert refusal(tmp_path, "raise SystemExit\n") == "plugins[0]: FOLDER/mine.py:1: SystemExit"
    assert not [
        name for name in sys.modules if name.startswith("auditor_loose_mine") and sys.modules[name].__file__ == str(tmp_path)
    ]


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLAIN)
    with pytest.raises(PluginError) as caught:
        Registry(["mien.py"], tmp_path, place=lambda path: f"audit.yaml:9:12: {path}")
    assert str(caught.value) == f"audit.yaml:9:12: plugins[0]: no file 'mien.py' in {tmp_path}; did you mean mine.py?"


def test_two_claims_to_one_name_name_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PLAIN)
    (tmp_path / "b.py").write_text(PLAIN)
    with pytest.raises(PluginError) as caught:
        Registry(["a.py", "b.py"], tmp_path)
    said = str(caught.value)
    assert said == f"two attributions are called 'plain': {tmp_path / 'a.py'} and {tmp_path / 'b.py'}; rename one"
    said = refusal(tmp_path, PLAIN.replace('"plain"', '"gradcam"'))
    assert "gradcam.py and FOLDER/mine.py" in said


def test_a_misspelt_hook_is_refused_with_the_right_one(tmp_path: Path) -> None:
    said = refusal(tmp_path, PLAIN.replace("register_attributions", "register_atributions"))
    assert said.startswith("FOLDER/mine.py: register_atributions is not a hook of auditor; allowed: ")
    assert said.endswith("; did you mean register_attributions?")
    wrong = "from auditor import hookimpl\n@hookimpl\ndef plan_made(plam):\n    pass\n"
    assert "plam" in refusal(tmp_path, wrong)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN.replace("return [Plain]", "return Plain"), "register_attributions gave type; allowed: a list of classes"),
        (PLAIN.replace("return [Plain]", "return [Plain()]"), "allowed: classes made from auditor.Attribution"),
        (PLAIN.replace("(Attribution)", ""), "allowed: classes made from auditor.Attribution"),
        (PLAIN.replace("register_attributions", "register_datasets"), "allowed: classes made from auditor.Dataset"),
        (PLAIN.replace('name = "plain"', "pass"), "Plain has no name; give it one: name = 'plain'"),
        (PLAIN.replace("return [Plain]", "return [Plan]"), "mine.py:9: NameError: name 'Plan' is not defined"),
    ],
)
def test_what_is_no_component_is_refused(text: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, text)


def test_a_file_listed_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLAIN)
    with pytest.raises(PluginError, match="listed twice"):
        Registry(["mine.py", "./mine.py"], tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"no attribution is called 'gradcm'; allowed: .*cam.*; did you mean gradcam"):
        Registry().get("attributions", "gradcm")


# options


def test_options_become_typed_values_and_paths_start_from_the_audit(tmp_path: Path) -> None:
    mine = built(tmp_path, "{use: mine, root: data, others: [a, /b], share: 0.25, size: big, layers: {attribution: l4}}")
    assert (mine.root, mine.others) == (tmp_path / "data", (tmp_path / "a", Path("/b")))
    assert (mine.count, mine.share, mine.size, mine.layers.attribution) == (3, 0.25, "big", "l4")
    assert built(tmp_path, "{use: mine, root: x, size: 7}").size == 7


UNKNOWN = "unknown option of mine; allowed: root, others, count, share, kind, size, flag, layers, odd; did you mean count?"
WRONG = {
    "": [("{", "root", "is missing; mine cannot do without")],
    "root: 5": [("5", "root", "found 5; allowed: text (write it in quotes: '5')")],
    "root: x, count: '3'": [("'3", "count", "found '3'; allowed: a whole number")],
    "root: x, count: 3.0": [("3.0", "count", "found 3.0; allowed: a whole number")],
    "root: x, count: true": [("true", "count", "found true; allowed: a whole number")],
    "root: x, flag: yes": [("yes", "flag", "found 'yes'; allowed: true or false")],
    "root: x, flag: 1": [("1", "flag", "found 1; allowed: true or false")],
    "root: x, share: 1": [("1", "share", "found 1; allowed: less than 1.0")],
    "root: x, kind: lang": [("lang", "kind", "found 'lang'; allowed: long, short; did you mean long?")],
    "root: x, others: a": [("a}", "others", "found 'a'; allowed: a list")],
    "root: x, others: [a, 5]": [("5", "others[1]", "found 5; allowed: text (write it in quotes: '5')")],
    "root: x, size: [1]": [("[", "size", "found a list; allowed: a whole number or text")],
    "root: x, layers: l4": [("l4", "layers", "found 'l4'; allowed: a mapping")],
    "root: x, layers: {atribution: l4}": [
        ("atri", "layers.atribution", "unknown option of mine; allowed: attribution, dissection; did you mean attribution?")
    ],
    "root: x, cuont: 3": [("cuont", "cuont", UNKNOWN)],
    "root: x, odd: 2": [("{", "", "odd must be odd")],
    "count: x, share: 7": [
        ("{", "root", "is missing; mine cannot do without"),
        ("x,", "count", "found 'x'; allowed: a whole number"),
        ("7", "share", "found 7; allowed: less than 1.0"),
    ],
}


@pytest.mark.parametrize("options", WRONG)
def test_every_wrong_option_has_its_line(options: str, tmp_path: Path) -> None:
    line = f"dataset: {{use: mine, {options}}}"
    expected = [
        f"audit.yaml:2:{line.index(token) + 1}: dataset{'.' if path else ''}{path}: {message}"
        for token, path, message in WRONG[options]
    ]
    assert built(tmp_path, line.removeprefix("dataset: ")) == expected


def test_a_class_without_fields_takes_no_options(tmp_path: Path) -> None:
    registry, config, problems = plugin(tmp_path, PLAIN), config_in(tmp_path, "x"), Problems()
    assert isinstance(registry.build("attributions", Use(use="plain"), "attributions[0]", config, problems), Attribution)
    assert not problems
    registry.build("attributions", Use.model_validate({"use": "plain", "a": 1}), "attributions[0]", config, problems)
    assert problems.lines()[0].endswith("attributions[0].a: unknown option of plain; allowed: none")


def test_an_option_of_no_known_type_is_the_plugins_mistake(tmp_path: Path) -> None:
    registry = plugin(tmp_path, ONE.replace("count: int", 'count: "Nonsense"'))
    with pytest.raises(PluginError, match=r"mine\.py: Mine: the type of an option is not understood: .*Nonsense"):
        registry.options("datasets", "mine")


# identity


def test_the_digest_of_the_code_follows_what_it_imports_relatively_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from .b import x\nfrom . import c\nimport json\n")
    (tmp_path / "b.py").write_text("from .d import y\n")
    for name in "cde":
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    assert [path.name for path in code_files(tmp_path / "a.py")] == ["a.py", "b.py", "c.py", "d.py"]
    first = plugin(tmp_path, PLAIN).code_digest("attributions", "plain")
    assert plugin(tmp_path, PLAIN).code_digest("attributions", "plain") == first
    assert plugin(tmp_path, PLAIN + "# changed\n").code_digest("attributions", "plain") != first


# the schema


def test_the_schema_tells_components_apart_by_use(tmp_path: Path) -> None:
    shape = schema(plugin(tmp_path, ONE))
    entries = shape["$defs"]["datasets"]["anyOf"]
    mine = next(entry for entry in entries if entry.get("title") == "mine")
    assert mine["properties"]["use"] == {"const": "mine"}
    assert mine["required"] == ["use", "root"]
    assert mine["additionalProperties"] is False
    assert mine["description"] == "A data set of mine."
    assert mine["properties"]["kind"]["enum"] == ["long", "short"]
    assert mine["properties"]["count"]["default"] == 3
    assert "mine" not in entries[0]["enum"]
    assert "planted" in entries[0]["enum"]
    assert shape["properties"]["dataset"]["$ref"] == "#/$defs/datasets"
    text = json.dumps(shape)
    for part in text.split('"$ref": "#/$defs/')[1:]:
        assert part.split('"')[0] in shape["$defs"]


def test_types_are_said_in_words() -> None:
    assert in_words({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, {"type": "null"}]}, {}) == (
        "whole number >= 1, <= 9 or nothing"
    )
    assert in_words({"$ref": "#/$defs/L"}, {"L": {"properties": {"a": {"type": "string"}}}}) == "{a: text}"


# everything together


def test_validate_says_everything_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ONE)
    (tmp_path / "audit.yaml").write_text(
        "title: 5\ndataset: {use: mine, cuont: 3, root: nowhere}\nmodels:\n"
        "  - {use: torchvision, strategy: bce, architecture: resnet18, checkpoint: bec.safetensors, classes: [a, c]}\n"
        "reference: bse\nanalyses: [performance, {use: performanse}]\nplugins: [mine.py]\n"
    )
    (tmp_path / "bce.safetensors").touch()
    with pytest.raises(ConfigError) as caught:
        validate(tmp_path / "audit.yaml")
    lines = [line.removeprefix(f"{tmp_path}/audit.yaml:") for line in str(caught.value).split("\n")]
    assert [line.split(": ")[1] for line in lines] == [
        "title", "dataset.cuont", "models[0].checkpoint", "reference", "analyses[1]",
    ]  # fmt: skip
    assert lines[2].endswith(f"found no file {tmp_path / 'bec.safetensors'}; did you mean bce.safetensors?")


def test_validate_matches_outputs_to_classes_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ONE)
    text = (
        "title: t\ndataset: {use: mine, root: .}\nmodels:\n"
        "  - {use: torchvision, strategy: bce, architecture: resnet18, checkpoint: null, classes: CLASSES}\n"
        "reference: bce\nanalyses: [performance]\nplugins: [mine.py]\n"
    )
    audit = tmp_path / "audit.yaml"
    audit.write_text(text.replace("CLASSES", "[b, other, a]"))
    assert validate(audit).config.title == "t"
    audit.write_text(text.replace("CLASSES", "[b, b]"))
    with pytest.raises(ConfigError) as caught:
        validate(audit)
    place = f"{audit}:4:90: models[0].classes"
    assert str(caught.value).split("\n") == [
        f"{place}: found 'b' more than once; allowed: each output once",
        f"{place}: found no output called 'a'; the outputs are b, b",
    ]


def test_validate_reports_a_data_set_that_breaks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ONE.replace('return ("a", "b")', "return open('/nowhere/at/all')"))
    (tmp_path / "w.safetensors").touch()
    (tmp_path / "audit.yaml").write_text(
        "title: t\ndataset: {use: mine, root: .}\nmodels:\n"
        "  - {use: torchvision, strategy: bce, architecture: resnet18, checkpoint: w.safetensors}\n"
        "reference: bce\nanalyses: [performance]\nplugins: [mine.py]\n"
    )
    with pytest.raises(ConfigError, match=r"audit.yaml:2:10: dataset: the plugin mine failed: FileNotFoundError: "):
        validate(tmp_path / "audit.yaml")


def test_validate_says_what_is_wrong_with_plugins_beside_the_rest(tmp_path: Path) -> None:
    (tmp_path / "audit.yaml").write_text(
        "title: 5\ndataset: x\nmodels: [{use: m, strategy: a}]\nreference: a\nplugins: [a.py]\n"
    )
    with pytest.raises(ConfigError) as caught:
        validate(tmp_path / "audit.yaml")
    first, second = str(caught.value).split("\n")
    assert first.endswith("1:8: title: found 5; allowed: text (write it in quotes: '5')")
    assert second.endswith(f"5:11: plugins[0]: no file 'a.py' in {tmp_path}")
