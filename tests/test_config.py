"""audit.yaml: what it may say, and what is said back when it is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor import yaml_marks
from auditor.config import AuditConfig, Problems, draft, read
from auditor.errors import ConfigError
from auditor.kinds import KINDS
from auditor.problems import Places
from auditor.schema import schema

GOOD = """\
title: Four losses on ChestX-ray14
dataset: {use: chestxray14, root: /data/nih, split: test, task: multilabel}
models:
  - {use: torchvision, architecture: resnet50, checkpoint: runs/bce.safetensors, strategy: bce, seed: 0,
     layers: {attribution: layer4, dissection: layer3}}
  - {use: t_densenet, checkpoint: runs/td_focal.safetensors, strategy: focal, seed: 0}
reference: bce
attributions: [gradcam]
analyses: [performance, alignment, {use: dissection, quantile: 0.04}]
report: {formats: [html, pdf], images: true}
plugins: []
"""
LEAST = "title: t\ndataset: planted\nmodels: [{use: m, strategy: a}]\nreference: a\n"
KEYS = "title, dataset, training_images, models, reference, attributions, analyses, claims, gates, subgroups, report, card and 5 more"
SMALLEST = KINDS["audit.yaml"].smallest
BOMB = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True))


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "audit.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def mistakes(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(written(folder, text))
    return str(caught.value).replace(str(folder / "audit.yaml"), "audit.yaml").split("\n")


def test_the_contract_is_read_as_typed_values(tmp_path: Path) -> None:
    config = read(written(tmp_path, GOOD))
    assert config.title == "Four losses on ChestX-ray14"
    assert config.dataset.use == "chestxray14"
    assert config.dataset.options == {"root": "/data/nih", "split": "test", "task": "multilabel"}
    assert [model.options["strategy"] for model in config.models] == ["bce", "focal"]
    assert config.models[0].options["layers"] == {"attribution": "layer4", "dissection": "layer3"}
    assert [use.use for use in config.analyses] == ["performance", "alignment", "dissection"]
    assert config.analyses[2].options == {"quantile": 0.04}
    assert config.report.formats == ("html", "pdf")
    assert (config.report.images, config.plugins) == (True, ())


def test_what_is_not_written_has_a_default(tmp_path: Path) -> None:
    config = read(written(tmp_path, LEAST))
    assert [use.use for use in config.attributions] == ["gradcam"]
    assert [use.use for use in config.analyses] == ["performance", "alignment", "dissection"]
    assert (config.seed, config.batch, config.max_quarantine) == (0, 16, 0.005)
    assert config.report.formats == ("html", "pdf")


def test_a_config_knows_where_it_was_written(tmp_path: Path) -> None:
    config = read(written(tmp_path, GOOD))
    file = tmp_path / "audit.yaml"
    assert config.place("models[0].layers.attribution") == f"{file}:5:28: models[0].layers.attribution"
    assert config.place("models[1].checkpoint") == f"{file}:6:35: models[1].checkpoint"
    assert config.key_place("models[1].checkpoint") == f"{file}:6:23: models[1].checkpoint"
    assert config.place("models[1].layers.attribution") == f"{file}:6:5: models[1].layers.attribution"
    assert config.place("seed") == f"{file}:1:1: seed"
    assert config.base == tmp_path


def test_a_config_cannot_be_changed(tmp_path: Path) -> None:
    config = read(written(tmp_path, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        config.title = "other"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("True", "True"), ("true", True), ("false", False),
        ("12:30:45", "12:30:45"), ("0012", "0012"), ("00012345", "00012345"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("1e-4", 1e-4), ("-3", -3), ("+3", 3), (".5", 0.5), ("1.", 1.0), ("1e999", "1e999"), (".inf", ".inf"), (".nan", ".nan"),
        ("2026-01-31", "2026-01-31"), ("null", None), ("~", None), ("''", ""), ("'null'", "null"), ('"12"', "12"), ("=", "="),
        ("9" * 30, "9" * 30), ("No Finding", "No Finding"),
    ],
)  # fmt: skip
def test_a_scalar_means_what_it_looks_like(text: str, meaning: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for loader in {yaml_marks.LOADER, yaml.SafeLoader}:
        monkeypatch.setattr(yaml_marks, "LOADER", loader)
        value = yaml_marks.parse(f"a: {text}", Places("f"), Problems())["a"]
        assert value == meaning
        assert type(value) is type(meaning)


GOLDEN: dict[str, tuple[str, list[str]]] = {
    "an empty file": ("", [f"audit.yaml:1:1: found an empty file; allowed: what an audit needs; the least is {SMALLEST}"]),
    "nothing but a comment": ("# title: t\n\n", [f"audit.yaml:1:1: found an empty file; allowed: what an audit needs; the least is {SMALLEST}"]),
    "a list": ("- a\n", [f"audit.yaml:1:1: found a list; allowed: what an audit needs; the least is {SMALLEST}"]),
    "a word": ("hello\n", [f"audit.yaml:1:1: found 'hello'; allowed: what an audit needs; the least is {SMALLEST}"]),
    "keys that are missing": ("title: t\n", [
        "audit.yaml:1:1: dataset: is missing",
        "audit.yaml:1:1: models: is missing",
        "audit.yaml:1:1: reference: is missing",
    ]),
    "a misspelt key": (LEAST + "analysis: [a]\n", [
        f"audit.yaml:5:1: analysis: unknown key; allowed: analyses, {KEYS.replace('analyses, ', '')}; did you mean analyses?",
    ]),
    "a key nobody knows": (LEAST + "zzz: 1\n", [f"audit.yaml:5:1: zzz: unknown key; allowed: {KEYS}"]),
    "a key twice": (LEAST + "title: u\n", [
        "audit.yaml:5:1: title: found the key a second time; allowed: once (it is already on line 1)",
    ]),
    "a nested key twice": (LEAST + "report: {images: true,\n  images: false}\n", [
        "audit.yaml:6:3: report.images: found the key a second time; allowed: once (it is already on line 5)",
    ]),
    "an anchor": (LEAST + "analyses: &all [a]\n", ["audit.yaml:5:11: analyses: found the anchor &all; allowed: plain values"]),
    "an alias": (LEAST + "analyses: [&x a]\nattributions: [*x]\n", [
        "audit.yaml:5:12: analyses[0]: found the anchor &x; allowed: plain values",
        "audit.yaml:6:16: attributions[0]: found the alias *x; allowed: write the value out",
    ]),
    "a merge key": (LEAST + "report:\n  <<: {images: false}\n", [
        "audit.yaml:6:3: report: found a merge key <<; allowed: write the values out",
    ]),
    "a tag": (LEAST + "seed: !!python/object/apply:os.system [ls]\n", [
        "audit.yaml:5:7: seed: found the tag 'tag:yaml.org,2002:python/object/apply:os.system'; allowed: plain values",
    ]),
    "a tag of our own": ("%TAG ! tag:evil,2020:\n---\n" + LEAST, [
        "audit.yaml:1:1: found a %TAG directive; allowed: plain values",
    ]),
    "a tab": ("title: t\ndataset:\n\tuse: planted\n", ["audit.yaml:3:1: found a tab before the text; allowed: spaces"]),
    "two documents": (LEAST + "---\n" + LEAST, ["audit.yaml:5:1: found a second document; allowed: one in a file"]),
    "a list as key": (LEAST + "? [a, b]\n: 1\n", ["audit.yaml:5:3: found a list or a mapping as a key; allowed: a word"]),
    "too deep": (LEAST + f"analyses: {'[' * 1000}{']' * 1000}\n", [
        "audit.yaml:5:42: found values nested more than 32 deep; 5 are enough",
    ]),
    "too deep without end": ("[" * 100_000, ["audit.yaml:1:33: found values nested more than 32 deep; 5 are enough"]),
    "yaml's other booleans": (LEAST + "report: {images: no}\n", [
        "audit.yaml:5:18: report.images: found 'no'; allowed: true or false",
    ]),
    "a number for a text": (LEAST.replace("title: t", "title: 14"), [
        "audit.yaml:1:8: title: found 14; allowed: text (write it in quotes: '14')",
    ]),
    "a text for a number": (LEAST + "batch: '16'\nseed: 1.5\n", [
        "audit.yaml:5:8: batch: found '16'; allowed: a whole number",
        "audit.yaml:6:7: seed: found 1.5; allowed: a whole number",
    ]),
    "true for a number": (LEAST + "seed: true\n", ["audit.yaml:5:7: seed: found true; allowed: a whole number"]),
    "numbers out of bounds": (LEAST + "batch: 0\nseed: -1\nmax_quarantine: 1.5\n", [
        "audit.yaml:5:8: batch: found 0; allowed: at least 1",
        "audit.yaml:6:7: seed: found -1; allowed: at least 0",
        "audit.yaml:7:17: max_quarantine: found 1.5; allowed: at most 1.0",
    ]),
    "a number that is none": (LEAST + "max_quarantine: .nan\n", [
        "audit.yaml:5:17: max_quarantine: found '.nan'; allowed: a number",
    ]),
    "a format that is not": (LEAST + "report: {formats: [html, pfd]}\n", [
        "audit.yaml:5:26: report.formats[1]: found 'pfd'; allowed: html, pdf; did you mean pdf?",
    ]),
    "a misspelt report key": (LEAST + "report: {format: [html]}\n", [
        "audit.yaml:5:10: report.format: unknown key; allowed: formats, images, earlier; did you mean formats?",
    ]),
    "claims of the wrong kind": (LEAST + "claims: {primary: auroc, margin: {auroc: 0, iobb: '0.1'}}\n", [
        "audit.yaml:5:19: claims.primary: found 'auroc'; allowed: a list",
        "audit.yaml:5:42: claims.margin.auroc: found 0; allowed: more than 0.0",
        "audit.yaml:5:51: claims.margin.iobb: found '0.1'; allowed: a number",
    ]),
    "a misspelt claim": (LEAST + "claims: {margins: {auroc: 0.02}}\n", [
        "audit.yaml:5:10: claims.margins: unknown key; allowed: primary, margin; did you mean margin?",
    ]),
    "a claim made twice": (LEAST + "claims:\n  primary: [auroc, iobb, auroc]\n", [
        "audit.yaml:6:26: claims.primary[2]: found the same as claims.primary[0]; allowed: once",
    ]),
    "nothing where something is due": (LEAST + "analyses:\n", ["audit.yaml:5:10: analyses: found nothing; allowed: a list"]),
    "one where a list is due": (LEAST + "analyses: performance\n", [
        "audit.yaml:5:11: analyses: found 'performance'; allowed: a list",
    ]),
    "no models": (LEAST.replace("[{use: m, strategy: a}]", "[]"), [
        "audit.yaml:3:9: models: found a list; allowed: a list of at least 1",
    ]),
    "a component without a name": (LEAST.replace("use: m, ", ""), [
        "audit.yaml:3:10: models[0].use: is missing; allowed: the name of a plugin, as in {use: name, option: value}",
    ]),
    "a component that is a number": (LEAST + "analyses: [7]\n", [
        "audit.yaml:5:12: analyses[0]: found 7; allowed: a name, or {use: name, option: value}",
    ]),
    "a component named by a number": (LEAST + "analyses: [{use: 7}]\n", [
        "audit.yaml:5:18: analyses[0].use: found 7; allowed: text (write it in quotes: '7')",
    ]),
    "a reference nobody is": (GOOD.replace("reference: bce", "reference: bse"), [
        "audit.yaml:7:12: reference: found 'bse'; allowed: a strategy of the models: bce, focal; did you mean bce?",
    ]),
    "the same twice": (LEAST + "analyses: [{use: a, x: 1}, b, {x: 1, use: a}]\nattributions: [c, {use: c}]\nplugins: [p.py, p.py]\n", [
        "audit.yaml:5:31: analyses[2]: found the same as analyses[0]; allowed: once",
        "audit.yaml:6:19: attributions[1]: found the same as attributions[0]; allowed: once",
        "audit.yaml:7:17: plugins[1]: found the same as plugins[0]; allowed: once",
    ]),
    "an escape sequence": (LEAST.replace("title: t", r'title: "\e[2J"'), [
        r"audit.yaml:1:8: title: found '\x1b[2J'; allowed: printable text",
    ]),
    "a nul": ("title: a\0b\n", ["audit.yaml:1:9: found the character U+0000; allowed: printable text"]),
    "plugins that are paths to nothing": (LEAST + "plugins: ['']\n", ["audit.yaml:5:11: plugins[0]: found ''; allowed: text, not empty"]),
    "much at once": (GOOD.replace("reference: bce", "reference: bse").replace("title", "titel").replace("true", "yes"), [
        "audit.yaml:1:1: title: is missing",
        f"audit.yaml:1:1: titel: unknown key; allowed: {KEYS}; did you mean title?",
        "audit.yaml:7:12: reference: found 'bse'; allowed: a strategy of the models: bce, focal; did you mean bce?",
        "audit.yaml:10:40: report.images: found 'yes'; allowed: true or false",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_every_mistake_has_its_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, expected = GOLDEN[name]
    for loader in {yaml_marks.LOADER, yaml.SafeLoader}:
        monkeypatch.setattr(yaml_marks, "LOADER", loader)
        assert mistakes(tmp_path, text) == expected


def test_an_alias_bomb_is_refused_without_being_expanded(tmp_path: Path) -> None:
    found = mistakes(tmp_path, LEAST + BOMB)
    assert len(found) == 34
    assert found[0] == f"audit.yaml:5:1: a: unknown key; allowed: {KEYS}"
    assert "audit.yaml:6:8: b[0]: found the alias *a; allowed: write the value out" in found


@pytest.mark.parametrize("text", ["title: [a\nb: c\n", "title: 'a\n", "a: b: c\n", "- a\nb: c\n", "*\n", "title: @x\n"])
def test_what_is_no_yaml_has_its_line_too(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for loader in {yaml_marks.LOADER, yaml.SafeLoader}:
        monkeypatch.setattr(yaml_marks, "LOADER", loader)
        (line,) = mistakes(tmp_path, text)
        assert line.startswith("audit.yaml:")
        assert ": not readable as YAML: " in line


def test_a_file_that_cannot_be_text_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path, b"title: a\nb: \xff\n") == ["audit.yaml:2:4: found the byte 0xFF; allowed: UTF-8 text"]
    big = b"#" + b"x" * 2**20
    assert mistakes(tmp_path, big) == ["audit.yaml:1:1: found more than 1,048,576 bytes; allowed: a YAML file of at most 1 MiB"]
    for path, found in ((tmp_path, "a folder"), (tmp_path / "none.yaml", "no file")):
        with pytest.raises(ConfigError, match=f"found {found}; allowed: a YAML file"):
            read(path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    config = read(written(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()))
    assert config.model_dump() == read(written(tmp_path, GOOD)).model_dump()


def test_a_thousand_mistakes_are_cut_short(tmp_path: Path) -> None:
    found = mistakes(tmp_path, LEAST + "".join(f"k{number}: 1\n" for number in range(1000)))
    assert len(found) == 51
    assert found[-1] == "... and more"


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ["k{}: 1\n", "seed: {}\n", "- *a{}\n", "? {}\n", "a{}: {{b: {{c: d}}}}\n", "[[", "{{", "'"])
def test_the_work_on_a_hostile_file_grows_no_faster_than_the_file(hostile: str, tmp_path: Path) -> None:
    def steps(size: int) -> int:
        count = 0

        def counted(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event == "call"

        text = LEAST + "".join(hostile.format(number) for number in range(size // (len(hostile) + 4)))
        sys.setprofile(counted)
        try:
            mistakes(tmp_path, text)
        finally:
            sys.setprofile(None)
        return count

    assert steps(2**18) <= 6 * steps(2**16) + 10_000


def test_the_draft_of_a_wrong_audit_keeps_what_can_be_read(tmp_path: Path) -> None:
    found = draft(written(tmp_path, LEAST + "seed: x\n"))
    assert found.config is None
    assert found.data["models"] == [{"use": "m", "strategy": "a"}]
    assert len(found.problems) == 1


def test_problems_are_raised_together_in_the_order_of_the_file() -> None:
    problems = Problems()
    problems.stop()
    for place in ("a.yaml:10:1", "a.yaml:9:30", "a.yaml:9:4", "a.yaml:9:4"):
        problems.add(f"{place}: x: wrong")
    with pytest.raises(ConfigError) as caught:
        problems.stop()
    assert str(caught.value).split("\n") == ["a.yaml:9:4: x: wrong", "a.yaml:9:30: x: wrong", "a.yaml:10:1: x: wrong"]


def test_the_schema_of_the_bare_config_describes_every_key() -> None:
    shape = schema()
    assert list(shape["properties"]) == list(AuditConfig.model_fields)
    assert shape["required"] == ["title", "dataset", "models", "reference"]
    assert shape["additionalProperties"] is False
    assert shape["properties"]["analyses"]["default"] == ["performance", "alignment", "dissection"]
    json.dumps(shape)


FRAGMENTS = st.sampled_from(["\t", "\n", " ", ":", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: ", "!!int ", "'", '"', "#", "|", ">", "?", "%",
                             "@", "\\", "no", "0012", "1e999", "null", "\0", "\ud7ff", "é", "use", "seed", ",", "---", "..."])  # fmt: skip
EDITS = st.lists(
    st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), FRAGMENTS | st.text(max_size=4)), min_size=1, max_size=6
)


def mutated(edits: list[tuple[int, int, str]]) -> str:
    text = GOOD
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    return text


def refusal(path: Path) -> str | None:
    """What is said against a file, or None when it is read; anything but a ConfigError breaks the test."""
    try:
        read(path)
    except ConfigError as error:
        return str(error)
    return None


@settings(max_examples=400, deadline=None)
@given(EDITS)
def test_a_mutated_audit_is_read_or_refused_with_a_place_and_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(mutated(edits).encode("utf-8", "surrogatepass"))
    said = refusal(path)
    assert said is None or all(line.startswith((f"{path}:", "... and")) for line in said.split("\n"))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abcXYZ019 _-.:#'\"[]{},&*!|>%@éß\n", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc12", min_size=1, max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_what_json_says_is_read_as_json_means_it(value: Any) -> None:
    problems = Problems()
    assert yaml_marks.parse(json.dumps({"a": value}, ensure_ascii=False), Places("f"), problems) == {"a": value}
    assert len(problems) == 0
